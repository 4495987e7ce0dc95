import { type LabelSelector, type LabelSelectorObject, labelSelectorFrom } from '#api/meta/label-selector.ts';
import type { NodeInfo } from '../cache/node-info.ts';
import type { PodsByDomain } from '../cache/pod-counts.ts';
import type { PodInfo } from '../cache/pod-info.ts';
import {
  type ClusterView,
  type FilterPlugin,
  MAX_NODE_SCORE,
  type PreparedScore,
  reject,
  rejectForGood,
  type ScorePlugin,
  SKIP,
} from '../framework/plugin.ts';
import { requiredNodeMatcher } from './node-affinity.ts';
import { isHardTaint, type Toleration, toleratesTaint } from './tolerations.ts';

const SKEWED = reject("node(s) didn't match pod topology spread constraints");
const UNLABELLED = rejectForGood("node(s) didn't match pod topology spread constraints (missing required label)");

const HOSTNAME = 'kubernetes.io/hostname';

/** `v1.TopologySpreadConstraint`. */
interface RawConstraint {
  readonly maxSkew: number;
  readonly topologyKey: string;
  readonly whenUnsatisfiable: string;
  readonly labelSelector?: LabelSelectorObject;
  readonly matchLabelKeys?: readonly string[];
  readonly minDomains?: number;
  readonly nodeAffinityPolicy?: string;
  readonly nodeTaintsPolicy?: string;
}

interface Constraint {
  readonly maxSkew: number;
  readonly topologyKey: string;
  readonly selector: LabelSelector;
  readonly selectorId: string;
  readonly minDomains: number;
  /** Whether the node's pods count, by the constraint's node inclusion policies. */
  readonly includes: (node: NodeInfo) => boolean;
  /** `includes` is true for every node. */
  readonly includesAll: boolean;
}

const rawConstraintsOf = (pod: PodInfo) => (pod.pod.spec?.topologySpreadConstraints ?? []) as readonly RawConstraint[];

function compile(raw: RawConstraint, pod: PodInfo): Constraint {
  const selectorObject = withMatchLabelKeys(raw, pod);
  const matchesNode = raw.nodeAffinityPolicy === 'Ignore' ? undefined : requiredNodeMatcher(pod.pod);
  const tolerations = (pod.pod.spec?.tolerations ?? []) as readonly Toleration[];
  const honorsTaints = raw.nodeTaintsPolicy === 'Honor';
  return {
    maxSkew: raw.maxSkew,
    topologyKey: raw.topologyKey,
    selector: labelSelectorFrom(selectorObject),
    selectorId: JSON.stringify(selectorObject ?? null),
    minDomains: raw.minDomains ?? 1,
    includesAll: matchesNode === undefined && !honorsTaints,
    includes: (node) =>
      matchesNode?.(node) !== false &&
      (!honorsTaints || node.taints.every((taint) => !isHardTaint(taint) || toleratesTaint(tolerations, taint))),
  };
}

/** The pod's own values of `matchLabelKeys` join the selector, so that each revision of a workload spreads by itself. */
function withMatchLabelKeys({ labelSelector, matchLabelKeys = [] }: RawConstraint, pod: PodInfo) {
  const own = matchLabelKeys.filter((key) => Object.hasOwn(pod.labels, key));
  if (labelSelector === undefined || own.length === 0) return labelSelector;
  const expressions = own.map((key) => ({ key, operator: 'In', values: [pod.labels[key]!] }));
  return { ...labelSelector, matchExpressions: [...(labelSelector.matchExpressions ?? []), ...expressions] };
}

function podsOf(constraint: Constraint, pod: PodInfo, view: ClusterView) {
  const { selector, selectorId } = constraint;
  return view.podsByNode({ namespace: pod.namespace, selector, selectorId, ignoresTerminating: true });
}

/** Matching pods per domain; a domain without pods is there with 0. */
function countDomains(constraint: Constraint, pod: PodInfo, view: ClusterView, keys: readonly string[]) {
  const pods = podsOf(constraint, pod, view);
  const domains = new Map<string, number>();
  for (const node of view.nodes) {
    if (!hasAllKeys(node, keys) || !constraint.includes(node)) continue;
    const domain = node.labels[constraint.topologyKey]!;
    domains.set(domain, (domains.get(domain) ?? 0) + (pods.get(node) ?? 0));
  }
  return domains;
}

const hasAllKeys = (node: NodeInfo, keys: readonly string[]) => keys.every((key) => node.labels[key] !== undefined);

export const topologySpread: FilterPlugin = {
  name: 'PodTopologySpread',
  prepare(pod, view) {
    const constraints = rawConstraintsOf(pod)
      .filter((raw) => raw.whenUnsatisfiable === 'DoNotSchedule')
      .map((raw) => compile(raw, pod));
    if (constraints.length === 0) return SKIP;
    const keys = constraints.map(({ topologyKey }) => topologyKey);
    const counted = constraints.map((constraint) => {
      const domains = countDomains(constraint, pod, view, keys);
      // Fewer domains than asked for: the missing ones count as empty.
      const fewest = domains.size < constraint.minDomains ? 0 : Math.min(...domains.values());
      return {
        constraint,
        domains,
        limit: constraint.maxSkew + fewest,
        own: constraint.selector.matches(pod.labels) ? 1 : 0,
      };
    });
    return {
      kind: 'filter',
      filter: {
        check(node) {
          for (const { constraint, domains, limit, own } of counted) {
            const domain = node.labels[constraint.topologyKey];
            if (domain === undefined) return UNLABELLED;
            if ((domains.get(domain) ?? 0) + own > limit) return SKEWED;
          }
          return undefined;
        },
      },
    };
  },
  isHelpedBy(event, pod) {
    if (event.kind === 'nodeAdded' || event.kind === 'nodeRemoved') return true;
    if (event.kind === 'nodeUpdated') return event.changes.labels || event.changes.taints;
    if (!('pod' in event) || event.pod.namespace !== pod.namespace) return false;
    const labels = [event.pod.labels, ...(event.kind === 'podChanged' ? [event.previous.labels] : [])];
    return rawConstraintsOf(pod).some((raw) => labels.some((own) => compile(raw, pod).selector.matches(own)));
  },
};

/** What Kubernetes spreads by where the pod itself says nothing: lightly over hosts, more lightly over zones. */
const DEFAULT_CONSTRAINTS = [
  { topologyKey: HOSTNAME, maxSkew: 3 },
  { topologyKey: 'topology.kubernetes.io/zone', maxSkew: 5 },
] as const;

interface SoftConstraints {
  readonly constraints: readonly Constraint[];
  /** Nodes that lack one of the keys are left out; not so for the defaults. */
  readonly requiresAllKeys: boolean;
}

function softConstraintsOf(pod: PodInfo, view: ClusterView): SoftConstraints | undefined {
  const raw = rawConstraintsOf(pod);
  if (raw.length > 0) {
    const constraints = raw
      .filter((constraint) => constraint.whenUnsatisfiable === 'ScheduleAnyway')
      .map((constraint) => compile(constraint, pod));
    return constraints.length === 0 ? undefined : { constraints, requiresAllKeys: true };
  }
  const siblings = view.siblingsOf(pod);
  if (siblings === undefined) return undefined;
  const matchesNode = requiredNodeMatcher(pod.pod);
  const includes = (node: NodeInfo) => matchesNode?.(node) !== false;
  const constraints = DEFAULT_CONSTRAINTS.map((constraint) => ({
    ...constraint,
    ...siblings,
    minDomains: 1,
    includes,
    includesAll: matchesNode === undefined,
  }));
  return { constraints, requiresAllKeys: false };
}

/** Counts of one constraint, ready to be looked up by node. */
interface CountedConstraint {
  readonly constraint: Constraint;
  /** Domains weigh less where there are few: `ln(domains + 2)`. */
  readonly weight: number;
  readonly countOn: (node: NodeInfo) => number | undefined;
}

function countForScore(
  constraint: Constraint,
  context: {
    readonly pod: PodInfo;
    readonly view: ClusterView;
    readonly nodes: readonly NodeInfo[];
    readonly keys: readonly string[];
  },
): CountedConstraint {
  const { pod, view, nodes, keys } = context;
  const { topologyKey } = constraint;
  const pods = podsOf(constraint, pod, view);
  if (topologyKey === HOSTNAME) {
    const countOn = (node: NodeInfo) => (node.labels[HOSTNAME] === undefined ? undefined : (pods.get(node) ?? 0));
    return { constraint, weight: Math.log(nodes.length + 2), countOn };
  }
  const seen = new Set<string>();
  for (const node of nodes) {
    const domain = node.labels[topologyKey];
    if (domain !== undefined) seen.add(domain);
  }
  const weight = Math.log(seen.size + 2);
  if (seen.size === 0) return { constraint, weight, countOn: () => undefined };
  const domains = constraint.includesAll && keys.length <= 1 ? allDomains() : includedDomains();
  const countOn = (node: NodeInfo) => {
    const domain = node.labels[topologyKey];
    return domain === undefined ? undefined : (domains.get(domain) ?? 0);
  };
  return { constraint, weight, countOn };

  /** The short way, kept up to date between cycles. */
  function allDomains(): PodsByDomain {
    const { selector, selectorId } = constraint;
    return view.podsByDomain({ namespace: pod.namespace, selector, selectorId, ignoresTerminating: true }, topologyKey);
  }

  function includedDomains(): PodsByDomain {
    const counts = new Map<string, number>();
    for (const [node, count] of pods) {
      const domain = node.labels[topologyKey];
      if (domain === undefined || !hasAllKeys(node, keys) || !constraint.includes(node)) continue;
      counts.set(domain, (counts.get(domain) ?? 0) + count);
    }
    return counts;
  }
}

/** Fewer siblings in a node's domains are better. */
export const topologySpreadScore: ScorePlugin = {
  name: 'PodTopologySpread',
  weight: 2,
  prepare(pod, view, nodes): PreparedScore | undefined {
    const soft = softConstraintsOf(pod, view);
    if (soft === undefined) return undefined;
    const keys = soft.requiresAllKeys ? soft.constraints.map(({ topologyKey }) => topologyKey) : [];
    const eligible = keys.length === 0 ? nodes : nodes.filter((node) => hasAllKeys(node, keys));
    const counted = soft.constraints.map((constraint) =>
      countForScore(constraint, { pod, view, nodes: eligible, keys }),
    );
    return {
      score(node) {
        if (keys.length > 0 && !hasAllKeys(node, keys)) return IGNORED;
        let score = 0;
        for (const { constraint, weight, countOn } of counted) {
          const count = countOn(node);
          if (count !== undefined) score += count * weight + (constraint.maxSkew - 1);
        }
        return Math.round(score);
      },
      normalize: normalizeSpread,
    };
  },
};

/** Stands for a node that lacks a required label: it gets 0 in the end. */
const IGNORED = -1;

function normalizeSpread(scores: number[]): void {
  let max = 0;
  let min = Number.POSITIVE_INFINITY;
  for (const score of scores) {
    if (score === IGNORED) continue;
    if (score > max) max = score;
    if (score < min) min = score;
  }
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i]!;
    if (score === IGNORED) scores[i] = 0;
    else scores[i] = max === 0 ? MAX_NODE_SCORE : Math.floor((MAX_NODE_SCORE * (max + min - score)) / max);
  }
}
