import { canonicalQuantity, QuantityError } from '../meta/quantity.ts';
import { badRequest } from '../object/api-error.ts';
import { type GroupVersionKind, parseApiVersion } from '../object/group-version.ts';
import type { JsonObject } from '../object/json.ts';
import type { KubeObject } from '../object/kube-object.ts';
import { setOwn } from '../object/own-property.ts';
import type { FieldDef, TypeDef } from '../schema/type-table.ts';
import { PROTOBUF_MAGIC } from './encode-protobuf.ts';
import { parseJsonStrict } from './parse-json.ts';
import { decodeJsonUnion } from './protobuf-json-union.ts';
import { ProtobufError, ProtobufReader } from './protobuf-reader.ts';

/** Nesting that no real object reaches. */
const MAX_DEPTH = 200;

/** Finds the type of the kind that an envelope names; throws ApiError for one that does not belong here. */
export type ResolveType = (gvk: GroupVersionKind) => TypeDef;

/**
 * Reads `application/vnd.kubernetes.protobuf`. Unknown fields are skipped, as protobuf wants it; the object is in the state that
 * decodeObject leaves: checked, but neither defaulted nor canonical. Throws ApiError 400.
 */
export function decodeProtobuf(bytes: Uint8Array, resolve: ResolveType): KubeObject {
  try {
    return decodeEnvelope(bytes, resolve);
  } catch (err) {
    if (!(err instanceof ProtobufError) && !(err instanceof QuantityError)) throw err;
    throw badRequest(`the object provided is unrecognized: proto: ${err.message}`);
  }
}

export function isKubernetesProtobuf(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && PROTOBUF_MAGIC.every((byte, index) => bytes[index] === byte);
}

function decodeEnvelope(bytes: Uint8Array, resolve: ResolveType): KubeObject {
  if (!isKubernetesProtobuf(bytes)) {
    throw badRequest('provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]');
  }
  const reader = new ProtobufReader(bytes, PROTOBUF_MAGIC.length);
  const typeMeta = { apiVersion: '', kind: '' };
  let content: Uint8Array = new Uint8Array();
  while (reader.next()) {
    if (reader.field === 1) readTypeMeta(reader.message(), typeMeta);
    else if (reader.field === 2) content = reader.bytes();
    else reader.skip();
  }
  const type = resolve({ ...parseApiVersion(typeMeta.apiVersion), kind: typeMeta.kind });
  const object = readMessage(new ProtobufReader(content), type, 0);
  return { ...typeMeta, metadata: {}, ...object } as KubeObject;
}

function readTypeMeta(reader: ProtobufReader, target: { apiVersion: string; kind: string }): void {
  while (reader.next()) {
    if (reader.field === 1) target.apiVersion = reader.text();
    else if (reader.field === 2) target.kind = reader.text();
    else reader.skip();
  }
}

function readMessage(reader: ProtobufReader, type: TypeDef, depth: number): JsonObject {
  if (depth > MAX_DEPTH) throw new ProtobufError(`exceeded max depth ${MAX_DEPTH}`);
  const target: JsonObject = {};
  readInto(target, reader, type, depth);
  return target;
}

function readInto(target: JsonObject, reader: ProtobufReader, type: TypeDef, depth: number): void {
  while (reader.next()) {
    const field = type.byNumber.get(reader.field);
    const embedded = field === undefined ? type.embedded?.get(reader.field) : undefined;
    if (field !== undefined) readField(target, reader, field, depth);
    else if (embedded !== undefined) readInto(target, reader.message(), embedded, depth + 1);
    else reader.skip();
  }
}

function readField(target: JsonObject, reader: ProtobufReader, field: FieldDef, depth: number): void {
  if (field.cardinality === 'one') {
    const value = readElement(reader, field, depth);
    const isDropped =
      value === undefined || (field.omit === 'zero' && (value === '' || value === 0 || value === false));
    if (!isDropped) target[field.name] = value;
  } else if (field.cardinality === 'list') {
    target[field.name] ??= [];
    const list = target[field.name] as unknown[];
    if (isPackable(field) && reader.wireType === 2) readPacked(reader.message(), list, field);
    else list.push(readElement(reader, field, depth) ?? null);
  } else {
    target[field.name] ??= {};
    const map = target[field.name] as JsonObject;
    const entry = reader.message();
    let key = '';
    let value: unknown;
    while (entry.next()) {
      if (entry.field === 1) key = entry.text();
      else if (entry.field === 2) value = readElement(entry, field, depth);
      else entry.skip();
    }
    setOwn(map, key, value ?? absentMapValue(field));
  }
}

/** What an entry without a value stands for. */
function absentMapValue(field: FieldDef): unknown {
  switch (field.kind) {
    case 'message':
      return {};
    case 'stringList':
      return [];
    case 'quantity':
      return '0';
    case 'string':
    case 'bytes':
      return '';
    default:
      return null;
  }
}

const isPackable = (field: FieldDef) => field.kind === 'int32' || field.kind === 'int64' || field.kind === 'bool';

function readPacked(reader: ProtobufReader, list: unknown[], field: FieldDef): void {
  for (const value of reader.packedIntegers()) list.push(field.kind === 'bool' ? value !== 0 : value);
}

function readElement(reader: ProtobufReader, field: FieldDef, depth: number): unknown {
  switch (field.kind) {
    case 'string':
      return reader.text();
    case 'bool':
      return reader.integer() !== 0;
    case 'int32':
    case 'int64':
      return reader.integer();
    case 'double':
      return reader.double();
    case 'bytes':
      return Buffer.from(reader.bytes()).toString('base64');
    case 'message':
      return readMessage(reader.message(), field.type!, depth + 1);
    default:
      return readNested(reader.message(), field, depth);
  }
}

/** Kinds that are a message of their own in protobuf and something simpler in JSON. */
function readNested(reader: ProtobufReader, field: FieldDef, depth: number): unknown {
  switch (field.kind) {
    case 'quantity': {
      let text = '0';
      while (reader.next()) text = reader.text();
      return canonicalQuantity(text === '' ? '0' : text);
    }
    case 'time':
    case 'microTime':
      return readTime(reader, field.kind);
    case 'intOrString':
      return readIntOrString(reader);
    case 'stringList': {
      const list: string[] = [];
      while (reader.next()) list.push(reader.text());
      return list;
    }
    case 'json':
      if (field.type !== undefined) {
        return decodeJsonUnion(reader, field.type.name, (inner, type) => readMessage(inner, type, depth + 1));
      }
      return readRawJson(reader);
    default:
      throw new ProtobufError(`no protobuf form for ${field.kind} field ${field.name}`);
  }
}

/** Undefined for Go's zero time, which is written as an empty message. */
function readTime(reader: ProtobufReader, kind: 'time' | 'microTime'): string | undefined {
  let seconds: number | undefined;
  let nanos = 0;
  while (reader.next()) {
    if (reader.field === 1) seconds = reader.integer();
    else if (reader.field === 2) nanos = reader.integer();
    else reader.skip();
  }
  if (seconds === undefined) return undefined;
  if (Math.abs(seconds) > 8.64e12) throw new ProtobufError('time out of range');
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19);
  return kind === 'time' ? `${whole}Z` : `${whole}.${String(Math.floor(nanos / 1000)).padStart(6, '0')}Z`;
}

function readIntOrString(reader: ProtobufReader): number | string {
  let isText = false;
  let number = 0;
  let text = '';
  while (reader.next()) {
    if (reader.field === 1) isText = reader.integer() === 1;
    else if (reader.field === 2) number = reader.integer();
    else if (reader.field === 3) text = reader.text();
    else reader.skip();
  }
  return isText ? text : number;
}

function readRawJson(reader: ProtobufReader): unknown {
  let raw: Uint8Array | undefined;
  while (reader.next()) {
    if (reader.field === 1) raw = reader.bytes();
    else reader.skip();
  }
  return raw === undefined || raw.length === 0 ? undefined : parseJsonStrict(raw).value;
}
