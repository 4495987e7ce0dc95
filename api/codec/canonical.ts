import { canonicalQuantity } from '../meta/quantity.ts';
import { isJsonObject, type JsonObject } from '../object/json.ts';
import type { KubeObject } from '../object/kube-object.ts';
import { setOwn } from '../object/own-property.ts';
import type { FieldDef, TypeDef } from '../schema/type-table.ts';
import { canonicalBytes, canonicalMicroTime, canonicalTime } from './scalar-text.ts';

export { applyPlainDefaults } from './plain-defaults.ts';

/*
 * The canonical form: one object, one sequence of bytes. It decides no-op updates, managedFields and generation.
 *
 * - Fields stand in the order of their type (apiVersion, kind, metadata first, the rest by name), maps and raw JSON by key. (Keys
 *   that look like array indexes come first in ascending order: JavaScript keeps them so, and it is just as definite.)
 * - A field is left out by its omit rule; null counts as absent.
 * - Quantities and times stand in their canonical text.
 */

/**
 * The canonical form of a decoded object. May share unchanged maps and raw JSON with its input: treat both as immutable afterwards.
 * `known` is a canonical object of the same type: parts of the input that are its very same values are taken over unseen.
 */
export function canonicalize(object: KubeObject, type: TypeDef, known?: KubeObject): KubeObject {
  return canonicalMessage(object, type, known) as KubeObject;
}

/**
 * UTF-8 JSON of an object that is canonical already. Small results lie in Node's buffer pool, which costs a fifth of memory of their own:
 * whoever keeps one or posts it to another thread must copy it.
 */
export function encodeCanonical(object: object): Uint8Array {
  return Buffer.from(JSON.stringify(object));
}

interface Layout {
  readonly fields: readonly FieldDef[];
}

/** Field lists in order: iterating a Map of 40 fields on every object costs more than the fields themselves. */
const layouts = new WeakMap<TypeDef, Layout>();

function layoutOf(type: TypeDef): Layout {
  let layout = layouts.get(type);
  if (layout === undefined) {
    layout = { fields: [...type.fields.values()] };
    layouts.set(type, layout);
  }
  return layout;
}

function canonicalMessage(source: JsonObject, type: TypeDef, known?: JsonObject): JsonObject {
  const target: JsonObject = {};
  for (const field of layoutOf(type).fields) {
    const value = source[field.name];
    if (value === undefined || value === null) {
      const zero = field.omit === 'never' && field.cardinality === 'one' ? zeroOf(field) : undefined;
      if (zero !== undefined) target[field.name] = zero;
      continue;
    }
    const before = known?.[field.name];
    const canonical = value === before ? value : canonicalField(value, field, before);
    if (field.omit === 'zero' && isZero(canonical)) continue;
    target[field.name] = canonical;
  }
  if (type.preserveUnknown) copyUnknown(source, target, type);
  return target;
}

function copyUnknown(source: JsonObject, target: JsonObject, type: TypeDef): void {
  for (const key of Object.keys(source).sort()) {
    if (!type.fields.has(key)) setOwn(target, key, canonicalJson(source[key]));
  }
}

function isZero(value: unknown): boolean {
  switch (typeof value) {
    case 'string':
      return value === '';
    case 'number':
      return value === 0;
    case 'boolean':
      return !value;
    case 'object':
      if (Array.isArray(value)) return value.length === 0;
      for (const key in value) if (Object.hasOwn(value, key)) return false;
      return true;
    default:
      return value === undefined;
  }
}

/** What Go writes for a value that was never set. Times have no such form: they are left out. */
function zeroOf(field: FieldDef): unknown {
  switch (field.kind) {
    case 'string':
    case 'bytes':
      return '';
    case 'bool':
      return false;
    case 'int32':
    case 'int64':
    case 'double':
    case 'intOrString':
      return 0;
    case 'quantity':
      return '0';
    case 'message':
      return canonicalMessage({}, field.type!);
    default:
      return undefined;
  }
}

/** `known`: what stands in the same place of the known object. */
function canonicalField(value: unknown, field: FieldDef, known: unknown): unknown {
  switch (field.cardinality) {
    case 'list': {
      const list = value as readonly unknown[];
      const before: readonly unknown[] = Array.isArray(known) ? known : [];
      const target = new Array<unknown>(list.length);
      for (let index = 0; index < list.length; index++) {
        target[index] = canonicalElement(list[index], field, before[index]);
      }
      return target;
    }
    case 'map':
      return canonicalMap(value as JsonObject, field);
    default:
      return canonicalElement(value, field, known);
  }
}

function canonicalElement(value: unknown, field: FieldDef, known?: unknown): unknown {
  if (value === null || value === undefined) return field.kind === 'json' ? null : (zeroOf(field) ?? null);
  if (value === known) return value;
  if (field.kind !== 'message') return canonicalScalar(value, field);
  return canonicalMessage(value as JsonObject, field.type!, isJsonObject(known) ? known : undefined);
}

/** The canonical text of anything but a message. */
export function canonicalScalar(value: unknown, field: FieldDef): unknown {
  switch (field.kind) {
    case 'quantity':
      return canonicalQuantity(value as string | number);
    case 'time':
      return canonicalTime(value as string);
    case 'microTime':
      return canonicalMicroTime(value as string);
    case 'bytes':
      return canonicalBytes(value as string);
    case 'json':
      return canonicalJson(value);
    default:
      return value;
  }
}

function canonicalMap(source: JsonObject, field: FieldDef): JsonObject {
  const keys = Object.keys(source);
  // Plain string maps (labels, annotations, data) are by far the most: reused when their keys are in order already.
  const isPlain = field.kind === 'string' && keys.every((key) => typeof source[key] === 'string');
  if (isPlain && isSorted(keys)) return source;
  const target: JsonObject = {};
  for (const key of keys.sort()) setOwn(target, key, canonicalElement(source[key], field));
  return target;
}

function isSorted(keys: readonly string[]): boolean {
  for (let index = 1; index < keys.length; index++) if (keys[index - 1]! > keys[index]!) return false;
  return true;
}

/** Raw JSON with its keys in order; returns its input where that is so already. */
export function canonicalJson(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    let copy: unknown[] | undefined;
    for (let index = 0; index < value.length; index++) {
      const item = canonicalJson(value[index]);
      if (item !== value[index]) copy ??= value.slice();
      if (copy !== undefined) copy[index] = item;
    }
    return copy ?? value;
  }
  const source = value as JsonObject;
  const keys = Object.keys(source);
  let isUnchanged = isSorted(keys);
  const items = (isUnchanged ? keys : keys.sort()).map((key) => {
    const item = canonicalJson(source[key]);
    if (item !== source[key]) isUnchanged = false;
    return item;
  });
  if (isUnchanged) return source;
  const target: JsonObject = {};
  for (const [index, key] of keys.entries()) setOwn(target, key, items[index]);
  return target;
}
