import { deepEqual } from '../object/deep-equal.ts';
import { isJsonObject, type JsonObject } from '../object/json.ts';
import type { TypeDef } from '../schema/type-table.ts';
import {
  closeElement,
  emptyFieldSet,
  type FieldSet,
  type MutableFieldSet,
  openElement,
  sealElement,
} from './field-set.ts';
import { deducedShape, type FieldShape, keyElement, shapeOf, valueElement } from './field-shape.ts';

export interface FieldChanges {
  /** Fields that `next` adds or whose value differs. */
  readonly changed: FieldSet;
  /** Fields that only `old` has. */
  readonly removed: FieldSet;
}

/** Fields that no manager ever owns: identity and bookkeeping of the server. */
const UNOWNED_META = new Set([
  'name',
  'namespace',
  'creationTimestamp',
  'selfLink',
  'uid',
  'generation',
  'managedFields',
  'resourceVersion',
]);

/** The owned fields that differ between two canonical objects of one type: one pass over both. */
export function compareFields(old: JsonObject, next: JsonObject, type: TypeDef): FieldChanges {
  const changed: MutableFieldSet = {};
  const removed: MutableFieldSet = {};
  for (const name of keysOfBoth(old, next)) {
    if (name === 'apiVersion' || name === 'kind') continue;
    if (name === 'metadata') compareMetadata(old.metadata, next.metadata, type, changed, removed);
    else compareNamed(name, old[name], next[name], type, { changed, removed });
  }
  return { changed, removed };
}

interface Sets {
  readonly changed: MutableFieldSet;
  readonly removed: MutableFieldSet;
}

function compareMetadata(
  old: unknown,
  next: unknown,
  type: TypeDef,
  changed: MutableFieldSet,
  removed: MutableFieldSet,
): void {
  const metaType = type.fields.get('metadata')?.type;
  if (metaType === undefined) return;
  const before = isJsonObject(old) ? old : {};
  const after = isJsonObject(next) ? next : {};
  const sets: Sets = { changed: {}, removed: {} };
  for (const name of keysOfBoth(before, after)) {
    if (!UNOWNED_META.has(name)) compareNamed(name, before[name], after[name], metaType, sets);
  }
  put(changed, 'f:metadata', closeElement(sets.changed, false));
  put(removed, 'f:metadata', closeElement(sets.removed, false));
}

function put(set: MutableFieldSet, element: string, below: FieldSet | undefined): void {
  if (below !== undefined) set[element] = below;
}

function keysOfBoth(a: JsonObject, b: JsonObject): string[] {
  const keys = Object.keys(b);
  for (const key of Object.keys(a)) if (!Object.hasOwn(b, key)) keys.push(key);
  return keys;
}

function compareNamed(name: string, old: unknown, next: unknown, type: TypeDef, sets: Sets): void {
  const field = type.fields.get(name);
  compareValue(`f:${name}`, old, next, field === undefined ? deducedShape : shapeOf(field), sets);
}

function compareValue(element: string, old: unknown, next: unknown, shape: FieldShape, sets: Sets): void {
  if (old === next) return;
  if (isLeaf(shape, old, next)) {
    if (old === undefined) sets.changed[element] = emptyFieldSet;
    else if (next === undefined) sets.removed[element] = emptyFieldSet;
    else if (!deepEqual(old, next)) sets.changed[element] = emptyFieldSet;
    return;
  }
  const isAlwaysThere = (shape.kind === 'keyedList' || shape.kind === 'set') && shape.always;
  const below: Sets = {
    changed: openElement(old === undefined && !isAlwaysThere),
    removed: openElement(next === undefined && !isAlwaysThere),
  };
  switch (shape.kind) {
    case 'struct':
      compareObjects(old, next, below, (name) => {
        const field = shape.type.fields.get(name);
        return field === undefined ? deducedShape : shapeOf(field);
      });
      break;
    case 'map':
      compareObjects(old, next, below, () => shape.element);
      break;
    case 'deduced':
      compareObjects(old, next, below, () => deducedShape);
      break;
    case 'keyedList':
    case 'set':
      compareLists(old, next, shape, below);
  }
  put(sets.changed, element, sealElement(below.changed));
  put(sets.removed, element, sealElement(below.removed));
}

/** Atomic values are one leaf; so is a container that is empty on both sides. */
function isLeaf(shape: FieldShape, old: unknown, next: unknown): boolean {
  if (shape.kind === 'leaf') return true;
  if (shape.kind === 'deduced' && !isJsonObject(next ?? old)) return true;
  return isEmptyContainer(old) && isEmptyContainer(next);
}

function isEmptyContainer(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  if (Array.isArray(value)) return value.length === 0;
  if (typeof value !== 'object') return false;
  for (const key in value) if (Object.hasOwn(value, key)) return false;
  return true;
}

const nothing: JsonObject = {};

function compareObjects(old: unknown, next: unknown, sets: Sets, shapeOfKey: (name: string) => FieldShape): void {
  const before = isJsonObject(old) ? old : nothing;
  const after = isJsonObject(next) ? next : nothing;
  for (const name of keysOfBoth(before, after)) {
    const was = Object.hasOwn(before, name) ? before[name] : undefined;
    const is = Object.hasOwn(after, name) ? after[name] : undefined;
    compareValue(`f:${name}`, was, is, shapeOfKey(name), sets);
  }
}

type ListShape = Extract<FieldShape, { kind: 'keyedList' | 'set' }>;

function compareLists(old: unknown, next: unknown, shape: ListShape, sets: Sets): void {
  const before = indexItems(old, shape);
  for (const [element, item] of indexItems(next, shape)) {
    const was = before.get(element);
    before.delete(element);
    if (shape.kind === 'keyedList') compareValue(element, was, item, shape.element, sets);
    else if (was === undefined) sets.changed[element] = emptyFieldSet;
  }
  for (const [element, item] of before) {
    if (shape.kind === 'keyedList') compareValue(element, item, undefined, shape.element, sets);
    else sets.removed[element] = emptyFieldSet;
  }
}

function indexItems(list: unknown, shape: ListShape): Map<string, unknown> {
  const items = new Map<string, unknown>();
  if (!Array.isArray(list)) return items;
  for (const item of list) {
    items.set(shape.kind === 'keyedList' ? keyElement(item, shape.keys) : valueElement(item), item);
  }
  return items;
}

/** Every field that an applied configuration names: what its manager wants to own. */
export function fieldsOf(config: JsonObject, type: TypeDef): FieldSet {
  const set: MutableFieldSet = {};
  for (const name of Object.keys(config)) {
    const value = config[name];
    if (name === 'apiVersion' || name === 'kind' || value === undefined) continue;
    if (name === 'metadata') {
      const meta = Object.fromEntries(Object.entries(value as JsonObject).filter(([key]) => !UNOWNED_META.has(key)));
      const metaType = type.fields.get('metadata')?.type;
      if (metaType !== undefined) put(set, 'f:metadata', closeElement(structFields(meta, metaType), false));
    } else {
      collectNamed(name, value, type, set);
    }
  }
  return set;
}

function structFields(value: JsonObject, type: TypeDef): MutableFieldSet {
  const set: MutableFieldSet = {};
  for (const name of Object.keys(value)) collectNamed(name, value[name], type, set);
  return set;
}

function collectNamed(name: string, value: unknown, type: TypeDef, set: MutableFieldSet): void {
  const field = type.fields.get(name);
  const shape = field === undefined ? deducedShape : shapeOf(field);
  // A struct's field belongs to whoever sets something below it; keys of maps, and what is empty, are owned themselves.
  const isNamedField = field !== undefined;
  collect(`f:${name}`, value, shape, set, !isNamedField);
}

function collect(element: string, value: unknown, shape: FieldShape, set: MutableFieldSet, ownsSelf: boolean): void {
  if (value === undefined) return;
  if (shape.kind === 'leaf' || isEmptyContainer(value) || (shape.kind === 'deduced' && !isJsonObject(value))) {
    // An empty associative list names nothing.
    const namesNothing = (shape.kind === 'keyedList' || shape.kind === 'set') && !ownsSelf;
    if (!namesNothing) set[element] = emptyFieldSet;
    return;
  }
  const below: MutableFieldSet = {};
  switch (shape.kind) {
    case 'struct':
      Object.assign(below, structFields(value as JsonObject, shape.type));
      break;
    case 'map':
    case 'deduced': {
      const item = shape.kind === 'map' ? shape.element : deducedShape;
      for (const key of Object.keys(value as JsonObject))
        collect(`f:${key}`, (value as JsonObject)[key], item, below, true);
      break;
    }
    default:
      for (const [key, item] of indexItems(value, shape)) {
        if (shape.kind === 'keyedList') collect(key, item, shape.element, below, true);
        else below[key] = emptyFieldSet;
      }
  }
  put(set, element, closeElement(below, ownsSelf));
}
