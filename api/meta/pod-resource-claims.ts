import type { Pod, ResourceClaim } from '../object/kinds.ts';
import { EXTENDED_CLAIM } from './extended-resources.ts';

type PodClaim = NonNullable<NonNullable<Pod['spec']>['resourceClaims']>[number];

/** A claim of a pod under the name that its object has. */
export interface NamedClaim {
  /** Absent: it was decided that the pod needs none. */
  readonly name: string | undefined;
  /** It was made for one pod, and no other may use it. */
  readonly isGenerated: boolean;
}

/** A claim's object is not known yet, or the pod speaks of it in a way that we do not know. */
export class ClaimNameError extends Error {
  override readonly name = 'ClaimNameError';
  readonly isNotCreated: boolean;
  constructor(message: string, isNotCreated: boolean) {
    super(message);
    this.isNotCreated = isNotCreated;
  }
}

/** Those that the pod names, and the one that was made for its extended resources. */
export function podResourceClaims(pod: Pod): readonly PodClaim[] {
  const named = namedResourceClaims(pod);
  const extended = pod.status?.extendedResourceClaimStatus?.resourceClaimName;
  return extended === undefined ? named : [...named, { name: EXTENDED_CLAIM, resourceClaimName: extended }];
}

export const namedResourceClaims = (pod: Pod): readonly PodClaim[] => pod.spec?.resourceClaims ?? [];

/** Which object a claim of the pod stands for. Throws ClaimNameError in Kubernetes' words. */
export function resolveClaimName(pod: Pod, claim: PodClaim): NamedClaim {
  const { name, namespace = '' } = pod.metadata;
  if (claim.resourceClaimName !== undefined)
    return { name: claim.resourceClaimName, isGenerated: claim.name === EXTENDED_CLAIM };
  if (claim.resourceClaimTemplateName === undefined)
    throw new ClaimNameError(
      `pod "${namespace}/${name}", spec.resourceClaim "${claim.name}": none of the supported fields are set`,
      false,
    );
  const status = pod.status?.resourceClaimStatuses?.find((one) => one.name === claim.name);
  if (status === undefined) throw new ClaimNameError(`pod "${namespace}/${name}": ResourceClaim not created yet`, true);
  return { name: status.resourceClaimName, isGenerated: true };
}

/** The pod that a claim was made for. */
export function owningPodOf(claim: ResourceClaim): { readonly name: string; readonly uid: string } | undefined {
  return claim.metadata.ownerReferences?.find(
    ({ apiVersion, kind, controller }) => apiVersion === 'v1' && kind === 'Pod' && controller === true,
  );
}

/** Undefined, or Kubernetes' words for why a generated claim is not this pod's. */
export function whyNotForPod(pod: Pod, claim: ResourceClaim): string | undefined {
  if (owningPodOf(claim)?.uid === pod.metadata.uid) return undefined;
  const { name, namespace } = claim.metadata;
  return `ResourceClaim ${namespace}/${name} was not created for pod ${pod.metadata.namespace}/${pod.metadata.name} (pod is not owner)`;
}

export const isReservedForPod = (pod: Pod, claim: ResourceClaim): boolean =>
  (claim.status?.reservedFor ?? []).some(({ uid }) => uid === pod.metadata.uid);

/** As many consumers as one claim may have. */
const MAX_RESERVED = 256;

export const canBeReserved = (claim: ResourceClaim): boolean => (claim.status?.reservedFor ?? []).length < MAX_RESERVED;
