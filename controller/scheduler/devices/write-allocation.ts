import type { IAllocationResult } from 'kubernetes-models/resource.k8s.io/v1/AllocationResult';
import type { KubeClient } from '#api/client/client.ts';
import { isReservedForPod } from '#api/meta/pod-resource-claims.ts';
import { isConflict } from '#api/object/api-error.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import { type Pod, type ResourceClaim, resources } from '#api/object/kinds.ts';
import { type Clock, toTime } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';

const FINALIZER = 'resource.kubernetes.io/delete-protection';
/** Others write claims too: the newest version is read and written again. */
const TRIES = 5;

export interface ClaimToWrite {
  readonly claim: ResourceClaim;
  /** undefined: it has its devices already. */
  readonly allocation: IAllocationResult | undefined;
}

/** Gives the claim its devices and reserves it for the pod. Answers what was written; throws with Kubernetes' words. */
export async function writeAllocation(
  { client, clock }: { readonly client: KubeClient; readonly clock: Clock },
  pod: Pod,
  { claim: first, allocation }: ClaimToWrite,
): Promise<ResourceClaim> {
  const claims = client.resource<ResourceClaim>(resources.resourceClaims);
  const { name, namespace = '' } = first.metadata;
  let claim = first;
  // Devices that have to be made ready have so long from now.
  const stamped = allocation === undefined ? undefined : stamp(allocation, clock);
  for (let tries = 1; ; tries++) {
    try {
      return await writeOnce(client, pod, { claim, allocation: stamped });
    } catch (err) {
      if (!isConflict(err instanceof Error ? err.cause : err) || tries === TRIES) throw err;
      claim = await claims.fetch(name, namespace).catch((cause: unknown) => {
        throw new Error(`get updated claim ${namespace}/${name} after conflict: ${describeError(cause)}`, { cause });
      });
      // The node was chosen for the devices that it had.
      if (allocation === undefined && !deepEqual(claim.status?.allocation, first.status?.allocation))
        throw new Error(`claim ${namespace}/${name} got allocated elsewhere in the meantime`, { cause: err });
    }
  }
}

const stamp = (allocation: IAllocationResult, clock: Clock): IAllocationResult => ({
  ...allocation,
  allocationTimestamp: toTime(clock.now()) as NonNullable<IAllocationResult['allocationTimestamp']>,
});

async function writeOnce(client: KubeClient, pod: Pod, { claim, allocation }: ClaimToWrite): Promise<ResourceClaim> {
  const claims = client.resource<ResourceClaim>(resources.resourceClaims);
  const key = `${claim.metadata.namespace}/${claim.metadata.name}`;
  const attempt = async (what: string, next: ResourceClaim, subresource?: string) =>
    claims.update(next, subresource).catch((cause: unknown) => {
      throw new Error(`${what} claim ${key}: ${describeError(cause)}`, { cause });
    });
  if (claim.metadata.deletionTimestamp !== undefined) throw new Error(`claim ${key} got deleted in the meantime`);
  if (allocation !== undefined && claim.status?.allocation !== undefined)
    throw new Error(`claim ${key} got allocated elsewhere in the meantime`);
  if (isReservedForPod(pod, claim) && allocation === undefined) return claim;
  let current = claim;
  const { finalizers = [] } = claim.metadata;
  if (allocation !== undefined && !finalizers.includes(FINALIZER)) {
    const metadata = { ...claim.metadata, finalizers: [...finalizers, FINALIZER] };
    current = await attempt('add finalizer to', { ...claim, metadata });
  }
  const consumer = { resource: 'pods', name: pod.metadata.name, uid: pod.metadata.uid };
  const status = {
    ...current.status,
    ...(allocation === undefined ? {} : { allocation }),
    reservedFor: [...(current.status?.reservedFor ?? []), consumer],
  };
  const what = allocation === undefined ? 'add reservation to' : 'add allocation and reservation to';
  return attempt(what, { ...current, status }, 'status');
}
