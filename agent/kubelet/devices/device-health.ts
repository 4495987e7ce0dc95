import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IResourceHealth } from 'kubernetes-models/v1/ResourceHealth';
import type { IResourceStatus } from 'kubernetes-models/v1/ResourceStatus';
import type { Pod } from '#api/object/kinds.ts';

export type DeviceHealth = 'Healthy' | 'Unhealthy' | 'Unknown';

/** What the devices of a container are worth, for `allocatedResourcesStatus`; empty where it has none. */
export type ResourceStatuses = (pod: Pod, container: IContainer) => readonly IResourceStatus[];

/** By resource and id, each once, in an order that does not change from one status to the next. */
export function resourceStatus(name: string, resources: readonly IResourceHealth[]): IResourceStatus {
  const byId = new Map(resources.map((one) => [one.resourceID, one]));
  return { name, resources: [...byId.values()].sort((a, b) => (a.resourceID < b.resourceID ? -1 : 1)) };
}
