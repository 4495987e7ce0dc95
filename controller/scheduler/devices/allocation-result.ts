import type { IAllocationResult } from 'kubernetes-models/resource.k8s.io/v1/AllocationResult';
import type { IDeviceAllocationConfiguration } from 'kubernetes-models/resource.k8s.io/v1/DeviceAllocationConfiguration';
import type { DeviceClass, ResourceClaim } from '#api/object/kinds.ts';
import type { NodeSelectorTerm } from '../plugins/node-selector-terms.ts';
import type { PoolDevice } from './device-pools.ts';
import { type Alternative, type DeviceRequest, isNamed } from './device-requests.ts';

/** A device with what it was chosen for. */
export interface ChosenDevice {
  readonly request: DeviceRequest;
  readonly alternative: Alternative;
  readonly device: PoolDevice;
}

/** How each request of a claim is satisfied. */
export interface ChosenAlternative {
  readonly request: DeviceRequest;
  readonly alternative: Alternative;
}

/** What is written into the claim. Pure. */
export function allocationResult(
  claim: ResourceClaim,
  chosen: { readonly devices: readonly ChosenDevice[]; readonly alternatives: readonly ChosenAlternative[] },
  classOf: (name: string) => DeviceClass | undefined,
): IAllocationResult {
  const results = chosen.devices.map(({ alternative: { name, spec }, device }) => ({
    request: name,
    ...{ driver: device.driver, pool: device.pool, device: device.device.name },
    ...(spec.adminAccess === true ? { adminAccess: true } : {}),
    ...(spec.tolerations === undefined ? {} : { tolerations: spec.tolerations }),
  }));
  const config = [
    ...chosen.alternatives.flatMap(({ alternative: { name, spec } }) =>
      (classOf(spec.deviceClassName)?.spec?.config ?? []).map(
        ({ opaque }): IDeviceAllocationConfiguration => ({
          source: 'FromClass',
          requests: [name],
          ...(opaque === undefined ? {} : { opaque }),
        }),
      ),
    ),
    ...(claim.spec?.devices?.config ?? []).flatMap(({ requests, opaque }): IDeviceAllocationConfiguration[] => {
      const isMeant = chosen.alternatives.some(({ request, alternative }) => isNamed(requests, request, alternative));
      if (!isMeant) return [];
      return [
        {
          source: 'FromClaim',
          ...(requests === undefined ? {} : { requests }),
          ...(opaque === undefined ? {} : { opaque }),
        },
      ];
    }),
  ];
  const nodeSelector = nodeSelectorOf(chosen.devices.map(({ device }) => device));
  return {
    devices: { results, ...(config.length === 0 ? {} : { config }) },
    ...(nodeSelector === undefined ? {} : { nodeSelector }),
  };
}

/** Nodes from which all of the devices can be used; undefined: from all. */
function nodeSelectorOf(devices: readonly PoolDevice[]): IAllocationResult['nodeSelector'] {
  const nodeName = devices.find(({ place }) => place.allNodes !== true && place.nodeName !== undefined)?.place.nodeName;
  if (nodeName !== undefined) {
    const matchFields = [{ key: 'metadata.name', operator: 'In', values: [nodeName] }];
    return { nodeSelectorTerms: [{ matchFields }] } as IAllocationResult['nodeSelector'];
  }
  // Each has exactly one term: the API server sees to that.
  const terms = devices.flatMap(({ place }) => (place.nodeSelector?.nodeSelectorTerms ?? []) as NodeSelectorTerm[]);
  if (terms.length === 0) return undefined;
  const unique = <T>(all: readonly T[]) => [...new Map(all.map((one) => [JSON.stringify(one), one])).values()];
  const matchExpressions = unique(terms.flatMap((term) => term.matchExpressions ?? []));
  const matchFields = unique(terms.flatMap((term) => term.matchFields ?? []));
  const term = {
    ...(matchExpressions.length === 0 ? {} : { matchExpressions }),
    ...(matchFields.length === 0 ? {} : { matchFields }),
  };
  return { nodeSelectorTerms: [term] } as IAllocationResult['nodeSelector'];
}
