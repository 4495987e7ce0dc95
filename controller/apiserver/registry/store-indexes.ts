import type { ResourceDefinition } from './resource-definition.ts';

/** What the store is to keep in an index: a field or a label of the kind under a prefix. */
export type StoreIndex =
  | { readonly prefix: string; readonly field: string }
  | { readonly prefix: string; readonly label: string };

export function storeIndexes(definitions: readonly ResourceDefinition[]): StoreIndex[] {
  return definitions.flatMap(({ storagePrefix, indexedFields, indexedLabels }) => [
    ...indexedFields.map((field) => ({ prefix: `${storagePrefix}/`, field })),
    ...indexedLabels.map((label) => ({ prefix: `${storagePrefix}/`, label })),
  ]);
}
