import type { KubeObject } from '#api/object/kube-object.ts';
import type { TableColumn } from '../registry/resource-definition.ts';
import { nameColumn } from '../resources/printing/columns.ts';
import { ageOf } from '../resources/printing/duration.ts';
import type { PrinterColumn } from './custom-resource-definition.ts';
import { findByJsonPath, type JsonPath, parseJsonPath } from './json-path.ts';

const AGE: PrinterColumn = {
  name: 'Age',
  type: 'date',
  description: 'Time since the object was created.',
  jsonPath: '.metadata.creationTimestamp',
};

export interface CustomColumns {
  readonly columns: readonly TableColumn[];
  tableRow(object: KubeObject, nowMs: number): readonly unknown[];
}

/** The columns of a custom kind: its name, then what the definition asks for, or the age. */
export function createCustomColumns(wished: readonly PrinterColumn[]): CustomColumns {
  const printed = wished.length === 0 ? [AGE] : wished;
  const paths = printed.map(({ jsonPath }) => parseJsonPath(jsonPath));
  return {
    columns: [nameColumn, ...printed.map(tableColumn)],
    tableRow: (object, nowMs) => [
      object.metadata.name ?? '',
      ...printed.map(({ type }, index) => cellOf(object, { type, path: paths[index] }, nowMs)),
    ],
  };
}

function tableColumn({ name, type, format, description, priority = 0 }: PrinterColumn): TableColumn {
  return {
    name,
    type: type as TableColumn['type'],
    ...(format === undefined ? {} : { format }),
    description: description || `Custom resource definition column (in JSONPath format): ${name}`,
    priority: priority as TableColumn['priority'],
  };
}

function cellOf(
  object: KubeObject,
  { type, path }: { readonly type: string; readonly path: JsonPath | undefined },
  nowMs: number,
): unknown {
  const [value] = path === undefined ? [] : findByJsonPath(object, path);
  if (value === undefined || value === null) return null;
  switch (type) {
    case 'integer':
      return typeof value === 'number' ? Math.trunc(value) : null;
    case 'number':
      return typeof value === 'number' ? value : null;
    case 'boolean':
      return typeof value === 'boolean' ? value : null;
    case 'date':
      if (typeof value !== 'string') return null;
      return Number.isNaN(Date.parse(value)) ? '<invalid>' : ageOf(value, nowMs);
    default:
      return typeof value === 'object' ? JSON.stringify(value) : String(value);
  }
}
