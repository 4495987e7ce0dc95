import type { Pod } from '#api/object/kinds.ts';
import type { NodeInfo } from '../cache/node-info.ts';
import { changedNodeOf } from '../framework/cluster-event.ts';
import {
  type FilterPlugin,
  normalizeByMax,
  type PreparedFilter,
  rejectForGood,
  type ScorePlugin,
  SKIP,
} from '../framework/plugin.ts';
import {
  type Labels,
  matchesAnyTerm,
  matchesNodeTerm,
  type NodeSelectorTerm,
  subjectOf,
  type TermSubject,
} from './node-selector-terms.ts';

const MISMATCH = rejectForGood("node(s) didn't match Pod's node affinity/selector");
const CONFLICT = rejectForGood('pod affinity terms conflict');

interface NodeDemands {
  readonly nodeSelector: Labels;
  /** undefined: no required affinity. */
  readonly required: readonly NodeSelectorTerm[] | undefined;
}

function demandsOf(pod: Pod): NodeDemands | undefined {
  const nodeSelector = pod.spec?.nodeSelector ?? {};
  const required = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
    ?.nodeSelectorTerms as readonly NodeSelectorTerm[] | undefined;
  return required === undefined && Object.keys(nodeSelector).length === 0 ? undefined : { nodeSelector, required };
}

function meets({ nodeSelector, required }: NodeDemands, node: TermSubject): boolean {
  for (const key of Object.keys(nodeSelector)) if (node.labels[key] !== nodeSelector[key]) return false;
  return required === undefined || matchesAnyTerm(required, node);
}

/** Whether the pod's nodeSelector and required node affinity admit the node; undefined: they admit all. */
export function requiredNodeMatcher(pod: Pod): ((node: NodeInfo) => boolean) | undefined {
  const demands = demandsOf(pod);
  return demands === undefined ? undefined : (node) => meets(demands, node);
}

/** Node names that the terms allow by `metadata.name`; undefined when some term allows others. */
function namedNodes(terms: readonly NodeSelectorTerm[] | undefined): ReadonlySet<string> | undefined {
  if (terms === undefined) return undefined;
  const names = new Set<string>();
  for (const { matchFields = [] } of terms) {
    let allowed: ReadonlySet<string> | undefined;
    for (const { key, operator, values = [] } of matchFields) {
      if (key !== 'metadata.name' || operator !== 'In') continue;
      const own = new Set(values);
      allowed = allowed === undefined ? own : allowed.intersection(own);
    }
    if (allowed === undefined) return undefined;
    for (const name of allowed) names.add(name);
  }
  return names;
}

export const nodeAffinity: FilterPlugin = {
  name: 'NodeAffinity',
  prepare({ pod }) {
    const demands = demandsOf(pod);
    if (demands === undefined) return SKIP;
    const nodeNames = namedNodes(demands.required);
    if (nodeNames?.size === 0 && (demands.required?.length ?? 0) > 0) return { kind: 'reject', rejection: CONFLICT };
    const check: PreparedFilter['check'] = (node) => (meets(demands, node) ? undefined : MISMATCH);
    return { kind: 'filter', filter: nodeNames === undefined ? { check } : { nodeNames, check } };
  },
  isHelpedBy(event, { pod }) {
    const node = changedNodeOf(event);
    const demands = demandsOf(pod);
    return node !== undefined && (demands === undefined || meets(demands, subjectOf(node)));
  },
};

interface PreferredTerm {
  readonly weight: number;
  readonly preference: NodeSelectorTerm;
}

export const nodeAffinityScore: ScorePlugin = {
  name: 'NodeAffinity',
  weight: 2,
  prepare({ pod }) {
    const preferred = (pod.spec?.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ??
      []) as readonly PreferredTerm[];
    if (preferred.length === 0) return undefined;
    return {
      score: (node) => {
        let score = 0;
        for (const { weight, preference } of preferred) if (matchesNodeTerm(preference, node)) score += weight;
        return score;
      },
      normalize: (scores) => normalizeByMax(scores, false),
    };
  },
};
