import { deepEqual } from '../../object/deep-equal.ts';
import { isJsonObject, type JsonObject } from '../../object/json.ts';
import type { FieldDef, TypeDef } from '../../schema/type-table.ts';

/** What clients know of a field on their way down: a map's values have the field's type, but none of its strategies. */
interface Place {
  readonly type: TypeDef | undefined;
  readonly element: FieldDef | undefined;
}

/** The two-way strategic merge patch that a client sends to make `from` into `to`. */
export function strategicDiff(from: JsonObject, to: JsonObject, type: TypeDef): JsonObject {
  return diffObject(from, to, { type, element: undefined });
}

function diffObject(from: JsonObject, to: JsonObject, place: Place): JsonObject {
  const patch: JsonObject = {};
  for (const key of Object.keys(from)) if (to[key] === undefined) patch[key] = null;
  for (const key of Object.keys(to)) {
    if (deepEqual(from[key], to[key])) continue;
    Object.assign(patch, diffField(key, from[key], to[key], place));
  }
  return patch;
}

function diffField(key: string, from: unknown, to: unknown, place: Place): JsonObject {
  const field = place.element === undefined ? place.type?.fields.get(key) : undefined;
  const strategies = field?.patchStrategies ?? [];
  if (Array.isArray(to) && Array.isArray(from) && strategies.includes('merge'))
    return field?.kind === 'message' ? diffKeyed(key, from, to, field) : diffPrimitives(key, from, to);
  if (!isJsonObject(to) || !isJsonObject(from) || strategies.includes('replace')) return { [key]: to };
  const below = diffObject(from, to, placeBelow(field, place));
  return { [key]: strategies.includes('retainKeys') ? { ...below, $retainKeys: Object.keys(to) } : below };
}

function placeBelow(field: FieldDef | undefined, place: Place): Place {
  if (place.element !== undefined) return { type: place.element.type, element: undefined };
  if (field === undefined) return { type: undefined, element: undefined };
  return field.cardinality === 'map' ? { type: undefined, element: field } : { type: field.type, element: undefined };
}

function diffKeyed(key: string, from: readonly unknown[], to: readonly unknown[], field: FieldDef): JsonObject {
  const name = field.patchMergeKey ?? '';
  const before = new Map((from as JsonObject[]).map((item) => [item[name], item]));
  const changes: JsonObject[] = [];
  const wanted = to as JsonObject[];
  const place: Place = { type: field.type, element: undefined };
  for (const item of wanted) {
    const old = before.get(item[name]);
    before.delete(item[name]);
    if (deepEqual(old, item)) continue;
    const change = old === undefined ? item : { ...diffObject(old, item, place), [name]: item[name] };
    const isRetaining = old !== undefined && field.patchStrategies.includes('retainKeys');
    changes.push(isRetaining ? { ...change, $retainKeys: Object.keys(item) } : change);
  }
  for (const id of before.keys()) changes.push({ [name]: id, $patch: 'delete' });
  return {
    ...(changes.length === 0 ? {} : { [key]: changes }),
    [`$setElementOrder/${key}`]: wanted.map((item) => ({ [name]: item[name] })),
  };
}

function diffPrimitives(key: string, from: readonly unknown[], to: readonly unknown[]): JsonObject {
  const gone = from.filter((item) => !to.includes(item));
  const added = to.filter((item) => !from.includes(item));
  return {
    ...(added.length === 0 ? {} : { [key]: added }),
    ...(gone.length === 0 ? {} : { [`$deleteFromPrimitiveList/${key}`]: gone }),
    [`$setElementOrder/${key}`]: to,
  };
}
