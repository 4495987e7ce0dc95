import { isJsonObject, type JsonObject } from '../object/json.ts';
import type { KubeObject } from '../object/kube-object.ts';
import { setOwn } from '../object/own-property.ts';
import type { TypeDef } from '../schema/type-table.ts';
import { emptyFieldSet, type FieldSet, isEmptySet, isMember } from './field-set.ts';
import { deducedShape, type FieldShape, keyElement, shapeOf, structShape, valueElement } from './field-shape.ts';

/** The object without what stands in `last` and not in `managed`. A struct goes with everything in it once nobody sets a part of it. */
export function pruneFields(object: KubeObject, type: TypeDef, last: FieldSet, managed: FieldSet): KubeObject {
  const { 'f:metadata': lastMeta, ...lastRest } = last;
  const pruned = pruneObject(object, lastRest, managed, structShape(type)) as KubeObject;
  const metaType = type.fields.get('metadata')?.type;
  if (lastMeta === undefined || metaType === undefined) return pruned;
  const managedMeta = managed['f:metadata'] ?? emptyFieldSet;
  // metadata itself is never anybody's to remove.
  return {
    ...pruned,
    metadata: pruneObject(object.metadata as JsonObject, lastMeta, managedMeta, structShape(metaType)),
  };
}

function pruneValue(value: unknown, last: FieldSet, managed: FieldSet, shape: FieldShape): unknown {
  if (isEmptySet(last) || shape.kind === 'leaf') return value;
  if (Array.isArray(value))
    return shape.kind === 'keyedList' || shape.kind === 'set' ? pruneList(value, last, managed, shape) : value;
  return isJsonObject(value) ? pruneObject(value, last, managed, shape) : value;
}

function pruneObject(value: JsonObject, last: FieldSet, managed: FieldSet, shape: FieldShape): JsonObject {
  const pruned: JsonObject = {};
  for (const name of Object.keys(value)) {
    const element = `f:${name}`;
    const lastBelow = last[element];
    const field = shape.kind === 'struct' ? shape.type.fields.get(name) : undefined;
    if (lastBelow === undefined) {
      setOwn(pruned, name, value[name]);
      continue;
    }
    const managedBelow = managed[element];
    const isNamed = field !== undefined;
    const wasOwned = isMember(lastBelow) || isNamed;
    const isOwned = isMember(managedBelow) || (isNamed && managedBelow !== undefined);
    if (wasOwned && !isOwned) continue;
    const below = shape.kind === 'map' ? shape.element : field === undefined ? deducedShape : shapeOf(field);
    setOwn(pruned, name, pruneValue(value[name], lastBelow, managedBelow ?? emptyFieldSet, below));
  }
  return pruned;
}

type ListShape = Extract<FieldShape, { kind: 'keyedList' | 'set' }>;

function pruneList(list: readonly unknown[], last: FieldSet, managed: FieldSet, shape: ListShape): unknown[] {
  const pruned: unknown[] = [];
  for (const item of list) {
    const element = shape.kind === 'keyedList' ? keyElement(item, shape.keys) : valueElement(item);
    const lastBelow = last[element];
    const managedBelow = managed[element];
    if (lastBelow !== undefined && isMember(lastBelow) && !isMember(managedBelow)) continue;
    const isKept = lastBelow === undefined || shape.kind === 'set';
    pruned.push(isKept ? item : pruneValue(item, lastBelow, managedBelow ?? emptyFieldSet, shape.element));
  }
  return pruned;
}
