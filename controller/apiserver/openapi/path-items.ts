import { apiVersionOf, type GroupVersionKind } from '#api/object/group-version.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import type { Flavor } from './type-schema.ts';

/** HTTP method, and `x-kubernetes-action`, of each verb on a collection or on one object. */
const COLLECTION: Readonly<Record<string, readonly [method: string, action: string]>> = {
  list: ['get', 'list'],
  create: ['post', 'post'],
  deletecollection: ['delete', 'deletecollection'],
};
const OBJECT: Readonly<Record<string, readonly [method: string, action: string]>> = {
  get: ['get', 'get'],
  update: ['put', 'put'],
  patch: ['patch', 'patch'],
  delete: ['delete', 'delete'],
  create: ['post', 'post'],
};

const WRITE_PARAMETERS: readonly string[] = ['dryRun', 'fieldManager', 'fieldValidation'];
const LIST_PARAMETERS: readonly string[] = [
  'allowWatchBookmarks',
  'continue',
  'fieldSelector',
  'labelSelector',
  'limit',
  'resourceVersion',
  'resourceVersionMatch',
  'sendInitialEvents',
  'timeoutSeconds',
  'watch',
];
const PARAMETERS_OF: Readonly<Record<string, readonly string[]>> = {
  list: LIST_PARAMETERS,
  deletecollection: [...LIST_PARAMETERS, 'dryRun', 'gracePeriodSeconds', 'propagationPolicy'],
  post: WRITE_PARAMETERS,
  put: WRITE_PARAMETERS,
  patch: [...WRITE_PARAMETERS, 'force'],
  delete: ['dryRun', 'gracePeriodSeconds', 'propagationPolicy'],
};

export interface PathItemOptions {
  readonly flavor: Flavor;
  /** Parameters that are kept back although the server takes them. */
  readonly omit?: readonly string[];
}

/**
 * The paths of a resource with what clients look for in them: kubectl finds a kind's GVK, and whether the server validates fields and
 * dry-runs, by the extensions and parameters of its operations.
 */
export function pathItems(definition: ResourceDefinition, options: PathItemOptions): Record<string, object> {
  const { group, version, resource, namespaced, verbs } = definition;
  const root = `${group === '' ? '/api' : '/apis'}/${apiVersionOf({ group, version })}`;
  const base = namespaced ? `${root}/namespaces/{namespace}/${resource}` : `${root}/${resource}`;
  const items: Record<string, object> = {};
  const add = (path: string, item: object) => {
    if (Object.keys(item).length > 0) items[path] = item;
  };
  if (namespaced && verbs.includes('list')) add(`${root}/${resource}`, item(definition, ['list'], COLLECTION, options));
  add(base, item(definition, verbs, COLLECTION, options));
  const named = verbs.filter((verb) => verb !== 'create');
  add(`${base}/{name}`, item(definition, named, OBJECT, options));
  if (definition.hasStatus) add(`${base}/{name}/status`, item(definition, ['get', 'update', 'patch'], OBJECT, options));
  for (const subresource of definition.subresources) {
    add(`${base}/{name}/${subresource.name}`, item(subresource.kind, subresource.verbs, OBJECT, options));
  }
  return items;
}

function item(
  { group, version, kind }: GroupVersionKind,
  verbs: readonly string[],
  operations: typeof COLLECTION,
  { flavor, omit = [] }: PathItemOptions,
): object {
  return Object.fromEntries(
    verbs.flatMap((verb) => {
      const found = operations[verb];
      if (found === undefined) return [];
      const [method, action] = found;
      const names = (PARAMETERS_OF[action] ?? []).filter((name) => !omit.includes(name));
      const operation = {
        parameters: names.map((name) => parameter(name, flavor)),
        responses: { 200: { description: 'OK' } },
        'x-kubernetes-action': action,
        'x-kubernetes-group-version-kind': { group, kind, version },
      };
      return [[method, operation]];
    }),
  );
}

function parameter(name: string, flavor: Flavor): object {
  const type = { type: 'string', uniqueItems: true };
  return flavor === 3 ? { name, in: 'query', schema: type } : { name, in: 'query', ...type };
}
