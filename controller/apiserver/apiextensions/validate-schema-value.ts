import { deepEqual } from '#api/object/deep-equal.ts';
import { type FieldError, invalid, notSupported, required, tooLong, tooMany } from '#api/object/field-error.ts';
import { isJsonObject, type JsonObject } from '#api/object/json.ts';
import { SafePattern } from '../cel/regex/safe-pattern.ts';
import { additionalOf, isIntOrString, itemsOf, type JsonSchema, propertyOf } from './custom-resource-definition.ts';
import { hasFormat } from './string-formats.ts';

/** The value in the old object that a value of the new one stands for; undefined where none can be told. */
export interface Correlated {
  readonly old: unknown;
}

/**
 * Findings of OpenAPI validation in Kubernetes' words. With `correlated`, a value that is as it was before is not judged again, so that
 * objects which became invalid by a change of the schema can still be changed elsewhere.
 */
export function validateSchemaValue(
  value: unknown,
  schema: JsonSchema,
  path: string,
  correlated?: Correlated,
): FieldError[] {
  if (correlated !== undefined && deepEqual(value, correlated.old)) return [];
  if (value === null || value === undefined) return nullErrors(value, schema, path);
  return [
    ...typeErrors(value, schema, path),
    ...compositeErrors(value, schema, path),
    ...enumErrors(value, schema, path),
    ...contentErrors(value, schema, path, correlated),
  ];
}

function contentErrors(
  value: unknown,
  schema: JsonSchema,
  path: string,
  correlated: Correlated | undefined,
): FieldError[] {
  if (typeof value === 'string') return stringErrors(value, schema, path);
  if (typeof value === 'number') return numberErrors(value, schema, path);
  if (Array.isArray(value)) return listErrors(value, schema, path, correlated);
  return isJsonObject(value) ? objectErrors(value, schema, path, correlated) : [];
}

function nullErrors(value: unknown, schema: JsonSchema, path: string): FieldError[] {
  const types = typesOf(schema);
  if (types.length > 0 && schema.nullable !== true) return [wrongType(path, types, 'null')];
  return value === null && schema.nullable !== true ? enumErrors(value, schema, path) : [];
}

function typesOf(schema: JsonSchema): readonly string[] {
  if (schema.type !== undefined && schema.type !== '') return [schema.type];
  return isIntOrString(schema) ? ['integer', 'string'] : [];
}

function jsonType(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

const subject = (path: string) => `${path} in body`;

/** `field.TypeInvalid`: reads like an invalid value, but says that the type is wrong. */
function typeInvalid(path: string, value: unknown, detail: string): FieldError {
  return { ...invalid(path, value, detail), type: 'FieldValueTypeInvalid' };
}

function wrongType(path: string, types: readonly string[], actual: string): FieldError {
  return typeInvalid(path, actual, `${subject(path)} must be of type ${types.join(',')}: ${JSON.stringify(actual)}`);
}

function typeErrors(value: unknown, schema: JsonSchema, path: string): FieldError[] {
  const types = typesOf(schema);
  const actual = jsonType(value);
  const fits = types.length === 0 || types.includes(actual) || (actual === 'integer' && types.includes('number'));
  return fits ? [] : [wrongType(path, types, actual)];
}

function enumErrors(value: unknown, schema: JsonSchema, path: string): FieldError[] {
  if (schema.enum === undefined || schema.enum.length === 0) return [];
  if (schema.enum.some((allowed) => deepEqual(allowed, value))) return [];
  const values = schema.enum.map((allowed) => (typeof allowed === 'string' ? allowed : JSON.stringify(allowed)));
  return [notSupported(path, value, values)];
}

const bad = (path: string, value: unknown, what: string) => invalid(path, value, `${subject(path)} ${what}`);

function stringErrors(text: string, schema: JsonSchema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { maxLength, minLength, pattern, format } = schema;
  if (maxLength !== undefined || minLength !== undefined) {
    const chars = [...text].length;
    if (maxLength !== undefined && chars > maxLength) errors.push(tooLong(path, maxLength));
    if (minLength !== undefined && chars < minLength) {
      errors.push(bad(path, text, `should be at least ${minLength} chars long`));
    }
  }
  if (pattern !== undefined && pattern !== '' && !SafePattern.compile(pattern).test(text)) {
    errors.push(bad(path, text, `should match '${pattern}'`));
  }
  if (format !== undefined && !hasFormat(text, format)) {
    errors.push(typeInvalid(path, text, `${subject(path)} must be of type ${format}: ${JSON.stringify(text)}`));
  }
  return errors;
}

const INT32_MAX = 2 ** 31 - 1;

function numberErrors(value: number, schema: JsonSchema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { maximum, minimum, multipleOf, format } = schema;
  if (format === 'int32' && (value > INT32_MAX || value < -INT32_MAX - 1)) {
    errors.push(bad(path, value, `must be of type int32: "${value}"`));
  }
  if (multipleOf !== undefined && multipleOf > 0 && !isMultiple(value, multipleOf)) {
    errors.push(bad(path, value, `should be a multiple of ${goNumber(multipleOf)}`));
  }
  if (maximum !== undefined && (schema.exclusiveMaximum === true ? value >= maximum : value > maximum)) {
    const limit = schema.exclusiveMaximum === true ? 'less than' : 'less than or equal to';
    errors.push(bad(path, value, `should be ${limit} ${goNumber(maximum)}`));
  }
  if (minimum !== undefined && (schema.exclusiveMinimum === true ? value <= minimum : value < minimum)) {
    const limit = schema.exclusiveMinimum === true ? 'greater than' : 'greater than or equal to';
    errors.push(bad(path, value, `should be ${limit} ${goNumber(minimum)}`));
  }
  return errors;
}

function isMultiple(value: number, factor: number): boolean {
  const quotient = value / factor;
  return Math.abs(quotient - Math.round(quotient)) < 1e-9;
}

/** A float as Go's %v prints it: an exponent from 1e+21 on, with two digits at least. */
function goNumber(value: number): string {
  if (value !== 0 && (Math.abs(value) >= 1e21 || Math.abs(value) < 1e-4)) {
    return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
  }
  return String(value);
}

function listErrors(
  list: readonly unknown[],
  schema: JsonSchema,
  path: string,
  correlated: Correlated | undefined,
): FieldError[] {
  const errors: FieldError[] = [];
  const items = itemsOf(schema);
  if (items !== undefined) {
    const oldItem = oldItems(schema, correlated);
    for (const [index, item] of list.entries()) {
      errors.push(...validateSchemaValue(item, items, `${path}[${index}]`, oldItem(item)));
    }
  }
  const { maxItems, minItems } = schema;
  if (maxItems !== undefined && list.length > maxItems) errors.push(tooMany(path, list.length, maxItems));
  if (minItems !== undefined && list.length < minItems) {
    errors.push(bad(path, list.length, `should have at least ${minItems} items`));
  }
  return errors;
}

const none = () => undefined;

/** Items of associative lists have an old self; those of other lists cannot be told apart. */
export function oldItems(
  schema: JsonSchema,
  correlated: Correlated | undefined,
): (item: unknown) => Correlated | undefined {
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  if (schema['x-kubernetes-list-type'] !== 'map' || keys.length === 0 || !Array.isArray(correlated?.old)) return none;
  const keyOf = (item: unknown) => JSON.stringify(keys.map((key) => (isJsonObject(item) ? (item[key] ?? null) : null)));
  const byKey = new Map(correlated.old.map((item) => [keyOf(item), item]));
  return (item) => {
    const key = keyOf(item);
    return byKey.has(key) ? { old: byKey.get(key) } : undefined;
  };
}

function objectErrors(
  object: JsonObject,
  schema: JsonSchema,
  path: string,
  correlated: Correlated | undefined,
): FieldError[] {
  const errors: FieldError[] = [];
  const { maxProperties, minProperties } = schema;
  const names = Object.keys(object);
  if (maxProperties !== undefined && names.length > maxProperties) {
    errors.push(tooMany(path, names.length, maxProperties));
  }
  if (minProperties !== undefined && names.length < minProperties) {
    errors.push(bad(path, names.length, `should have at least ${minProperties} properties`));
  }
  for (const name of schema.required ?? []) {
    if (!Object.hasOwn(object, name)) errors.push(required(join(path, name)));
  }
  for (const name of names) {
    const below = propertyOf(schema, name) ?? additionalOf(schema);
    if (below !== undefined) {
      errors.push(...validateSchemaValue(object[name], below, join(path, name), oldField(correlated, name)));
    }
  }
  return errors;
}

const join = (path: string, name: string) => (path === '' ? name : `${path}.${name}`);

export function oldField(correlated: Correlated | undefined, name: string): Correlated | undefined {
  const old = correlated?.old;
  return isJsonObject(old) && Object.hasOwn(old, name) ? { old: old[name] } : undefined;
}

/** What allOf, anyOf, oneOf and not say; their findings name the value in the text and stand at the object itself. */
function compositeErrors(value: unknown, schema: JsonSchema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const report = (text: string) => errors.push(invalid('<nil>', '', `${JSON.stringify(path)} ${text}`));
  const judge = (schemas: readonly JsonSchema[]) => schemas.map((one) => validateSchemaValue(value, one, path));
  if (schema.anyOf !== undefined && schema.anyOf.length > 0) {
    const results = judge(schema.anyOf);
    if (results.every((found) => found.length > 0)) {
      report('must validate at least one schema (anyOf)');
      errors.push(...bestOf(results));
    }
  }
  if (schema.oneOf !== undefined && schema.oneOf.length > 0) {
    const results = judge(schema.oneOf);
    const valid = results.filter((found) => found.length === 0).length;
    if (valid === 0) {
      report('must validate one and only one schema (oneOf). Found none valid');
      errors.push(...bestOf(results));
    } else if (valid > 1) report(`must validate one and only one schema (oneOf). Found ${valid} valid alternatives`);
  }
  if (schema.allOf !== undefined && schema.allOf.length > 0) {
    const found = judge(schema.allOf).flat();
    errors.push(...found);
    if (found.length > 0) report('must validate all the schemas (allOf)');
  }
  if (schema.not !== undefined && validateSchemaValue(value, schema.not, path).length === 0) {
    report('must not validate the schema (not)');
  }
  return errors;
}

/** The alternative that came closest explains most. */
function bestOf(results: readonly (readonly FieldError[])[]): readonly FieldError[] {
  return results.reduce((best, found) => (found.length < best.length ? found : best), results[0] ?? []);
}
