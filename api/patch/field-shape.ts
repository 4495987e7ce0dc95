import { isJsonObject } from '../object/json.ts';
import type { FieldDef, FieldShape, ListKey, TypeDef } from '../schema/type-table.ts';

export type { FieldShape, ListKey };

const leaf: FieldShape = { kind: 'leaf' };
export const deducedShape: FieldShape = { kind: 'deduced' };

const shapes = new WeakMap<FieldDef, FieldShape>();
const structs = new WeakMap<TypeDef, FieldShape>();

export function shapeOf(field: FieldDef): FieldShape {
  let shape = shapes.get(field);
  if (shape === undefined) {
    shape = field.shape ?? computeShape(field);
    shapes.set(field, shape);
  }
  return shape;
}

export function structShape(type: TypeDef): FieldShape {
  let shape = structs.get(type);
  if (shape === undefined) {
    shape = { kind: 'struct', type };
    structs.set(type, shape);
  }
  return shape;
}

function computeShape(field: FieldDef): FieldShape {
  switch (field.cardinality) {
    case 'map':
      return field.mapType === 'atomic' ? leaf : { kind: 'map', element: elementShape(field) };
    case 'list':
      return listShape(field);
    default:
      return field.mapType === 'atomic' ? leaf : elementShape(field);
  }
}

function elementShape(field: FieldDef): FieldShape {
  if (field.kind === 'message') return structShape(field.type!);
  return field.kind === 'json' ? deducedShape : leaf;
}

function listShape(field: FieldDef): FieldShape {
  // Go writes such a list as null when absent: it is there, just empty.
  const always = field.omit === 'never';
  if (field.listType === 'set') return { kind: 'set', always };
  if (field.listType !== 'map' || field.type === undefined) return leaf;
  const names = [...field.listMapKeys].sort();
  const keys = names.map((name) => ({ name, default: field.type?.fields.get(name)?.default }));
  return { kind: 'keyedList', keys, element: structShape(field.type), always };
}

/** The path element of an item of a keyed list: `k:{"containerPort":80,"protocol":"TCP"}`. */
export function keyElement(item: unknown, keys: readonly ListKey[]): string {
  const source = isJsonObject(item) ? item : {};
  let text = 'k:{';
  for (const [index, key] of keys.entries()) {
    const value = source[key.name] ?? key.default ?? null;
    text += `${index === 0 ? '' : ','}"${key.name}":${JSON.stringify(value)}`;
  }
  return `${text}}`;
}

export function valueElement(item: unknown): string {
  return `v:${JSON.stringify(item)}`;
}
