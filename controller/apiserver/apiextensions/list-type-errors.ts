import { duplicate, type FieldError, invalid } from '#api/object/field-error.ts';
import { isJsonObject, type JsonObject } from '#api/object/json.ts';
import { additionalOf, itemsOf, type JsonSchema, propertyOf } from './custom-resource-definition.ts';

/** Lists that are sets or maps must not hold an item, or a key, twice. */
export function listTypeErrors(object: JsonObject, schema: JsonSchema): FieldError[] {
  const errors: FieldError[] = [];
  walk(object, schema, '', errors);
  return errors;
}

function walk(value: unknown, schema: JsonSchema, path: string, errors: FieldError[]): void {
  if (Array.isArray(value)) {
    errors.push(...ownErrors(value, schema, path));
    const items = itemsOf(schema);
    if (items !== undefined)
      for (const [index, item] of value.entries()) walk(item, items, `${path}[${index}]`, errors);
    return;
  }
  if (!isJsonObject(value)) return;
  const additional = additionalOf(schema);
  for (const name of Object.keys(value)) {
    const property = propertyOf(schema, name);
    if (property !== undefined) walk(value[name], property, path === '' ? name : `${path}.${name}`, errors);
    else if (additional !== undefined) walk(value[name], additional, `${path}[${name}]`, errors);
  }
}

function ownErrors(list: readonly unknown[], schema: JsonSchema, path: string): FieldError[] {
  switch (schema['x-kubernetes-list-type']) {
    case 'set':
      return repeated(list).map((index) => duplicate(`${path}[${index}]`, list[index]));
    case 'map':
      return mapErrors(list, schema['x-kubernetes-list-map-keys'] ?? [], path);
    default:
      return [];
  }
}

function mapErrors(list: readonly unknown[], keys: readonly string[], path: string): FieldError[] {
  const wrong = list.findIndex((item) => item !== null && !isJsonObject(item));
  if (wrong >= 0) {
    return [invalid(`${path}[${wrong}]`, list[wrong], 'must be an object for an array of list-type map')];
  }
  const keysOf = list.map((item) => {
    const object = isJsonObject(item) ? item : {};
    return Object.fromEntries(keys.filter((key) => Object.hasOwn(object, key)).map((key) => [key, object[key]]));
  });
  return repeated(keysOf).map((index) => duplicate(`${path}[${index}]`, keysOf[index]));
}

/** Where each value that occurs more than once is met the second time. Values are canonical, so equal ones have equal texts. */
function repeated(values: readonly unknown[]): number[] {
  const times = new Map<string, number>();
  const found: number[] = [];
  for (const [index, value] of values.entries()) {
    const text = JSON.stringify(value);
    const seen = (times.get(text) ?? 0) + 1;
    times.set(text, seen);
    if (seen === 2) found.push(index);
  }
  return found;
}
