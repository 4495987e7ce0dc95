import { createHash } from 'node:crypto';
import { apiVersionOf, type GroupVersionKind } from '#api/object/group-version.ts';
import type { ResourceCatalog } from '../registry/resource-catalog.ts';
import type { ResourceDefinition, SubresourceDefinition } from '../registry/resource-definition.ts';
import type { DiscoveredGroup, DiscoveredVersion } from './discovery-source.ts';

/** `meta.k8s.io` APIVersions: the legacy root `/api`. */
export function apiVersions(serverAddress: string): object {
  return {
    kind: 'APIVersions',
    versions: ['v1'],
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress }],
  };
}

/** `/apis`: every named group. */
export function apiGroupList(groups: readonly DiscoveredGroup[]): object {
  return {
    kind: 'APIGroupList',
    apiVersion: 'v1',
    groups: groups.filter(({ group }) => group !== '').map(groupEntry),
  };
}

/** `/apis/<group>`, or undefined for a group that is not served. */
export function apiGroup(groups: readonly DiscoveredGroup[], name: string): object | undefined {
  const found = name === '' ? undefined : groups.find(({ group }) => group === name);
  return found === undefined ? undefined : { kind: 'APIGroup', apiVersion: 'v1', ...groupEntry(found) };
}

function groupEntry({ group, versions }: DiscoveredGroup) {
  const entries = versions.map(({ version }) => ({ groupVersion: apiVersionOf({ group, version }), version }));
  return { name: group, versions: entries, preferredVersion: entries[0] };
}

/** `/api/v1` and `/apis/<group>/<version>`, or undefined where nothing is served. */
export function apiResourceList(catalog: ResourceCatalog, group: string, version: string): object | undefined {
  const found = catalog.groups.find((one) => one.group === group)?.versions.find((one) => one.version === version);
  if (found === undefined) return undefined;
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: apiVersionOf({ group, version }),
    resources: found.resources.flatMap((definition) => [
      mainEntry(definition),
      ...subresourcesOf(definition).map((subresource) => subresourceEntry(definition, subresource)),
    ]),
  };
}

function mainEntry(definition: ResourceDefinition): object {
  const { resource, singular, namespaced, kind, verbs, shortNames, categories } = definition;
  return {
    name: resource,
    singularName: singular,
    namespaced,
    kind,
    verbs,
    ...(shortNames.length === 0 ? {} : { shortNames }),
    ...(categories.length === 0 ? {} : { categories }),
    ...(isStored(definition) ? { storageVersionHash: storageVersionHash(definition) } : {}),
  };
}

const isStored = ({ virtualCreate, computedObjects }: ResourceDefinition): boolean =>
  virtualCreate === undefined && computedObjects === undefined;

/** Equal as long as objects are stored in one form: storage migrators compare it. */
function storageVersionHash(definition: ResourceDefinition): string {
  const { group, version, kind } = { ...definition, ...definition.conversion?.storedAs };
  return createHash('sha256').update(`${group}/${version}/${kind}`).digest('base64').slice(0, 12);
}

function subresourceEntry(definition: ResourceDefinition, { name, verbs, kind }: SubresourceView): object {
  const isOther = kind.group !== definition.group || kind.version !== definition.version;
  return {
    name: `${definition.resource}/${name}`,
    singularName: '',
    namespaced: definition.namespaced,
    ...(isOther ? { group: kind.group, version: kind.version } : {}),
    kind: kind.kind,
    verbs,
  };
}

type SubresourceView = Pick<SubresourceDefinition, 'name' | 'verbs'> & { readonly kind: GroupVersionKind };

const STATUS_VERBS: readonly string[] = ['get', 'patch', 'update'];

function subresourcesOf(definition: ResourceDefinition): SubresourceView[] {
  const own: SubresourceView[] = [...definition.subresources];
  if (definition.hasStatus && !own.some(({ name }) => name === 'status')) {
    const { group, version, kind } = definition;
    own.push({ name: 'status', verbs: STATUS_VERBS, kind: { group, version, kind } });
  }
  return own.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** `apidiscovery.k8s.io` APIGroupDiscoveryList: everything of one root (`/api` or `/apis`) in one answer. */
export function aggregatedDiscovery(groups: readonly DiscoveredGroup[], version: 'v2' | 'v2beta1'): object {
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items: groups.map(({ group, versions }) => ({
      metadata: { ...(group === '' ? {} : { name: group }), creationTimestamp: null },
      versions: versions.map((one) => ({
        version: one.version,
        resources: resourcesOf(one),
        freshness: one.freshness,
      })),
    })),
  };
}

function resourcesOf({ served }: DiscoveredVersion): readonly object[] {
  return 'own' in served ? served.own.map(aggregatedResource) : served.foreign;
}

function aggregatedResource(definition: ResourceDefinition): object {
  const { resource, singular, namespaced, verbs, shortNames, categories } = definition;
  const subresources = subresourcesOf(definition);
  return {
    resource,
    responseKind: kindOnly(definition),
    scope: namespaced ? 'Namespaced' : 'Cluster',
    singularResource: singular,
    verbs,
    ...(shortNames.length === 0 ? {} : { shortNames }),
    ...(categories.length === 0 ? {} : { categories }),
    ...(subresources.length === 0
      ? {}
      : {
          subresources: subresources.map((one) => ({
            subresource: one.name,
            responseKind: kindOnly(one.kind),
            verbs: one.verbs,
          })),
        }),
  };
}

const kindOnly = ({ group, version, kind }: GroupVersionKind) => ({ group, version, kind });
