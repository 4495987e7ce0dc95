import type { Pod, ResourceClaim } from '#api/object/kinds.ts';
import { isPodTerminal } from '../pod-state.ts';

export const CLAIM_FINALIZER = 'resource.kubernetes.io/delete-protection';

/** None of its containers runs, and none ever will. */
export const isPodDone = (pod: Pod): boolean =>
  isPodTerminal(pod) || (pod.metadata.deletionTimestamp !== undefined && (pod.spec?.nodeName ?? '') === '');

type Status = NonNullable<ResourceClaim['status']>;

export interface ReleasePlan {
  /** The status to write; undefined: it is right. */
  readonly status: Status | undefined;
  /** Whether nothing is allocated to it any more, so that it may be deleted. */
  readonly dropFinalizer: boolean;
}

/**
 * What becomes of a claim of which `valid` consumers are left. With its last one it gives its devices back, so that the next consumer is
 * not bound to the node of the former.
 */
export function planRelease(claim: ResourceClaim, valid: NonNullable<Status['reservedFor']>): ReleasePlan {
  const { status = {}, metadata } = claim;
  const hasFinalizer = metadata.finalizers?.includes(CLAIM_FINALIZER) === true;
  const wasUsed = valid.length < (status.reservedFor ?? []).length;
  const isUnused = valid.length === 0;
  const { allocation, reservedFor: _before, ...rest } = status;
  const gives = hasFinalizer && isUnused && (wasUsed || metadata.deletionTimestamp !== undefined);
  const keepsAllocation = allocation !== undefined && !gives;
  const isChanged = wasUsed || (gives && allocation !== undefined);
  // What drivers told of devices goes with the devices.
  const { devices: _devices, ...withoutDevices } = rest;
  const next: Status = {
    ...(keepsAllocation ? { ...rest, allocation } : withoutDevices),
    ...(isUnused ? {} : { reservedFor: valid }),
  };
  return { status: isChanged ? next : undefined, dropFinalizer: gives };
}
