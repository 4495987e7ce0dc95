import type { JsonObject } from '../object/json.ts';
import type { KubeObject } from '../object/kube-object.ts';
import type { FieldDef, TypeDef } from '../schema/type-table.ts';
import { encodeJsonUnion } from './protobuf-json-union.ts';
import { ProtobufWriter } from './protobuf-writer.ts';

/** What every Kubernetes protobuf body begins with. */
export const PROTOBUF_MAGIC = Uint8Array.of(0x6b, 0x38, 0x73, 0x00);

/** Whether a type can be written as protobuf at all: custom resources cannot. */
export function hasProtobuf(type: TypeDef): boolean {
  return type.protoName !== undefined;
}

/** A canonical object as `application/vnd.kubernetes.protobuf`: magic, envelope with its kind, message. */
export function encodeProtobuf(object: KubeObject, type: TypeDef): Uint8Array {
  return envelope(object, (writer) => writeMessage(writer, object, type));
}

/** The message of a canonical object alone, or of some of its fields: pieces of one message may follow each other. */
export function encodeProtobufMessage(fields: JsonObject, type: TypeDef): Uint8Array {
  const writer = new ProtobufWriter();
  writeMessage(writer, fields, type);
  return writer.finish();
}

/** Magic and envelope around a message that lies encoded, in pieces, already. */
export function wrapProtobuf(of: Pick<KubeObject, 'apiVersion' | 'kind'>, pieces: readonly Uint8Array[]): Uint8Array {
  return envelope(of, (writer) => {
    for (const piece of pieces.toReversed()) writer.raw(piece);
  });
}

function envelope(of: Pick<KubeObject, 'apiVersion' | 'kind'>, write: (writer: ProtobufWriter) => void): Uint8Array {
  const writer = new ProtobufWriter();
  writer.text(4, '');
  writer.text(3, '');
  const content = writer.mark;
  write(writer);
  writer.closeMessage(2, content);
  const typeMeta = writer.mark;
  writer.text(2, of.kind ?? '');
  writer.text(1, of.apiVersion ?? '');
  writer.closeMessage(1, typeMeta);
  writer.raw(PROTOBUF_MAGIC);
  return writer.finish();
}

/** One frame of a protobuf watch stream, without the length that goes before it: a bare WatchEvent around an encoded object. */
export function encodeProtobufWatchEvent(eventType: string, encodedObject: Uint8Array): Uint8Array {
  const writer = new ProtobufWriter();
  const object = writer.mark;
  writer.bytes(1, encodedObject);
  writer.closeMessage(2, object);
  writer.text(1, eventType);
  return writer.finish();
}

interface NumberedField {
  readonly number: number;
  readonly field: FieldDef | undefined;
  readonly embedded: TypeDef | undefined;
}

const descending = new WeakMap<TypeDef, readonly NumberedField[]>();

/** Fields and embedded structs from the highest number down: the writer goes backwards. */
function fieldsOf(type: TypeDef): readonly NumberedField[] {
  let fields = descending.get(type);
  if (fields === undefined) {
    const own = [...type.byNumber.values()].map((field) => ({ number: field.number, field, embedded: undefined }));
    const inner = [...(type.embedded ?? [])].map(([number, embedded]) => ({ number, field: undefined, embedded }));
    fields = [...own, ...inner].sort((a, b) => b.number - a.number);
    descending.set(type, fields);
  }
  return fields;
}

function writeMessage(writer: ProtobufWriter, source: JsonObject, type: TypeDef): void {
  for (const { number, field, embedded } of fieldsOf(type)) {
    if (embedded !== undefined) {
      const mark = writer.mark;
      writeMessage(writer, source, embedded);
      writer.closeMessage(number, mark);
    } else if (source[field!.name] !== undefined && source[field!.name] !== null) {
      writeField(writer, source[field!.name], field!);
    }
  }
}

function writeField(writer: ProtobufWriter, value: unknown, field: FieldDef): void {
  switch (field.cardinality) {
    case 'list': {
      const list = value as readonly unknown[];
      for (let index = list.length - 1; index >= 0; index--) writeElement(writer, field.number, list[index], field);
      break;
    }
    case 'map': {
      const map = value as JsonObject;
      for (const key of Object.keys(map).sort().reverse()) {
        const entry = writer.mark;
        writeElement(writer, 2, map[key], field);
        writer.text(1, key);
        writer.closeMessage(field.number, entry);
      }
      break;
    }
    default:
      writeElement(writer, field.number, value, field);
  }
}

function writeElement(writer: ProtobufWriter, number: number, value: unknown, field: FieldDef): void {
  switch (field.kind) {
    case 'string':
      writer.text(number, value as string);
      break;
    case 'bool':
      writer.integer(number, value === true ? 1 : 0);
      break;
    case 'int32':
    case 'int64':
      writer.integer(number, value as number);
      break;
    case 'double':
      writer.double(number, value as number);
      break;
    case 'bytes':
      writer.bytes(number, Buffer.from(value as string, 'base64'));
      break;
    default: {
      const mark = writer.mark;
      writeNested(writer, value, field);
      writer.closeMessage(number, mark);
    }
  }
}

/** Kinds that are a message of their own in protobuf. */
function writeNested(writer: ProtobufWriter, value: unknown, field: FieldDef): void {
  switch (field.kind) {
    case 'message':
      writeMessage(writer, value as JsonObject, field.type!);
      break;
    case 'quantity':
      writer.text(1, String(value));
      break;
    case 'time':
    case 'microTime':
      writeTime(writer, value as string | null);
      break;
    case 'intOrString':
      writer.text(3, typeof value === 'string' ? value : '');
      writer.integer(2, typeof value === 'number' ? value : 0);
      writer.integer(1, typeof value === 'string' ? 1 : 0);
      break;
    case 'stringList': {
      const list = value as readonly string[];
      for (let index = list.length - 1; index >= 0; index--) writer.text(1, list[index]!);
      break;
    }
    case 'json':
      if (field.type === undefined) writer.bytes(1, Buffer.from(JSON.stringify(value)));
      else encodeJsonUnion(writer, value, field.type.name, writeMessage);
      break;
    default:
      throw new Error(`no protobuf form for ${field.kind} field ${field.name}`);
  }
}

function writeTime(writer: ProtobufWriter, value: string | null): void {
  if (value === null) return;
  const fraction = /\.(\d+)Z$/.exec(value)?.[1] ?? '';
  writer.integer(2, Number(fraction.padEnd(9, '0').slice(0, 9)));
  writer.integer(1, Math.floor(Date.parse(value) / 1000));
}
