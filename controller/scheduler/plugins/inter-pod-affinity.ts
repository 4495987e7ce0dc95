import type { LabelSelector } from '#api/meta/label-selector.ts';
import type { NodeInfo } from '../cache/node-info.ts';
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

/** Something per domain: topology key, then the node label's value. */
class DomainTotals {
  readonly #byKey = new Map<string, Map<string, number>>();

  get isEmpty(): boolean {
    return this.#byKey.size === 0;
  }

  add(topologyKey: string, domain: string, amount: number): void {
    let domains = this.#byKey.get(topologyKey);
    if (domains === undefined) {
      domains = new Map();
      this.#byKey.set(topologyKey, domains);
    }
    domains.set(domain, (domains.get(domain) ?? 0) + amount);
  }

  addOn(node: NodeInfo | undefined, topologyKey: string, amount: number): void {
    const domain = node?.labels[topologyKey];
    if (domain !== undefined) this.add(topologyKey, domain, amount);
  }

  on(node: NodeInfo, topologyKey: string): number {
    const domain = node.labels[topologyKey];
    return domain === undefined ? 0 : (this.#byKey.get(topologyKey)?.get(domain) ?? 0);
  }

  sumOn(node: NodeInfo): number {
    let sum = 0;
    for (const [topologyKey, domains] of this.#byKey) sum += domains.get(node.labels[topologyKey] ?? '') ?? 0;
    return sum;
  }
}

function isInNamespaceOf(term: PodAffinityTerm, namespace: string, view: ClusterView): boolean {
  return term.namespaces.has(namespace) || term.namespaceSelector?.matches(view.namespaceLabels(namespace)) === true;
}

/** Adds `amount` per pod that all these terms mean, in the domains of each term. */
function addMatching(totals: DomainTotals, terms: readonly PodAffinityTerm[], amount: number, view: ClusterView): void {
  const selector: Pick<LabelSelector, 'matches'> = {
    matches: (labels) => terms.every((term) => term.selector.matches(labels)),
  };
  const selectorId = terms.map((term) => term.selectorId).join('&');
  for (const namespace of view.podNamespaces) {
    if (!terms.every((term) => isInNamespaceOf(term, namespace, view))) continue;
    const query = { namespace, selector: selector as LabelSelector, selectorId, ignoresTerminating: false };
    for (const [nodeName, count] of view.podsByNode(query)) {
      const node = view.node(nodeName);
      for (const { topologyKey } of terms) totals.addOn(node, topologyKey, amount * count);
    }
  }
}

/** Domains in which placed pods refuse to have this one. */
function repellingDomains(pod: PodInfo, view: ClusterView): DomainTotals {
  const totals = new DomainTotals();
  const namespaceLabels = view.namespaceLabels(pod.namespace);
  for (const { info, nodeName } of view.podsWithAffinity()) {
    for (const term of info.affinity?.requiredAntiAffinity ?? []) {
      if (matchesTerm(term, pod, namespaceLabels)) totals.addOn(view.node(nodeName), term.topologyKey, 1);
    }
  }
  return totals;
}

export const interPodAffinity: FilterPlugin = {
  name: 'InterPodAffinity',
  prepare(pod, view) {
    const affinity = pod.affinity?.requiredAffinity ?? [];
    const antiAffinity = pod.affinity?.requiredAntiAffinity ?? [];
    const repelling = repellingDomains(pod, view);
    if (affinity.length === 0 && antiAffinity.length === 0 && repelling.isEmpty) return SKIP;
    const friends = new DomainTotals();
    if (affinity.length > 0) addMatching(friends, affinity, 1, view);
    const foes = antiAffinity.map((term) => {
      const totals = new DomainTotals();
      addMatching(totals, [term], 1, view);
      return { topologyKey: term.topologyKey, totals };
    });
    // The first pod of a group that wants to be together has nobody to join yet.
    const ownLabels = view.namespaceLabels(pod.namespace);
    const isFirst = friends.isEmpty && affinity.every((term) => matchesTerm(term, pod, ownLabels));
    return {
      kind: 'filter',
      filter: {
        check(node) {
          if (!affinity.every(({ topologyKey }) => isWelcome(node, topologyKey, friends, isFirst))) return NO_FRIENDS;
          if (foes.some(({ topologyKey, totals }) => totals.on(node, topologyKey) > 0)) return FOES;
          return !repelling.isEmpty && repelling.sumOn(node) > 0 ? UNWELCOME : undefined;
        },
      },
    };
  },
  isHelpedBy: (event, pod, view) => isHelped(event, pod, view),
};

function isWelcome(node: NodeInfo, topologyKey: string, friends: DomainTotals, isFirst: boolean): boolean {
  if (node.labels[topologyKey] === undefined) return false;
  return isFirst || friends.on(node, topologyKey) > 0;
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
    case 'nodeRemoved':
      return false;
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
  }
}

export const interPodAffinityScore: ScorePlugin = {
  name: 'InterPodAffinity',
  weight: 2,
  prepare(pod, view) {
    const totals = new DomainTotals();
    for (const term of pod.affinity?.preferredAffinity ?? []) addMatching(totals, [term], term.weight, view);
    for (const term of pod.affinity?.preferredAntiAffinity ?? []) addMatching(totals, [term], -term.weight, view);
    addWishesOfOthers(totals, pod, view);
    if (totals.isEmpty) return undefined;
    return { score: (node) => totals.sumOn(node), normalize: normalizeBySpan };
  },
};

/** Placed pods have wishes about this one too. */
function addWishesOfOthers(totals: DomainTotals, pod: PodInfo, view: ClusterView): void {
  const namespaceLabels = view.namespaceLabels(pod.namespace);
  for (const { info, nodeName } of view.podsWithAffinity()) {
    const { requiredAffinity = [], preferredAffinity = [], preferredAntiAffinity = [] } = info.affinity ?? {};
    const node = view.node(nodeName);
    const add = (term: PodAffinityTerm, amount: number) => {
      if (matchesTerm(term, pod, namespaceLabels)) totals.addOn(node, term.topologyKey, amount);
    };
    for (const term of requiredAffinity) add(term, HARD_AFFINITY_WEIGHT);
    for (const term of preferredAffinity) add(term, term.weight);
    for (const term of preferredAntiAffinity) add(term, -term.weight);
  }
}

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
