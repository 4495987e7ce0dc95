import type { LabelSelector } from '#api/meta/label-selector.ts';
import type { ObjectKey } from '#api/object/kube-object.ts';
import type { NodeInfo } from '../cache/node-info.ts';
import type { PlacedTerm, TermKind } from '../cache/placed-terms.ts';
import type { PodQuery, PodsByDomain, PodsByNode } from '../cache/pod-counts.ts';
import type { PodInfo } from '../cache/pod-info.ts';
import type { ClusterEvent } from './cluster-event.ts';
import type { VolumeView } from './volume-view.ts';

/** What plugins may look at. Reads are synchronous and cheap; nothing changes during a cycle. */
export interface ClusterView {
  readonly nodes: readonly NodeInfo[];
  node(name: string): NodeInfo | undefined;
  /** Pods by node for one query; kept up to date between cycles. */
  podsByNode(query: PodQuery): PodsByNode;
  /** The same by the value of a node label. */
  podsByDomain(query: PodQuery, topologyKey: string): PodsByDomain;
  /** What pods on nodes ask about other pods. */
  placedTerms(kind: TermKind): Iterable<PlacedTerm>;
  /** Namespaces in which pods are on nodes. */
  readonly podNamespaces: Iterable<string>;
  namespaceLabels(namespace: string): Readonly<Record<string, string>> | undefined;
  /** How many nodes hold the image. */
  imageNodeCount(image: string): number;
  /** The pods that this one belongs with (its Services and its controller), or undefined when nothing selects it. */
  siblingsOf(pod: PodInfo): { readonly selector: LabelSelector; readonly selectorId: string } | undefined;
  readonly volumes: VolumeView;
  /** How many pods on nodes use the claim. */
  podCountOfClaim(key: ObjectKey): number;
}

/** Why a node, or every node, was turned down. Texts are Kubernetes'. */
export interface Rejection {
  readonly reasons: readonly string[];
  /** Removing pods from the node would not help. */
  readonly isUnresolvable: boolean;
}

/** A plugin that has read the pod once and can now judge node after node. */
export interface PreparedFilter {
  /** Only these can pass; undefined: any. */
  readonly nodeNames?: ReadonlySet<string>;
  check(node: NodeInfo): Rejection | undefined;
}

/** What a plugin makes of a pod: nothing to say, a reason why no node will do, or a filter. */
export type FilterPreparation =
  | { readonly kind: 'skip' }
  | { readonly kind: 'reject'; readonly rejection: Rejection }
  | { readonly kind: 'filter'; readonly filter: PreparedFilter };

export const SKIP: FilterPreparation = { kind: 'skip' };

export interface FilterPlugin {
  readonly name: string;
  prepare(pod: PodInfo, view: ClusterView): FilterPreparation;
  /** Queueing hint: this plugin turned the pod down; could the event have changed its mind? */
  isHelpedBy(event: ClusterEvent, pod: PodInfo, view: ClusterView): boolean;
  /** The pod fits nowhere: what may be undone to help it is begun; an event tells when that is done. Never rejects. */
  onUnschedulable?(pod: PodInfo): Promise<void>;
}

/** Highest score of a node from one plugin, before its weight. */
export const MAX_NODE_SCORE = 100;

export interface PreparedScore {
  score(node: NodeInfo): number;
  /** Brings raw scores, in node order, to 0..MAX_NODE_SCORE in place. */
  normalize?(scores: number[]): void;
}

export interface ScorePlugin {
  readonly name: string;
  readonly weight: number;
  /** undefined: nothing to say about this pod. `nodes` are those that passed the filters. */
  prepare(pod: PodInfo, view: ClusterView, nodes: readonly NodeInfo[]): PreparedScore | undefined;
}

/** What a pod was promised on its node besides the node. */
export interface Reservation {
  /** Resolves when the promise is kept and the pod may be bound. Rejects, with words for the pod's Event, when it cannot be. */
  fulfil(signal: AbortSignal): Promise<void>;
}

export interface ReservePlugin {
  readonly name: string;
  /** undefined: there is nothing to promise. What is promised counts at once, until `fulfil` has come to an end. */
  reserve(pod: PodInfo, node: NodeInfo, view: ClusterView): Reservation | undefined;
}

export function reject(...reasons: string[]): Rejection {
  return { reasons, isUnresolvable: false };
}

/** A rejection that no removal of pods would lift. */
export function rejectForGood(...reasons: string[]): Rejection {
  return { reasons, isUnresolvable: true };
}

/** Linear, so that the largest raw score becomes 100; reversed: the largest becomes 0. */
export function normalizeByMax(scores: number[], reversed: boolean): void {
  let max = 0;
  for (const score of scores) if (score > max) max = score;
  for (let i = 0; i < scores.length; i++) {
    const scaled = max === 0 ? 0 : Math.floor((MAX_NODE_SCORE * scores[i]!) / max);
    scores[i] = reversed ? MAX_NODE_SCORE - scaled : scaled;
  }
}
