import type { KubeObject } from '#api/object/kube-object.ts';
import { fieldsOf } from './encode-object.ts';
import type { ResourceDefinition } from './resource-definition.ts';

const NOTHING = { labels: {}, fields: {} };

/**
 * What the store needs to index objects that it loaded rather than wrote: their labels and selectable fields, by the definition whose
 * prefix the key has. Keys of kinds that nobody serves have neither.
 */
export function createClassifier(definitions: readonly ResourceDefinition[]) {
  const byPrefix = definitions
    .filter((definition) => definition.conversion === undefined)
    .map((definition) => [`${definition.storagePrefix}/`, definition] as const)
    .sort(([a], [b]) => b.length - a.length);
  return (
    key: string,
    object: unknown,
  ): { labels: Readonly<Record<string, string>>; fields: Readonly<Record<string, string>> } => {
    const definition = byPrefix.find(([prefix]) => key.startsWith(prefix))?.[1];
    if (definition === undefined) return NOTHING;
    const typed = object as KubeObject;
    return { labels: typed.metadata.labels ?? {}, fields: fieldsOf(definition, typed) };
  };
}
