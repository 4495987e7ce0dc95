import { owningPodOf } from '#api/meta/pod-resource-claims.ts';
import type { Pod, ResourceClaim, ResourceClaimTemplate } from '#api/object/kinds.ts';
import { resources } from '#api/object/kinds.ts';
import { createControllerRef } from '../controller-ref.ts';

/** Says for which claim of its pod a claim was made. */
const POD_CLAIM = 'resource.kubernetes.io/pod-claim-name';
/** What the API server leaves of a name that it completes with five characters, a hyphen before them. */
const MAX_BASE = 57;

/** `<pod>-<claim>-`, both shortened alike where that is too long. */
export function claimNamePrefix(podName: string, podClaim: string): string {
  const full = `${podName}-${podClaim}-`;
  if (full.length <= MAX_BASE) return full;
  const shorten = (text: string) => text.slice(0, Math.floor((text.length * MAX_BASE) / full.length));
  return `${shorten(podName)}-${shorten(podClaim)}`;
}

/** The claim that a template makes for a pod, which owns it. */
export function claimFromTemplate(pod: Pod, podClaim: string, template: ResourceClaimTemplate) {
  const { metadata = {}, spec } = template.spec ?? { spec: undefined };
  return {
    metadata: {
      generateName: claimNamePrefix(pod.metadata.name, podClaim),
      ...(pod.metadata.namespace === undefined ? {} : { namespace: pod.metadata.namespace }),
      ...(metadata.labels === undefined ? {} : { labels: metadata.labels }),
      annotations: { ...metadata.annotations, [POD_CLAIM]: podClaim },
      ownerReferences: [createControllerRef(resources.pods, pod)],
    },
    ...(spec === undefined ? {} : { spec }),
  };
}

/** Made before for this claim of this pod: then its name only has to be told. */
export const isMadeFor = (claim: ResourceClaim, pod: Pod, podClaim: string): boolean =>
  owningPodOf(claim)?.uid === pod.metadata.uid && claim.metadata.annotations?.[POD_CLAIM] === podClaim;
