import type { IAllocationResult } from 'kubernetes-models/resource.k8s.io/v1/AllocationResult';
import type { KubeClient } from '#api/client/client.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { type Pod, type ResourceClaim, resources } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { DeviceCache } from './device-cache.ts';
import { requestMappings } from './extended-claim.ts';
import { writeAllocation } from './write-allocation.ts';

export interface ExtendedClaimOptions {
  readonly client: KubeClient;
  readonly cache: DeviceCache;
  readonly clock: Clock;
}

/** Makes the claim for the extended resources of a pod, gives it its devices, and tells the pod. Leaves nothing behind when it throws. */
export async function writeExtendedClaim(
  options: ExtendedClaimOptions,
  pod: Pod,
  { claim, allocation }: { readonly claim: ResourceClaim; readonly allocation: IAllocationResult },
): Promise<ResourceClaim> {
  const { client, cache } = options;
  const { name: _inMemory, uid: _temporary, ...metadata } = claim.metadata;
  const claims = client.resource<ResourceClaim>(resources.resourceClaims);
  const made = await claims
    .create({ metadata, ...(claim.spec === undefined ? {} : { spec: claim.spec }) })
    .catch((cause: unknown) => {
      throw new Error(`create claim for extended resources: ${describeError(cause)}`, { cause });
    });
  cache.promise(made, allocation);
  try {
    const written = await writeAllocation(options, pod, { claim: made, allocation });
    cache.keep(written);
    const { name, namespace, uid } = pod.metadata;
    const status = {
      extendedResourceClaimStatus: {
        resourceClaimName: written.metadata.name,
        requestMappings: requestMappings(pod, written),
      },
    };
    const target = { name, ...(namespace === undefined ? {} : { namespace }), subresource: 'status' };
    await client
      .resource<Pod>(resources.pods)
      .patch({ ...target, type: 'strategic', patch: { metadata: { uid }, status } });
    return written;
  } catch (err) {
    await removeExtendedClaim(client, made).catch(() => undefined);
    throw err;
  } finally {
    cache.withdraw(made);
  }
}

/** Nobody else can use it: it goes with what it has. */
export async function removeExtendedClaim(client: KubeClient, { metadata }: ResourceClaim): Promise<void> {
  const claims = client.resource<ResourceClaim>(resources.resourceClaims);
  const { name, namespace = '', uid } = metadata;
  try {
    const current = await claims.fetch(name, namespace);
    if (current.metadata.uid !== uid) return;
    await claims.update({ ...current, metadata: { ...current.metadata, finalizers: [] } });
    await claims.delete({ name, namespace, preconditions: { uid } });
  } catch (err) {
    if (!isNotFound(err)) throw err;
  }
}
