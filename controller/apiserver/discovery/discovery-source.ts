import type { CatalogGroup } from '../registry/resource-catalog.ts';
import { compareVersions } from '../registry/resource-catalog.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';

/** Groups that another server answers behind this one (APIService), for the discovery of all. */
export interface DiscoverySource {
  /** Changes whenever `groups()` does. */
  readonly revision: number;
  groups(): readonly ForeignGroup[];
}

export interface ForeignGroup {
  readonly group: string;
  /** The highest `groupPriorityMinimum` of its APIServices. */
  readonly priority: number;
  readonly versions: readonly ForeignVersion[];
}

export interface ForeignVersion {
  readonly version: string;
  /** `versionPriority` of its APIService. */
  readonly priority: number;
  /** Stale: the server behind could not be asked lately. */
  readonly freshness: 'Current' | 'Stale';
  /** `APIResourceDiscovery` objects (apidiscovery.k8s.io/v2), as that server told them. */
  readonly resources: readonly object[];
}

/** A group as discovery shows it, whoever answers for its versions. */
export interface DiscoveredGroup {
  readonly group: string;
  readonly priority: number;
  /** The preferred one first. */
  readonly versions: readonly DiscoveredVersion[];
}

export interface DiscoveredVersion {
  readonly version: string;
  readonly priority: number;
  readonly freshness: 'Current' | 'Stale';
  /** Definitions of this server, or what a foreign one told. */
  readonly served: { readonly own: readonly ResourceDefinition[] } | { readonly foreign: readonly object[] };
}

/** versionPriority of versions that this server answers itself: as Kubernetes registers custom ones. */
const OWN_VERSION_PRIORITY = 100;

/** Own and foreign groups in discovery's order; a version that this server answers itself hides a foreign one of the same name. */
export function mergeGroups(
  own: readonly CatalogGroup[],
  foreign: readonly ForeignGroup[],
): readonly DiscoveredGroup[] {
  const merged: DiscoveredGroup[] = own.map(({ group, priority, versions }) => ({
    group,
    priority,
    versions: versions.map(({ version, resources }) => ({
      version,
      priority: OWN_VERSION_PRIORITY,
      freshness: 'Current' as const,
      served: { own: resources },
    })),
  }));
  for (const { group, priority, versions } of foreign) {
    const others = versions.map(({ resources, ...version }) => ({ ...version, served: { foreign: resources } }));
    const at = merged.findIndex((one) => one.group === group);
    const found = merged[at];
    if (found === undefined) merged.push({ group, priority, versions: sortVersions(others) });
    else merged[at] = { ...found, versions: joinVersions(found.versions, others) };
  }
  return foreign.length === 0 ? merged : merged.sort((a, b) => b.priority - a.priority || (a.group < b.group ? -1 : 1));
}

function joinVersions(own: readonly DiscoveredVersion[], foreign: readonly DiscoveredVersion[]): DiscoveredVersion[] {
  const names = new Set(own.map(({ version }) => version));
  return sortVersions([...own, ...foreign.filter(({ version }) => !names.has(version))]);
}

function sortVersions(versions: readonly DiscoveredVersion[]): DiscoveredVersion[] {
  return [...versions].sort((a, b) => b.priority - a.priority || compareVersions(a.version, b.version));
}
