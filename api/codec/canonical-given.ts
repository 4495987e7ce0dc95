import { isJsonObject, type JsonObject } from '../object/json.ts';
import type { KubeObject } from '../object/kube-object.ts';
import { setOwn } from '../object/own-property.ts';
import type { FieldDef, TypeDef } from '../schema/type-table.ts';
import { canonicalScalar } from './canonical.ts';

/**
 * An applied configuration with quantities and times in canonical text, but otherwise as given: zero values stay, because naming a
 * field is owning it, and nothing is filled in. Null counts as not named.
 */
export function canonicalizeGiven(config: KubeObject, type: TypeDef): KubeObject {
  return givenMessage(config, type) as KubeObject;
}

function givenMessage(source: JsonObject, type: TypeDef): JsonObject {
  const target: JsonObject = {};
  for (const name of Object.keys(source)) {
    const value = source[name];
    const field = type.fields.get(name);
    if (value === null || value === undefined) continue;
    if (field !== undefined) target[name] = givenField(value, field);
    else if (type.preserveUnknown) setOwn(target, name, value);
  }
  return target;
}

function givenField(value: unknown, field: FieldDef): unknown {
  if (field.cardinality === 'list')
    return Array.isArray(value) ? value.map((item) => givenElement(item, field)) : value;
  if (field.cardinality === 'one') return givenElement(value, field);
  if (!isJsonObject(value)) return value;
  const target: JsonObject = {};
  for (const key of Object.keys(value)) if (value[key] !== null) setOwn(target, key, givenElement(value[key], field));
  return target;
}

function givenElement(value: unknown, field: FieldDef): unknown {
  if (field.kind === 'message') return isJsonObject(value) ? givenMessage(value, field.type!) : {};
  return value === null ? value : canonicalScalar(value, field);
}
