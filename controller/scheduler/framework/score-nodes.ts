import type { NodeInfo } from '../cache/node-info.ts';
import type { PodInfo } from '../cache/pod-info.ts';
import type { ClusterView, ScorePlugin } from './plugin.ts';

export interface NodeScore {
  readonly node: NodeInfo;
  /** Sum over the plugins of score times weight. */
  readonly total: number;
}

/** Pure: how well each of these nodes suits the pod. */
export function scoreNodes(
  pod: PodInfo,
  view: ClusterView,
  nodes: readonly NodeInfo[],
  plugins: readonly ScorePlugin[],
): NodeScore[] {
  const totals = new Array<number>(nodes.length).fill(0);
  const scores = new Array<number>(nodes.length);
  for (const plugin of plugins) {
    const prepared = plugin.prepare(pod, view, nodes);
    if (prepared === undefined) continue;
    for (let i = 0; i < nodes.length; i++) scores[i] = prepared.score(nodes[i]!);
    prepared.normalize?.(scores);
    for (let i = 0; i < nodes.length; i++) totals[i]! += scores[i]! * plugin.weight;
  }
  return nodes.map((node, i) => ({ node, total: totals[i]! }));
}

/** One of the best, each with the same chance. `scores` is not empty; `random` is uniform in [0, 1). */
export function selectBest(scores: readonly NodeScore[], random: () => number): NodeInfo {
  let best = scores[0]!;
  let ties = 1;
  for (const score of scores.slice(1)) {
    if (score.total > best.total) {
      best = score;
      ties = 1;
    } else if (score.total === best.total) {
      ties += 1;
      if (random() * ties < 1) best = score;
    }
  }
  return best.node;
}
