import type { PodInfo } from '../cache/pod-info.ts';
import { type Diagnosis, filterNodes } from './filter-nodes.ts';
import type { ClusterView, FilterPlugin, ReservePlugin, ScorePlugin } from './plugin.ts';
import { scoreNodes, selectBest } from './score-nodes.ts';

export interface Profile {
  readonly filters: readonly FilterPlugin[];
  readonly scores: readonly ScorePlugin[];
  readonly reserves: readonly ReservePlugin[];
}

export interface CycleOptions {
  readonly profile: Pick<Profile, 'filters' | 'scores'>;
  /** Where to start looking among the nodes. */
  readonly start: number;
  /** Uniform in [0, 1): breaks ties. */
  readonly random: () => number;
}

export type CycleResult =
  | { readonly kind: 'placed'; readonly nodeName: string; readonly nextStart: number }
  | { readonly kind: 'unschedulable'; readonly diagnosis: Diagnosis; readonly nextStart: number };

/** One scheduling cycle. Pure but for the caches that the view keeps warm. */
export function schedulePod(pod: PodInfo, view: ClusterView, options: CycleOptions): CycleResult {
  const { profile, start, random } = options;
  const { feasible, diagnosis, nextStart } = filterNodes(pod, view, profile.filters, start);
  const [only] = feasible;
  if (only === undefined) return { kind: 'unschedulable', diagnosis, nextStart };
  const node = feasible.length === 1 ? only : selectBest(scoreNodes(pod, view, feasible, profile.scores), random);
  return { kind: 'placed', nodeName: node.name, nextStart };
}
