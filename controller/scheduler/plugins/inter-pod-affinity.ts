import { type LabelSelector, nothing } from '#api/meta/label-selector.ts';
import type { NodeInfo } from '../cache/node-info.ts';
import type { TermKind } from '../cache/placed-terms.ts';
import type { PodsByDomain } from '../cache/pod-counts.ts';
import { matchesTerm, type PodAffinityTerm, type PodInfo } from '../cache/pod-info.ts';
import type { ClusterEvent } from '../framework/cluster-event.ts';
import {
  type ClusterView,
  type FilterPlugin,
  MAX_NODE_SCORE,
  reject,
  rejectForGood,
  type ScorePlugin,
  SKIP,
} from '../framework/plugin.ts';

const NO_FRIENDS = rejectForGood("node(s) didn't match pod affinity rules");
const FOES = reject("node(s) didn't match pod anti-affinity rules");
const UNWELCOME = reject("node(s) didn't satisfy existing pods anti-affinity rules");

/** Required affinity of a pod that is already placed counts this much when others are scored. */
const HARD_AFFINITY_WEIGHT = 1;

/** How many pods a term means in each domain of its topology key, times a weight. */
interface DomainCounts {
  readonly topologyKey: string;
  /** One per namespace; a domain's count is their sum. */
  readonly counts: readonly PodsByDomain[];
  readonly weight: number;
}

function countOn({ topologyKey, counts, weight }: DomainCounts, node: NodeInfo): number {
  const domain = node.labels[topologyKey];
  if (domain === undefined) return 0;
  let sum = 0;
  for (const byDomain of counts) sum += byDomain.get(domain) ?? 0;
  return sum * weight;
}

const hasPods = ({ counts }: DomainCounts) => counts.some((byDomain) => byDomain.size > 0);

function isInNamespaceOf(term: PodAffinityTerm, namespace: string, view: ClusterView): boolean {
  return term.namespaces.has(namespace) || term.namespaceSelector?.matches(view.namespaceLabels(namespace)) === true;
}

/** For each of the terms, the pods that *all* of them mean. */
function countMatching(terms: readonly PodAffinityTerm[], view: ClusterView, weight = 1): DomainCounts[] {
  const selector: LabelSelector =
    terms.length === 1
      ? terms[0]!.selector
      : { ...nothing, matches: (labels) => terms.every((term) => term.selector.matches(labels)) };
  const selectorId = terms.map((term) => term.selectorId).join('&');
  const namespaces = [...view.podNamespaces].filter((namespace) =>
    terms.every((term) => isInNamespaceOf(term, namespace, view)),
  );
  return terms.map(({ topologyKey }) => ({
    topologyKey,
    weight,
    counts: namespaces.map((namespace) =>
      view.podsByDomain({ namespace, selector, selectorId, ignoresTerminating: false }, topologyKey),
    ),
  }));
}

/** Terms of placed pods that mean this one. */
function placedAbout(kind: TermKind, pod: PodInfo, view: ClusterView, factor = 1): DomainCounts[] {
  const namespaceLabels = view.namespaceLabels(pod.namespace);
  const found: DomainCounts[] = [];
  for (const { term, weight, byDomain } of view.placedTerms(kind)) {
    if (!matchesTerm(term, pod, namespaceLabels)) continue;
    found.push({ topologyKey: term.topologyKey, counts: [byDomain], weight: weight * factor });
  }
  return found;
}

export const interPodAffinity: FilterPlugin = {
  name: 'InterPodAffinity',
  prepare(pod, view) {
    const affinity = pod.affinity?.requiredAffinity ?? [];
    const antiAffinity = pod.affinity?.requiredAntiAffinity ?? [];
    const repelling = placedAbout('requiredAntiAffinity', pod, view);
    if (affinity.length === 0 && antiAffinity.length === 0 && repelling.length === 0) return SKIP;
    const friends = affinity.length === 0 ? [] : countMatching(affinity, view);
    const foes = antiAffinity.flatMap((term) => countMatching([term], view));
    // The first pod of a group that wants to be together has nobody to join yet.
    const ownLabels = view.namespaceLabels(pod.namespace);
    const isFirst = !friends.some(hasPods) && affinity.every((term) => matchesTerm(term, pod, ownLabels));
    return {
      kind: 'filter',
      filter: {
        check(node) {
          if (!friends.every((counts) => isWelcome(node, counts, isFirst))) return NO_FRIENDS;
          if (foes.some((counts) => countOn(counts, node) > 0)) return FOES;
          return repelling.some((counts) => countOn(counts, node) > 0) ? UNWELCOME : undefined;
        },
      },
    };
  },
  isHelpedBy: (event, pod, view) => isHelped(event, pod, view),
};

function isWelcome(node: NodeInfo, counts: DomainCounts, isFirst: boolean): boolean {
  if (node.labels[counts.topologyKey] === undefined) return false;
  return isFirst || countOn(counts, node) > 0;
}

function isHelped(event: ClusterEvent, pod: PodInfo, view: ClusterView): boolean {
  const means = (terms: readonly PodAffinityTerm[] | undefined, other: PodInfo) =>
    (terms ?? []).some((term) => matchesTerm(term, other, view.namespaceLabels(other.namespace)));
  switch (event.kind) {
    case 'nodeAdded':
    case 'namespaceChanged':
      return true;
    case 'nodeUpdated':
      return event.changes.labels;
    case 'podPlaced':
      return means(pod.affinity?.requiredAffinity, event.pod);
    case 'podRemoved':
      return (
        means(pod.affinity?.requiredAntiAffinity, event.pod) || means(event.pod.affinity?.requiredAntiAffinity, pod)
      );
    case 'podChanged':
      return (
        means(pod.affinity?.requiredAffinity, event.pod) || means(pod.affinity?.requiredAntiAffinity, event.previous)
      );
    default:
      return false;
  }
}

export const interPodAffinityScore: ScorePlugin = {
  name: 'InterPodAffinity',
  weight: 2,
  prepare(pod, view) {
    const { preferredAffinity = [], preferredAntiAffinity = [] } = pod.affinity ?? {};
    const wishes = [
      ...preferredAffinity.flatMap((term) => countMatching([term], view, term.weight)),
      ...preferredAntiAffinity.flatMap((term) => countMatching([term], view, -term.weight)),
      ...placedAbout('requiredAffinity', pod, view, HARD_AFFINITY_WEIGHT),
      ...placedAbout('preferredAffinity', pod, view),
      ...placedAbout('preferredAntiAffinity', pod, view, -1),
    ].filter(hasPods);
    if (wishes.length === 0) return undefined;
    return {
      score: (node) => {
        let score = 0;
        for (const counts of wishes) score += countOn(counts, node);
        return score;
      },
      normalize: normalizeBySpan,
    };
  },
};

/** Scores may be negative: the lowest becomes 0, the highest 100. */
function normalizeBySpan(scores: number[]): void {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (const score of scores) {
    if (score < min) min = score;
    if (score > max) max = score;
  }
  const span = max - min;
  for (let i = 0; i < scores.length; i++) {
    scores[i] = span === 0 ? 0 : Math.floor((MAX_NODE_SCORE * (scores[i]! - min)) / span);
  }
}
