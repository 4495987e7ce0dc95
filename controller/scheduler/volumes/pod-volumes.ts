import type { PersistentVolume, PersistentVolumeClaim } from '#api/object/kinds.ts';
import {
  classOf,
  isFullyBound,
  isMadeForPod,
  requestedSize,
  SELECTED_NODE,
  waitsForConsumer,
} from '#api/storage/claims.ts';
import { matchingVolumes } from '#api/storage/match-volume.ts';
import type { NodeInfo } from '../cache/node-info.ts';
import type { PodInfo } from '../cache/pod-info.ts';
import type { VolumeView } from '../framework/volume-view.ts';
import { matchesAnyTerm, type NodeSelectorTerm } from '../plugins/node-selector-terms.ts';
import { mayProvisionOn } from './provisioning.ts';

const NODE_CONFLICT = 'node(s) had volume node affinity conflict';
const NO_VOLUME = "node(s) didn't find available persistent volumes to bind";
const VOLUME_GONE = 'node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)';
const UNBOUND = 'pod has unbound immediate PersistentVolumeClaims';

/** A claim that is bound once its pod has a node, and the volumes that it could get anywhere. */
export interface WaitingClaim {
  readonly claim: PersistentVolumeClaim;
  /** The best first. Empty as soon as a node was chosen before: a volume is being made there. */
  readonly candidates: readonly PersistentVolume[];
}

export interface PodVolumes {
  /** Volumes of bound claims; undefined: the volume does not exist. */
  readonly bound: readonly (PersistentVolume | undefined)[];
  /** The smallest first, so that a large volume is left for who needs it. */
  readonly waiting: readonly WaitingClaim[];
}

/** What to do about the claims of a pod that is placed on a certain node. */
export interface VolumePlan {
  readonly bindings: readonly { readonly claim: PersistentVolumeClaim; readonly volume: PersistentVolume }[];
  /** Claims for which a volume is to be made at that node. */
  readonly provisions: readonly PersistentVolumeClaim[];
}

/** Why no node will do, in Kubernetes' words; undefined: the claims can be looked at node by node. */
export function problemOf({ pod, claims }: PodInfo, volumes: VolumeView): string | undefined {
  for (const { key, name, isEphemeral } of claims) {
    const claim = volumes.claim(key);
    if (claim === undefined)
      return isEphemeral
        ? `waiting for ephemeral volume controller to create the persistentvolumeclaim "${name}"`
        : `persistentvolumeclaim "${name}" not found`;
    if (claim.status?.phase === 'Lost')
      return `persistentvolumeclaim "${name}" bound to non-existent persistentvolume "${claim.spec?.volumeName ?? ''}"`;
    if (claim.metadata.deletionTimestamp !== undefined) return `persistentvolumeclaim "${name}" is being deleted`;
    if (isEphemeral && !isMadeForPod(claim, pod))
      return `PVC ${key} was not created for pod ${pod.metadata.namespace}/${pod.metadata.name} (pod is not owner)`;
  }
  return claims.some(({ key }) => isUnboundAtOnce(volumes.claim(key)!, volumes)) ? UNBOUND : undefined;
}

/** A claim that names its volume is bound without a pod, whatever its class. */
const isUnboundAtOnce = (claim: PersistentVolumeClaim, volumes: VolumeView): boolean =>
  !isFullyBound(claim) && (Boolean(claim.spec?.volumeName) || !waitsForConsumer(volumes.storageClass(classOf(claim))));

/** Only for pods without a problem. */
export function readPodVolumes({ claims }: PodInfo, volumes: VolumeView): PodVolumes {
  const distinct = new Map(claims.map(({ key }) => [key, volumes.claim(key)!]));
  const bound: PodVolumes['bound'][number][] = [];
  const waiting: WaitingClaim[] = [];
  for (const claim of distinct.values()) {
    if (isFullyBound(claim)) bound.push(volumes.volume(claim.spec?.volumeName ?? ''));
    else {
      const isDecided = claim.metadata.annotations?.[SELECTED_NODE] !== undefined;
      const candidates = isDecided ? [] : matchingVolumes(claim, volumes.volumesOfClass(classOf(claim)));
      waiting.push({ claim, candidates });
    }
  }
  waiting.sort((a, b) => requestedSize(a.claim).compare(requestedSize(b.claim)));
  return { bound, waiting };
}

export function isWithinReach(volume: PersistentVolume, node: NodeInfo): boolean {
  const terms = volume.spec?.nodeAffinity?.required?.nodeSelectorTerms as readonly NodeSelectorTerm[] | undefined;
  return terms === undefined || matchesAnyTerm(terms, node);
}

/** Pure: the plan for this node, or the reasons why it is not one. */
export function planVolumes(pod: PodVolumes, node: NodeInfo, volumes: VolumeView): VolumePlan | readonly string[] {
  if (pod.bound.includes(undefined)) return [VOLUME_GONE];
  const reasons: string[] = [];
  if (pod.bound.some((volume) => volume !== undefined && !isWithinReach(volume, node))) reasons.push(NODE_CONFLICT);
  const taken = new Set<string>();
  const bindings: VolumePlan['bindings'][number][] = [];
  const provisions: PersistentVolumeClaim[] = [];
  for (const { claim, candidates } of pod.waiting) {
    const selected = claim.metadata.annotations?.[SELECTED_NODE];
    if (selected !== undefined && selected !== node.name) return [...reasons, NO_VOLUME];
    const volume = candidates.find(
      ({ metadata }, i) => !taken.has(metadata.name) && isWithinReach(candidates[i]!, node),
    );
    if (volume !== undefined) {
      taken.add(volume.metadata.name);
      bindings.push({ claim, volume });
      continue;
    }
    const problem = mayProvisionOn(claim, node, volumes);
    if (problem !== undefined) return [...reasons, problem];
    provisions.push(claim);
  }
  return reasons.length > 0 ? reasons : { bindings, provisions };
}
