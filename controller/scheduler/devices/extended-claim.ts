import type { IContainerExtendedResourceRequest } from 'kubernetes-models/v1/ContainerExtendedResourceRequest';
import { Quantity } from '#api/meta/quantity.ts';
import type { Pod, ResourceClaim } from '#api/object/kinds.ts';

/** On claims that the scheduler makes for the extended resources of one pod. */
export const EXTENDED_ANNOTATION = 'resource.kubernetes.io/extended-resource-claim';

interface Asked {
  readonly containerName: string;
  readonly resourceName: string;
  readonly requestName: string;
  readonly count: number;
}

/** `container-1-request-0`: places among all containers, and among what the container asks for, in the order of the names. */
function askedFor(pod: Pod, isMeant: (resource: string) => boolean): readonly Asked[] {
  const { initContainers = [], containers = [] } = pod.spec ?? {};
  return [...initContainers, ...containers].flatMap(({ name: containerName, resources }, index) => {
    const requests = Object.entries(resources?.requests ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
    return requests.flatMap(([resourceName, amount], place) => {
      const count = Quantity.parse(amount).value();
      const requestName = `container-${index}-request-${place}`;
      return count > 0 && isMeant(resourceName) ? [{ containerName, resourceName, requestName, count }] : [];
    });
  });
}

/** The claim, yet to be made, for extended resources of a pod that a node has no plug-in for; undefined: there are none. Pure. */
export function extendedClaim(
  pod: Pod,
  classOf: (resource: string) => string | undefined,
  uid: string,
): ResourceClaim | undefined {
  const asked = askedFor(pod, (resource) => classOf(resource) !== undefined);
  if (asked.length === 0) return undefined;
  const { name, namespace, uid: podUid } = pod.metadata;
  const owner = { apiVersion: 'v1', kind: 'Pod', name, uid: podUid, controller: true, blockOwnerDeletion: true };
  const requests = asked.map(({ requestName, resourceName, count }) => ({
    name: requestName,
    exactly: { deviceClassName: classOf(resourceName) ?? '', allocationMode: 'ExactCount', count },
  }));
  return {
    metadata: {
      name: '<extended-resources>',
      generateName: `${name}-extended-resources-`,
      ...(namespace === undefined ? {} : { namespace }),
      uid,
      annotations: { [EXTENDED_ANNOTATION]: 'true' },
      ownerReferences: [owner],
    },
    spec: { devices: { requests } },
  } as unknown as ResourceClaim;
}

/** Which container gets which request of the claim, for the status of the pod. Pure. */
export function requestMappings(pod: Pod, claim: ResourceClaim): readonly IContainerExtendedResourceRequest[] {
  const made = new Set((claim.spec?.devices?.requests ?? []).map(({ name }) => name));
  return askedFor(pod, () => true)
    .filter(({ requestName }) => made.has(requestName))
    .map(({ containerName, resourceName, requestName }) => ({ containerName, resourceName, requestName }));
}
