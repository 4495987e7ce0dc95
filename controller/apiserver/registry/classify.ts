import type { KubeObject } from '#api/object/kube-object.ts';
import { fieldsOf } from './encode-object.ts';
import type { ResourceDefinition } from './resource-definition.ts';

const NO_FIELDS = {};

/**
 * What the store needs to index objects that it loaded rather than wrote: their labels, and selectable fields by the definition whose
 * prefix the key has. Custom kinds have no definition here: what they select by is found in the form that is asked for.
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
    const typed = object as KubeObject;
    const fields = definition === undefined ? NO_FIELDS : fieldsOf(definition, typed);
    return { labels: typed.metadata.labels ?? {}, fields };
  };
}
