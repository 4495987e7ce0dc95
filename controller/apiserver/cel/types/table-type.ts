import type { FieldDef, TypeDef, ValueKind } from '#api/schema/type-table.ts';
import {
  BOOL,
  BYTES,
  type CelType,
  DOUBLE,
  DYN,
  INT,
  listOf,
  mapOf,
  type ObjectType,
  STRING,
  TIMESTAMP,
} from './cel-type.ts';
import { escapePropertyName } from './property-names.ts';

/** Those that may be written in several ways are dyn: nothing can be said of them beforehand. */
const SCALARS: Readonly<Record<Exclude<ValueKind, 'message'>, CelType>> = {
  string: STRING,
  bool: BOOL,
  int32: INT,
  int64: INT,
  double: DOUBLE,
  bytes: BYTES,
  quantity: DYN,
  time: TIMESTAMP,
  microTime: TIMESTAMP,
  duration: STRING,
  intOrString: DYN,
  stringList: listOf(STRING),
  json: DYN,
};

/** A type of the type table as expressions see it; fields are resolved when they are asked for, as types refer to each other. */
export function tableType(type: TypeDef): CelType {
  if (type.preserveUnknown) return DYN;
  const object: ObjectType = {
    kind: 'object',
    name: type.name,
    field(name) {
      const field = type.fields.get(name) ?? fieldByEscapedName(type, name);
      return field === undefined ? undefined : fieldType(field);
    },
  };
  return object;
}

/** Policies see built-in objects as plain maps, where `metadata.namespace` is spelled like that; the escaped form is for objects with a schema. */
function fieldByEscapedName(type: TypeDef, name: string): FieldDef | undefined {
  if (!name.includes('__')) return undefined;
  for (const field of type.fields.values()) if (escapePropertyName(field.name) === name) return field;
  return undefined;
}

function fieldType({ kind, cardinality, type }: FieldDef): CelType {
  const element = kind === 'message' ? (type === undefined ? DYN : tableType(type)) : SCALARS[kind];
  if (cardinality === 'list') return listOf(element);
  return cardinality === 'map' ? mapOf(STRING, element) : element;
}
