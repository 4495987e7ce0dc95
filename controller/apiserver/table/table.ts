import { invalidObject, notSupported } from '#api/object/field-error.ts';
import type { KubeObject, ObjectMeta } from '#api/object/kube-object.ts';
import type { Tabular } from '../registry/resource-definition.ts';

export type IncludeObject = 'None' | 'Metadata' | 'Object';

export interface ListMeta {
  readonly resourceVersion: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

export interface TableOptions {
  readonly includeObject: IncludeObject;
  readonly nowMs: number;
  /** Version of meta.k8s.io. */
  readonly version: 'v1' | 'v1beta1';
  readonly list: ListMeta;
  /** Events after a watch's first leave the columns out: the client has them. */
  readonly withoutColumns?: boolean;
}

const INCLUDES: readonly string[] = ['Metadata', 'None', 'Object'];

/** Throws 422 for an `includeObject` that is none of the three. */
export function tableOptions(query: URLSearchParams): { includeObject: IncludeObject } {
  const includeObject = query.get('includeObject') || 'Metadata';
  if (!INCLUDES.includes(includeObject)) {
    const kind = { group: 'meta.k8s.io', version: 'v1', kind: 'TableOptions' };
    throw invalidObject(kind, '', [notSupported('includeObject', includeObject, INCLUDES)]);
  }
  return { includeObject: includeObject as IncludeObject };
}

/** A `meta.k8s.io` Table: what `kubectl get` prints. Cells come from the definition, in column order. */
export function buildTable(definition: Tabular, objects: Iterable<KubeObject>, options: TableOptions): object {
  const rows: object[] = [];
  for (const object of objects) rows.push(tableRow(definition, object, options));
  return { ...tableFrame(definition, options), rows };
}

/** A Table without rows, which are its last field. */
export function tableFrame(definition: Tabular, options: TableOptions): Readonly<Record<string, unknown>> {
  return {
    kind: 'Table',
    apiVersion: `meta.k8s.io/${options.version}`,
    metadata: options.list,
    columnDefinitions: options.withoutColumns === true ? null : columnDefinitions(definition),
    rows: [],
  };
}

export function tableRow(definition: Tabular, object: KubeObject, options: TableOptions): object {
  const cells = definition.tableRow(object, options.nowMs);
  const shown = rowObject(object, options);
  return shown === undefined ? { cells } : { cells, object: shown };
}

function columnDefinitions(definition: Tabular): object[] {
  return definition.columns.map(({ name, type, format = '', description, priority }) => ({
    name,
    type,
    format,
    description,
    priority,
  }));
}

function rowObject(object: KubeObject, { includeObject, version }: TableOptions): object | undefined {
  switch (includeObject) {
    case 'None':
      return undefined;
    case 'Object':
      return object;
    default:
      return partialMetadata(object, version);
  }
}

export function partialMetadata(
  object: { readonly metadata: ObjectMeta },
  version: 'v1' | 'v1beta1',
): { kind: string; apiVersion: string; metadata: ObjectMeta } {
  return { kind: 'PartialObjectMetadata', apiVersion: `meta.k8s.io/${version}`, metadata: object.metadata };
}
