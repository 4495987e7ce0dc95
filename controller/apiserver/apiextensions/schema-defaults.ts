import { deepCopy } from '#api/object/deep-copy.ts';
import { isJsonObject, type JsonObject } from '#api/object/json.ts';
import { setOwn } from '#api/object/own-property.ts';
import { additionalOf, itemsOf, type JsonSchema, propertyOf } from './custom-resource-definition.ts';

/**
 * Fills in the schema's defaults, in place. Null where the schema does not allow it counts as absent: it gives way to a default, or is
 * taken out.
 */
export function applySchemaDefaults(object: JsonObject, schema: JsonSchema): void {
  dropForbiddenNulls(object, schema);
  fillDefaults(object, schema);
}

const isForbiddenNull = (value: unknown, schema: JsonSchema) => value === null && schema.nullable !== true;

function dropForbiddenNulls(value: unknown, schema: JsonSchema | undefined): void {
  if (schema === undefined) return;
  if (Array.isArray(value)) {
    for (const item of value) dropForbiddenNulls(item, itemsOf(schema));
    return;
  }
  if (!isJsonObject(value)) return;
  for (const name of Object.keys(value)) {
    const below = propertyOf(schema, name) ?? additionalOf(schema);
    if (below === undefined) continue;
    if (isForbiddenNull(value[name], below) && below.default === undefined) delete value[name];
    else dropForbiddenNulls(value[name], below);
  }
}

function fillDefaults(value: unknown, schema: JsonSchema | undefined): void {
  if (schema === undefined) return;
  if (Array.isArray(value)) fillList(value, itemsOf(schema));
  else if (isJsonObject(value)) fillObject(value, schema);
}

function fillList(list: unknown[], items: JsonSchema | undefined): void {
  if (items === undefined) return;
  for (const [index, item] of list.entries()) {
    if (isForbiddenNull(item, items) && items.default !== undefined) list[index] = deepCopy(items.default);
    fillDefaults(list[index], items);
  }
}

function fillObject(object: JsonObject, schema: JsonSchema): void {
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    if (property.default === undefined) continue;
    if (!Object.hasOwn(object, name) || isForbiddenNull(object[name], property)) {
      setOwn(object, name, deepCopy(property.default));
    }
  }
  for (const name of Object.keys(object)) {
    const property = propertyOf(schema, name);
    if (property !== undefined) {
      fillDefaults(object[name], property);
      continue;
    }
    const additional = additionalOf(schema);
    if (additional === undefined) continue;
    if (isForbiddenNull(object[name], additional) && additional.default !== undefined) {
      setOwn(object, name, deepCopy(additional.default));
    }
    fillDefaults(object[name], additional);
  }
}

/** True when `applySchemaDefaults` may change anything but nulls: kinds without defaults save a walk on every read. */
export function hasDefaults(schema: JsonSchema | undefined): boolean {
  if (schema === undefined) return false;
  return (
    schema.default !== undefined ||
    hasDefaults(itemsOf(schema)) ||
    hasDefaults(additionalOf(schema)) ||
    Object.values(schema.properties ?? {}).some(hasDefaults)
  );
}
