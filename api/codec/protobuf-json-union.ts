import { isJsonObject, type JsonObject } from '../object/json.ts';
import { builtinTypes } from '../schema/builtin-types.ts';
import type { TypeDef } from '../schema/type-table.ts';
import type { ProtobufReader } from './protobuf-reader.ts';
import type { ProtobufWriter } from './protobuf-writer.ts';

/*
 * Three fields of CRD schemas hold one thing or another in JSON, and a message with a field for each in protobuf:
 * OrArray {1: schema, 2: list of schemas}, OrBool {1: allows, 2: schema}, OrStringArray {1: schema, 2: list of strings}.
 */

type WriteMessage = (writer: ProtobufWriter, source: JsonObject, type: TypeDef) => void;
type ReadMessage = (reader: ProtobufReader, type: TypeDef) => JsonObject;

function schemaType(union: string): TypeDef {
  const name = union.replace(/Or[A-Za-z]+$/, '');
  const type = builtinTypes().byName(name);
  if (type === undefined) throw new Error(`the type table lacks ${name}`);
  return type;
}

export function encodeJsonUnion(
  writer: ProtobufWriter,
  value: unknown,
  union: string,
  writeMessage: WriteMessage,
): void {
  const writeSchema = (number: number, schema: unknown) => {
    const mark = writer.mark;
    writeMessage(writer, isJsonObject(schema) ? schema : {}, schemaType(union));
    writer.closeMessage(number, mark);
  };
  if (union.endsWith('OrBool')) {
    if (isJsonObject(value)) writeSchema(2, value);
    writer.integer(1, value === false ? 0 : 1);
    return;
  }
  if (!Array.isArray(value)) {
    writeSchema(1, value);
    return;
  }
  for (const item of [...value].reverse()) {
    if (union.endsWith('OrStringArray')) writer.text(2, String(item));
    else writeSchema(2, item);
  }
}

export function decodeJsonUnion(reader: ProtobufReader, union: string, readMessage: ReadMessage): unknown {
  const type = schemaType(union);
  const items: unknown[] = [];
  let schema: JsonObject | undefined;
  let allows = false;
  while (reader.next()) {
    if (union.endsWith('OrBool')) {
      if (reader.field === 1) allows = reader.integer() !== 0;
      else if (reader.field === 2) schema = readMessage(reader.message(), type);
      else reader.skip();
    } else if (reader.field === 1) {
      schema = readMessage(reader.message(), type);
    } else if (reader.field === 2) {
      items.push(union.endsWith('OrStringArray') ? reader.text() : readMessage(reader.message(), type));
    } else {
      reader.skip();
    }
  }
  return schema ?? (union.endsWith('OrBool') ? allows : items);
}
