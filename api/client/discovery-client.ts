import type { ResourceInfo } from '../object/group-version.ts';
import type { KubeClient } from './client.ts';

export interface DiscoveredResource extends ResourceInfo {
  readonly verbs: readonly string[];
}

/** One answer of aggregated discovery (`apidiscovery.k8s.io/v2`), as far as we read it. */
export interface GroupDiscoveryList {
  readonly items?: readonly {
    readonly metadata?: { readonly name?: string };
    readonly versions?: readonly {
      readonly version: string;
      /** `Stale` when the server behind an aggregated group could not be asked. */
      readonly freshness?: string;
      readonly resources?: readonly {
        readonly resource: string;
        readonly responseKind?: { readonly kind: string };
        readonly scope: string;
        readonly verbs: readonly string[];
      }[];
    }[];
  }[];
}

export interface Discovery {
  /** Each resource once, in its group's preferred version. */
  readonly resources: readonly DiscoveredResource[];
  /** `group/version` of what could not be asked: absence of a resource there proves nothing. */
  readonly stale: readonly string[];
}

const ACCEPT = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

function flattenDiscovery(lists: readonly GroupDiscoveryList[]): Discovery {
  const found = new Map<string, DiscoveredResource>();
  const stale: string[] = [];
  for (const item of lists.flatMap((list) => list.items ?? [])) {
    const group = item.metadata?.name ?? '';
    for (const { version, freshness, resources = [] } of item.versions ?? []) {
      if (freshness === 'Stale') stale.push(`${group}/${version}`);
      for (const { resource, responseKind, scope, verbs } of resources) {
        const key = `${resource}.${group}`;
        if (found.has(key) || responseKind === undefined) continue;
        found.set(key, {
          group,
          version,
          resource,
          kind: responseKind.kind,
          namespaced: scope === 'Namespaced',
          verbs,
        });
      }
    }
  }
  return { resources: [...found.values()], stale };
}

/** Asks the server what it serves: two requests. */
export async function fetchDiscovery(client: KubeClient, signal?: AbortSignal): Promise<Discovery> {
  const fetchRoot = (path: string) => client.raw<GroupDiscoveryList>({ method: 'GET', path, accept: ACCEPT, signal });
  return flattenDiscovery(await Promise.all([fetchRoot('/api'), fetchRoot('/apis')]));
}
