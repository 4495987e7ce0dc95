import { decodeObject } from '#api/codec/decode.ts';
import { badRequest } from '#api/object/api-error.ts';
import { isJsonObject, type JsonObject } from '#api/object/json.ts';
import type { TypeDef } from '#api/schema/type-table.ts';

const SCHEMA_LISTS = ['allOf', 'anyOf', 'oneOf'] as const;
const SCHEMA_MAPS = ['properties', 'patternProperties', 'definitions'] as const;
/** Unions of a schema and something else: the type table takes them for any JSON. */
const SCHEMA_UNIONS = ['items', 'additionalProperties', 'additionalItems'] as const;

/**
 * Decodes, in place, the schemas that stand where something else could stand too (`items`, `additionalProperties`), as strictly as the
 * type table does everywhere else. `type` is that of JSONSchemaProps. Throws ApiError 400 for what is no schema.
 */
export function decodeNestedSchemas(schema: JsonObject, type: TypeDef): void {
  for (const name of SCHEMA_UNIONS) {
    const value = schema[name];
    if (value === undefined) continue;
    if (Array.isArray(value) && name === 'items') schema[name] = value.map((one) => decodeSchema(one, name, type));
    else if (typeof value !== 'boolean' || name === 'items') schema[name] = decodeSchema(value, name, type);
  }
  for (const name of SCHEMA_MAPS) {
    const value = schema[name];
    if (isJsonObject(value)) for (const one of Object.values(value)) decodeNestedSchemas(one as JsonObject, type);
  }
  for (const name of SCHEMA_LISTS) {
    const value = schema[name];
    if (Array.isArray(value)) for (const one of value) decodeNestedSchemas(one as JsonObject, type);
  }
  if (isJsonObject(schema.not)) decodeNestedSchemas(schema.not, type);
}

function decodeSchema(value: unknown, name: string, type: TypeDef): JsonObject {
  if (!isJsonObject(value)) {
    throw badRequest(`${name} of a schema must be a schema, not ${value === null ? 'null' : typeof value}`);
  }
  const { metadata: _none, ...schema } = decodeObject(value, type).object;
  decodeNestedSchemas(schema, type);
  return schema;
}
