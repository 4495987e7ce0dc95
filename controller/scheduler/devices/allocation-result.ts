import type { IAllocationResult } from 'kubernetes-models/resource.k8s.io/v1/AllocationResult';
import type { IDeviceAllocationConfiguration } from 'kubernetes-models/resource.k8s.io/v1/DeviceAllocationConfiguration';
import type { DeviceClass, ResourceClaim } from '#api/object/kinds.ts';
import type { NodeSelectorTerm, TermSubject } from '../plugins/node-selector-terms.ts';
import type { Amounts } from './device-capacity.ts';
import type { PoolDevice } from './device-pools.ts';
import { type Alternative, type DeviceRequest, isNamed } from './device-requests.ts';

/** A device with what it was chosen for. */
export interface ChosenDevice {
  readonly request: DeviceRequest;
  readonly alternative: Alternative;
  readonly device: PoolDevice;
  /** What it gets of a device that several share; undefined: it gets the device. */
  readonly part: Amounts | undefined;
  readonly takesCounters: boolean;
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
  options: {
    readonly classOf: (name: string) => DeviceClass | undefined;
    readonly node: TermSubject;
    readonly newShareId: () => string;
  },
): IAllocationResult {
  const results = chosen.devices.map(({ alternative: { name, spec }, device, part }) => ({
    request: name,
    ...{ driver: device.driver, pool: device.pool, device: device.device.name },
    ...(spec.adminAccess === true ? { adminAccess: true } : {}),
    ...(spec.tolerations === undefined ? {} : { tolerations: spec.tolerations }),
    ...conditionsOf(device),
    ...(part === undefined ? {} : { shareID: options.newShareId(), ...consumedCapacity(part) }),
  }));
  const config = [
    ...configOfClasses(chosen.alternatives, options.classOf),
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
  const nodeSelector = nodeSelectorOf(
    chosen.devices.map(({ device }) => device),
    options.node.name,
  );
  return {
    devices: { results, ...(config.length === 0 ? {} : { config }) },
    ...(nodeSelector === undefined ? {} : { nodeSelector }),
  };
}

function conditionsOf({ device: { bindingConditions = [], bindingFailureConditions = [] } }: PoolDevice) {
  if (bindingConditions.length === 0) return {};
  return { bindingConditions: [...bindingConditions], bindingFailureConditions: [...bindingFailureConditions] };
}

function consumedCapacity(part: Amounts) {
  if (part.size === 0) return {};
  return { consumedCapacity: Object.fromEntries([...part].map(([name, amount]) => [name, amount.toString()])) };
}

/** Once for each class, with all the requests that are satisfied from it: there is room for so many only. */
function configOfClasses(
  alternatives: readonly ChosenAlternative[],
  classOf: (name: string) => DeviceClass | undefined,
): readonly IDeviceAllocationConfiguration[] {
  const names = [...new Set(alternatives.map(({ alternative: { spec } }) => spec.deviceClassName))];
  return names.flatMap((className) => {
    const concerned = alternatives.filter(({ alternative: { spec } }) => spec.deviceClassName === className);
    const requests = concerned.map(({ alternative: { name } }) => name);
    return (classOf(className)?.spec?.config ?? []).map(
      ({ opaque }): IDeviceAllocationConfiguration => ({
        source: 'FromClass',
        requests: [...requests],
        ...(opaque === undefined ? {} : { opaque }),
      }),
    );
  });
}

/** Nodes from which all of the devices can be used; undefined: from all. */
function nodeSelectorOf(devices: readonly PoolDevice[], chosenNode: string): IAllocationResult['nodeSelector'] {
  const local = devices.find(({ place }) => place.allNodes !== true && place.nodeName !== undefined)?.place.nodeName;
  // Some can be used from several nodes until they are attached to one.
  const isBound = devices.some(({ device }) => device.bindsToNode === true);
  const nodeName = local ?? (isBound ? chosenNode : undefined);
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
