import type { Informer } from '#api/client/informer.ts';
import { ClaimNameError, podResourceClaims, resolveClaimName } from '#api/meta/pod-resource-claims.ts';
import type { Pod, ResourceClaim, ResourceClaimTemplate } from '#api/object/kinds.ts';
import { type ObjectKey, objectKey } from '#api/object/kube-object.ts';

type PodClaim = ReturnType<typeof podResourceClaims>[number];

/** Pods by the keys of their claims. */
export const BY_CLAIM = 'resourceClaim';
/** Claims by the uid of the pod that they were made for. */
export const BY_OWNER = 'ownerPod';

export interface ClaimCaches {
  readonly pods: Informer<Pod>;
  readonly claims: Informer<ResourceClaim>;
  readonly templates: Informer<ResourceClaimTemplate>;
  /** Made by us and not yet in the cache, by `createdKey`. */
  readonly created: Map<string, ResourceClaim>;
}

export const createdKey = (pod: Pod, podClaim: string): string => `${pod.metadata.uid}/${podClaim}`;

/** Keys of the claims whose names the pod knows. */
export function claimKeysOf(pod: Pod): readonly ObjectKey[] {
  return podResourceClaims(pod).flatMap((podClaim) => {
    const name = nameOf(pod, podClaim);
    return name === undefined ? [] : [objectKey(pod.metadata.namespace, name)];
  });
}

/** Undefined while it is not there, or where the pod needs none. */
export function nameOf(pod: Pod, podClaim: PodClaim): string | undefined {
  try {
    return resolveClaimName(pod, podClaim).name;
  } catch (err) {
    if (err instanceof ClaimNameError) return undefined;
    throw err;
  }
}
