import { canonicalQuantity, QuantityError } from '../meta/quantity.ts';
import { ApiError, badRequest } from '../object/api-error.ts';
import { isJsonObject, type JsonObject } from '../object/json.ts';
import type { KubeObject } from '../object/kube-object.ts';
import { setOwn } from '../object/own-property.ts';
import type { FieldDef, TypeDef } from '../schema/type-table.ts';
import { canonicalBytes, canonicalMicroTime, canonicalTime, checkDuration, ScalarError } from './scalar-text.ts';
import { findUnknownFields } from './unknown-fields.ts';

export { type ParsedJson, parseJsonStrict } from './parse-json.ts';

export interface DecodedObject {
  readonly object: KubeObject;
  /** `unknown field "spec.foo"`; those fields were dropped. */
  readonly unknownFields: readonly string[];
}

/**
 * Checks a parsed value against its type and copies what the type knows: null counts as absent (in lists and maps as the zero value),
 * zero values that Go would not tell from absence are dropped, quantities, times and bytes come out canonical.
 * Order and fields that are always written are canonicalize()'s. Throws ApiError 400 for a value of the wrong type, in Kubernetes' words.
 */
export function decodeObject(value: unknown, type: TypeDef): DecodedObject {
  const state: DecodeState = { sawUnknown: false };
  try {
    if (!isJsonObject(value)) throw new TypeMismatch(jsonTypeOf(value), goTypeOf(type));
    const object = decodeMessage(value, type, state) as KubeObject;
    object.metadata ??= {};
    return { object, unknownFields: state.sawUnknown ? findUnknownFields(value, type) : NO_FIELDS };
  } catch (err) {
    throw explain(err, value, type);
  }
}

/** The 400 answer of `fieldValidation=Strict`; `problems` are unknown and duplicate fields in the words of this module. */
export function strictDecodingError(
  object: { apiVersion?: string; kind?: string },
  problems: readonly string[],
): ApiError {
  return badRequest(
    `${subject(object.apiVersion ?? '', object.kind ?? '')}: strict decoding error: ${problems.join(', ')}`,
  );
}

const NO_FIELDS: readonly string[] = [];

interface DecodeState {
  /** Paths are not kept while decoding: finding unknown fields is a second walk that hardly ever happens. */
  sawUnknown: boolean;
}

/** A value that does not fit; its path grows while the error travels up. */
class TypeMismatch extends Error {
  readonly actual: string;
  readonly expected: string;
  /** Innermost struct and field names from there on. */
  struct = '';
  path = '';

  constructor(actual: string, expected: string) {
    super();
    this.actual = actual;
    this.expected = expected;
  }

  /** Records one level on the way up. */
  within(type: TypeDef, field: string): void {
    if (this.struct === '') this.struct = shortName(type);
    this.path = this.path === '' ? field : `${field}.${this.path}`;
  }
}

function decodeMessage(source: JsonObject, type: TypeDef, state: DecodeState): JsonObject {
  const target: JsonObject = {};
  for (const key of Object.keys(source)) {
    const value = source[key];
    const field = type.fields.get(key);
    if (field === undefined) {
      if (type.preserveUnknown) setOwn(target, key, value);
      else state.sawUnknown = true;
      continue;
    }
    if (value === null || value === undefined) continue;
    try {
      const decoded =
        field.cardinality === 'one' ? decodeElement(value, field, state) : decodeMany(value, field, state);
      if (field.omit === 'zero' && isDroppedZero(decoded)) continue;
      target[key] = decoded;
    } catch (err) {
      if (err instanceof TypeMismatch) err.within(type, key);
      throw err;
    }
  }
  return target;
}

/** Empty lists and maps stay until canonicalize(): defaulting may want to tell them from absence. */
const isDroppedZero = (value: unknown) => value === '' || value === 0 || value === false;

function decodeMany(value: unknown, field: FieldDef, state: DecodeState): unknown {
  if (field.cardinality === 'list') {
    if (!Array.isArray(value)) throw new TypeMismatch(jsonTypeOf(value), goTypeOfField(field));
    const list = new Array<unknown>(value.length);
    for (let index = 0; index < value.length; index++) list[index] = decodeItem(value[index], field, state);
    return list;
  }
  if (!isJsonObject(value)) throw new TypeMismatch(jsonTypeOf(value), goTypeOfField(field));
  const map: JsonObject = {};
  for (const key of Object.keys(value)) {
    try {
      setOwn(map, key, decodeItem(value[key], field, state));
    } catch (err) {
      // Go names map keys in the path of structs below them, not for plain values.
      if (err instanceof TypeMismatch && err.path !== '') err.path = `${key}.${err.path}`;
      throw err;
    }
  }
  return map;
}

/** An element of a list or map: null stands for the zero value. */
function decodeItem(value: unknown, field: FieldDef, state: DecodeState): unknown {
  if (value !== null && value !== undefined) return decodeElement(value, field, state);
  switch (field.kind) {
    case 'message':
      return {};
    case 'bool':
      return false;
    case 'int32':
    case 'int64':
    case 'double':
    case 'intOrString':
      return 0;
    case 'quantity':
      return '0';
    case 'json':
    case 'time':
    case 'microTime':
      return null;
    case 'stringList':
      return [];
    default:
      return '';
  }
}

function decodeElement(value: unknown, field: FieldDef, state: DecodeState): unknown {
  switch (field.kind) {
    case 'string':
      if (typeof value !== 'string') throw mismatch(value, field);
      return value;
    case 'message':
      if (typeof value !== 'object' || Array.isArray(value)) throw mismatch(value, field);
      return decodeMessage(value as JsonObject, field.type!, state);
    case 'bool':
      if (typeof value !== 'boolean') throw mismatch(value, field);
      return value;
    case 'int32':
      if (typeof value !== 'number') throw mismatch(value, field);
      if (!Number.isInteger(value) || value < -2147483648 || value > 2147483647) throw mismatch(value, field);
      return value;
    case 'int64':
      // Beyond 2^53 JSON.parse has lost digits already: refused rather than stored wrong.
      if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw mismatch(value, field);
      return value;
    case 'double':
      if (typeof value !== 'number') throw mismatch(value, field);
      return value;
    case 'json':
      return value;
    default:
      return decodeText(value, field);
  }
}

/** Kinds that travel as text with a grammar of its own. */
function decodeText(value: unknown, field: FieldDef): unknown {
  switch (field.kind) {
    case 'quantity':
      if (typeof value !== 'string' && typeof value !== 'number') throw new ScalarError(QUANTITY_EXPECTED);
      return canonicalQuantity(typeof value === 'string' ? value.trim() : value);
    case 'intOrString':
      if (typeof value === 'string') return value;
      if (typeof value !== 'number' || !Number.isInteger(value) || Math.abs(value) > 2147483647) {
        throw mismatch(value, field);
      }
      return value;
    case 'stringList':
      if (!Array.isArray(value) || value.some((item) => typeof item !== 'string')) throw mismatch(value, field);
      return value;
    default:
      if (typeof value !== 'string') throw mismatch(value, field);
      return canonicalText(value, field);
  }
}

function canonicalText(value: string, field: FieldDef): string {
  switch (field.kind) {
    case 'time':
      return canonicalTime(value);
    case 'microTime':
      return canonicalMicroTime(value);
    case 'bytes':
      return canonicalBytes(value);
    default:
      return checkDuration(value);
  }
}

const QUANTITY_EXPECTED = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

const mismatch = (value: unknown, field: FieldDef) =>
  new TypeMismatch(jsonTypeOf(value, field), goTypeOfElement(field));

function jsonTypeOf(value: unknown, field?: FieldDef): string {
  if (Array.isArray(value)) return 'array';
  switch (typeof value) {
    case 'boolean':
      return 'bool';
    case 'number':
      return field === undefined || field.kind === 'string' || field.kind === 'bool' || field.kind === 'message'
        ? 'number'
        : `number ${value}`;
    default:
      return typeof value;
  }
}

const shortName = (type: TypeDef) => type.name.slice(type.name.lastIndexOf('.') + 1);
const goTypeOf = (type: TypeDef) => type.name.split('.').slice(-2).join('.');

/** The Go name of one element's type. */
function goTypeOfElement(field: FieldDef): string {
  switch (field.kind) {
    case 'message':
      return goTypeOf(field.type!);
    case 'double':
      return 'float64';
    case 'bytes':
      return '[]uint8';
    case 'quantity':
      return 'resource.Quantity';
    case 'stringList':
      return '[]string';
    case 'intOrString':
      return 'int32';
    case 'time':
    case 'microTime':
    case 'duration':
      return 'string';
    default:
      return field.kind;
  }
}

function goTypeOfField(field: FieldDef): string {
  const element = goTypeOfElement(field);
  return field.cardinality === 'list' ? `[]${element}` : `map[string]${element}`;
}

const subject = (apiVersion: string, kind: string) =>
  `${kind} in version "${apiVersion.slice(apiVersion.indexOf('/') + 1)}" cannot be handled as a ${kind}`;

/** Words a failure as the API server does; what is no decoding error passes through. */
function explain(err: unknown, value: unknown, type: TypeDef): unknown {
  const message = failureMessage(err);
  if (message === undefined) return err;
  const given = isJsonObject(value) ? value : {};
  const kind = typeof given.kind === 'string' && given.kind !== '' ? given.kind : shortName(type);
  const gvk = type.gvks[0];
  const apiVersion = typeof given.apiVersion === 'string' ? given.apiVersion : (gvk?.version ?? '');
  return new ApiError(400, 'BadRequest', `${subject(apiVersion, kind)}: ${message}`, undefined, { cause: err });
}

function failureMessage(err: unknown): string | undefined {
  if (err instanceof QuantityError || err instanceof ScalarError) return err.message;
  if (!(err instanceof TypeMismatch)) return undefined;
  const target = err.path === '' ? 'value' : `struct field ${err.struct}.${err.path}`;
  return `json: cannot unmarshal ${err.actual} into Go ${target} of type ${err.expected}`;
}
