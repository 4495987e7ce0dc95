import { isJsonObject, type JsonObject } from '#api/object/json.ts';
import type { DiscoverySource, ForeignGroup, ForeignVersion } from '../discovery/discovery-source.ts';
import type { ApiServiceIndex, RemoteApi } from './api-service-index.ts';
import type { FetchRemote } from './remote-documents.ts';

const AGGREGATED = ['v2', 'v2beta1'].map(
  (version) => `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`,
);
interface Known {
  readonly resources: readonly object[];
  readonly isStale: boolean;
  readonly etag: string | undefined;
}

/** What the servers behind APIServices tell about their resources. One that does not answer keeps what it told last, marked as stale. */
export class RemoteDiscovery implements DiscoverySource {
  revision = 0;
  readonly #index: ApiServiceIndex;
  readonly #known = new Map<string, Known>();

  constructor(index: ApiServiceIndex) {
    this.#index = index;
    // Also the priorities of an APIService are part of the answer.
    index.listen({ onChange: () => this.revision++ });
  }

  groups(): readonly ForeignGroup[] {
    const groups = new Map<string, { priority: number; versions: ForeignVersion[] }>();
    for (const remote of this.#index.remotes) {
      const known = this.#known.get(remote.name);
      const group = groups.get(remote.group) ?? { priority: 0, versions: [] };
      groups.set(remote.group, group);
      group.priority = Math.max(group.priority, remote.groupPriority);
      group.versions.push({
        version: remote.version,
        priority: remote.versionPriority,
        freshness: known === undefined || known.isStale ? 'Stale' : 'Current',
        resources: known?.resources ?? [],
      });
    }
    return [...groups].map(([group, { priority, versions }]) => ({ group, priority, versions }));
  }

  /** Asks anew; rejects when no usable answer came, after marking what is known as stale. */
  async refresh(remote: RemoteApi, fetch: FetchRemote): Promise<void> {
    const before = this.#known.get(remote.name);
    try {
      this.#keep(remote, before, await fetchResources(remote, before, fetch));
    } catch (err) {
      this.markStale(remote);
      throw err;
    }
  }

  markStale(remote: RemoteApi): void {
    const before = this.#known.get(remote.name);
    this.#keep(remote, before, { resources: before?.resources ?? [], isStale: true, etag: undefined });
  }

  forget(name: string): void {
    this.#known.delete(name);
  }

  #keep({ name }: RemoteApi, before: Known | undefined, next: Known): void {
    this.#known.set(name, next);
    if (before?.isStale !== next.isStale || before.resources !== next.resources) this.revision++;
  }
}

async function fetchResources(remote: RemoteApi, before: Known | undefined, fetch: FetchRemote): Promise<Known> {
  const accept = [...AGGREGATED, 'application/json'].join(',');
  const answer = await fetch(remote, { path: '/apis', accept, etag: before?.etag });
  if (answer.status === 304 && before !== undefined) return { ...before, isStale: false };
  const resources = aggregatedResources(answer.body, remote);
  if (resources !== undefined) return { resources, isStale: false, etag: answer.etag };
  const path = `/apis/${remote.group}/${remote.version}`;
  const legacy = await fetch(remote, { path, accept: 'application/json' });
  if (legacy.status !== 200) throw new Error(`discovery answered ${legacy.status}`);
  const list = resourcesOfList(legacy.body, remote);
  const isSame = JSON.stringify(list) === JSON.stringify(before?.resources);
  return { resources: isSame ? (before?.resources ?? list) : list, isStale: false, etag: undefined };
}

const listOf = (value: unknown): JsonObject[] => (Array.isArray(value) ? value.filter(isJsonObject) : []);

/** The version's part of an APIGroupDiscoveryList; undefined when the server answered with something else. */
function aggregatedResources(body: JsonObject | undefined, { group, version }: RemoteApi): object[] | undefined {
  if (body?.kind !== 'APIGroupDiscoveryList') return undefined;
  const found = listOf(body.items).find(({ metadata }) => isJsonObject(metadata) && metadata.name === group);
  return listOf(listOf(found?.versions).find((one) => one.version === version)?.resources);
}

/** APIResourceDiscovery objects from an APIResourceList, whose subresources stand beside their resources. */
function resourcesOfList(body: JsonObject | undefined, { group, version }: RemoteApi): object[] {
  const entries = listOf(body?.resources);
  const kindOf = (entry: JsonObject) => ({
    group: entry.group || group,
    version: entry.version || version,
    kind: entry.kind,
  });
  return entries
    .filter(({ name }) => typeof name === 'string' && !name.includes('/'))
    .map((entry) => {
      const subresources = entries.filter(({ name }) => String(name).startsWith(`${entry.name}/`));
      return {
        resource: entry.name,
        responseKind: kindOf(entry),
        scope: entry.namespaced === true ? 'Namespaced' : 'Cluster',
        singularResource: entry.singularName ?? '',
        verbs: entry.verbs ?? [],
        ...(Array.isArray(entry.shortNames) ? { shortNames: entry.shortNames } : {}),
        ...(Array.isArray(entry.categories) ? { categories: entry.categories } : {}),
        ...(subresources.length === 0
          ? {}
          : {
              subresources: subresources.map((one) => ({
                subresource: String(one.name).slice(String(entry.name).length + 1),
                responseKind: kindOf(one),
                verbs: one.verbs ?? [],
              })),
            }),
      };
    });
}
