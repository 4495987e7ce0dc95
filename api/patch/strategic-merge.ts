import { ApiError, badRequest } from '../object/api-error.ts';
import { isJsonObject, type JsonObject } from '../object/json.ts';
import { setOwn } from '../object/own-property.ts';
import type { FieldDef, TypeDef } from '../schema/type-table.ts';
import { orderLikePatch } from './merge-order.ts';

const DIRECTIVE = '$patch';
const RETAIN_KEYS = '$retainKeys';
const ELEMENT_ORDER = '$setElementOrder/';
const DELETE_PRIMITIVES = '$deleteFromPrimitiveList/';

/**
 * Kubernetes' strategic merge patch: like a merge patch, but lists with a merge key merge item by item, and directives steer it.
 * Inputs are not changed. Throws ApiError 400 for malformed directives, 422 for a directive or list item that makes no sense.
 */
export function applyStrategicMerge(doc: unknown, patch: unknown, type: TypeDef): unknown {
  if (!isJsonObject(patch)) throw badRequest('error decoding patch: a strategic merge patch must be an object');
  return mergeObject(isJsonObject(doc) ? doc : {}, patch, { type, element: undefined });
}

/** What the table knows of an object: its type, or for a map the field whose values it holds. */
interface Schema {
  readonly type: TypeDef | undefined;
  readonly element: FieldDef | undefined;
}

const unknownSchema: Schema = { type: undefined, element: undefined };

function schemaBelow(schema: Schema, name: string): { field: FieldDef | undefined; below: Schema } {
  if (schema.element !== undefined)
    return { field: undefined, below: { type: schema.element.type, element: undefined } };
  const field = schema.type?.fields.get(name);
  if (field === undefined) return { field, below: unknownSchema };
  return {
    field,
    below: field.cardinality === 'map' ? { type: undefined, element: field } : { type: field.type, element: undefined },
  };
}

function mergeObject(original: JsonObject, patch: JsonObject, schema: Schema): JsonObject {
  const directive = patch[DIRECTIVE];
  if (directive === 'replace') return plainObject(patch, schema);
  if (directive === 'delete') return {};
  if (directive !== undefined && directive !== 'merge')
    throw unprocessable(`invalid ${DIRECTIVE} value: ${JSON.stringify(directive)}`);
  const target = retained(original, patch);
  for (const key of Object.keys(patch)) {
    if (key.startsWith(ELEMENT_ORDER)) mergeOrdered(target, patch, key.slice(ELEMENT_ORDER.length), schema);
  }
  for (const key of Object.keys(patch)) {
    if (key === DIRECTIVE || key === RETAIN_KEYS || key.startsWith(ELEMENT_ORDER)) continue;
    if (key.startsWith(DELETE_PRIMITIVES)) deletePrimitives(target, key.slice(DELETE_PRIMITIVES.length), patch[key]);
    else if (!Object.hasOwn(patch, ELEMENT_ORDER + key)) mergeKey(target, key, patch[key], schema);
  }
  return target;
}

function mergeKey(target: JsonObject, key: string, value: unknown, schema: Schema): void {
  if (value === null) {
    delete target[key];
    return;
  }
  const current = Object.hasOwn(target, key) ? target[key] : undefined;
  setOwn(target, key, mergeValue(current, value, key, schema));
}

function mergeValue(current: unknown, value: unknown, key: string, schema: Schema): unknown {
  const { field, below } = schemaBelow(schema, key);
  if (isJsonObject(value)) {
    const isReplaced = field?.patchStrategies.includes('replace') ?? false;
    return mergeObject(isReplaced || !isJsonObject(current) ? {} : current, value, below);
  }
  if (!Array.isArray(value)) return value;
  const isMerged = field?.patchStrategies.includes('merge') ?? false;
  const list = Array.isArray(current) ? current : [];
  return isMerged ? mergeList(list, value, field!, below) : plainList(value, below);
}

/** The original as far as the patch's `$retainKeys` lets it live. */
function retained(original: JsonObject, patch: JsonObject): JsonObject {
  const wanted = patch[RETAIN_KEYS];
  const target: JsonObject = {};
  if (wanted === undefined) {
    for (const key of Object.keys(original)) setOwn(target, key, original[key]);
    return target;
  }
  if (!Array.isArray(wanted)) throw badRequest('invalid patch format of retainKeys: it must be a list');
  const names = new Set<unknown>(wanted);
  for (const key of Object.keys(patch)) {
    const isNamed = key.startsWith('$') || patch[key] === null || names.has(key);
    if (!isNamed)
      throw badRequest(`invalid patch format of retainKeys: ${JSON.stringify(key)} is patched but not retained`);
  }
  for (const key of Object.keys(original)) if (names.has(key)) setOwn(target, key, original[key]);
  return target;
}

function deletePrimitives(target: JsonObject, key: string, values: unknown): void {
  if (!Array.isArray(values)) throw badRequest('invalid patch format of primitive list: it must be a list');
  const current = Object.hasOwn(target, key) ? target[key] : undefined;
  if (Array.isArray(current)) setOwn(target, key, removeDeleted(current, values));
}

/** `$setElementOrder/<key>`: merges the list, if the patch has it, and puts its items in the order given. */
function mergeOrdered(target: JsonObject, patch: JsonObject, key: string, schema: Schema): void {
  const order = patch[ELEMENT_ORDER + key];
  if (!Array.isArray(order)) throw badRequest('invalid patch format of setElementOrder list: it must be a list');
  const { field, below } = schemaBelow(schema, key);
  const current = Object.hasOwn(target, key) ? target[key] : undefined;
  const changes = patch[key];
  const original = Array.isArray(current) ? current : [];
  if (!Array.isArray(changes) && !Array.isArray(current)) return;
  if (changes === null) {
    delete target[key];
    return;
  }
  const mergeKeyName = field?.patchMergeKey;
  if (Array.isArray(changes)) checkOrder(changes, order, mergeKeyName);
  const merged = Array.isArray(changes) && field !== undefined ? mergeList(original, changes, field, below) : original;
  const remaining = removeDeleted(merged, patch[DELETE_PRIMITIVES + key]);
  setOwn(target, key, orderLikePatch(remaining, order, original, mergeKeyName));
}

function removeDeleted(list: readonly unknown[], deleted: unknown): readonly unknown[] {
  if (!Array.isArray(deleted)) return list;
  const gone = new Set<unknown>(deleted);
  return list.filter((item) => !gone.has(item));
}

/** Items of the patch must stand in the order it declares. */
function checkOrder(changes: readonly unknown[], order: readonly unknown[], key: string | undefined): void {
  const idOf = (item: unknown) => JSON.stringify(key === undefined ? item : isJsonObject(item) ? item[key] : undefined);
  const positions = new Map(order.map((item, index) => [idOf(item), index]));
  let last = -1;
  for (const item of changes) {
    if (isJsonObject(item) && item[DIRECTIVE] !== undefined) continue;
    const at = positions.get(idOf(item)) ?? -1;
    if (at < last || at < 0) {
      throw badRequest('invalid patch format of setElementOrder list: the patch list is not in the order it declares');
    }
    last = at;
  }
}

function mergeList(original: readonly unknown[], patch: readonly unknown[], field: FieldDef, below: Schema): unknown[] {
  if (field.kind !== 'message') return mergePrimitives(original, patch);
  const key = field.patchMergeKey;
  if (key === undefined) return plainList(patch, below);
  const changes = patch.map((item) => requireKey(item, key));
  if (changes.some((item) => item[DIRECTIVE] === 'replace')) {
    const rest = changes.filter((item) => item[DIRECTIVE] !== 'replace' || Object.keys(item).length > 1);
    return plainList(rest, below);
  }
  const idOf = (item: unknown) => (isJsonObject(item) ? JSON.stringify(item[key]) : undefined);
  const deleted = new Set(changes.filter((item) => item[DIRECTIVE] === 'delete').map(idOf));
  const kept = changes.filter((item) => item[DIRECTIVE] !== 'delete');
  const merged: unknown[] = original.filter((item) => !deleted.has(idOf(item)));
  const positions = new Map<string | undefined, number>();
  for (const [index, item] of merged.entries()) if (!positions.has(idOf(item))) positions.set(idOf(item), index);
  for (const change of kept) {
    const at = positions.get(idOf(change));
    if (at === undefined) {
      positions.set(idOf(change), merged.length);
      merged.push(mergeObject({}, change, below));
    } else {
      merged[at] = mergeObject(merged[at] as JsonObject, change, below);
    }
  }
  return orderLikePatch(merged, kept, original, key);
}

function requireKey(item: unknown, key: string): JsonObject {
  if (!isJsonObject(item)) throw unprocessable(`list items must be objects with the merge key ${key}`);
  const directive = item[DIRECTIVE];
  if (directive !== undefined && !['replace', 'delete', 'merge'].includes(directive as string)) {
    throw unprocessable(`invalid ${DIRECTIVE} value: ${JSON.stringify(directive)}`);
  }
  if (directive !== 'replace' && item[key] === undefined) {
    throw unprocessable(`map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`);
  }
  return item;
}

function mergePrimitives(original: readonly unknown[], patch: readonly unknown[]): unknown[] {
  return orderLikePatch([...new Set([...original, ...patch])], patch, original, undefined);
}

/** A value that has no counterpart in the original: directives do their work on nothing and vanish. */
function plainObject(patch: JsonObject, schema: Schema): JsonObject {
  const { [DIRECTIVE]: _, ...rest } = patch;
  return mergeObject({}, rest, schema);
}

function plainList(list: readonly unknown[], below: Schema): unknown[] {
  return list
    .filter((item) => !(isJsonObject(item) && item[DIRECTIVE] === 'delete'))
    .map((item) => (isJsonObject(item) ? plainObject(item, below) : item));
}

function unprocessable(why: string): ApiError {
  return new ApiError(422, 'Invalid', `the server rejected our request due to an error in our request: ${why}`);
}
