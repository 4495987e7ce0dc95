import type { NodeInfo } from '../cache/node-info.ts';
import type { PodInfo } from '../cache/pod-info.ts';
import type { ClusterView, FilterPlugin, PreparedFilter, Rejection } from './plugin.ts';

/** Why a pod fits nowhere. */
export interface Diagnosis {
  /** Number of nodes in the cluster. */
  readonly nodeCount: number;
  /** Set when the pod was turned down before any node was looked at. */
  readonly forAllNodes: string | undefined;
  /** By node name: those that were looked at and turned down. */
  readonly rejections: ReadonlyMap<string, Rejection>;
  /** Nodes that were not looked at, because plugins named those that could pass. */
  readonly ruledOut: { readonly count: number; readonly reason: string };
  /** Names of the plugins that turned the pod or a node down. */
  readonly plugins: ReadonlySet<string>;
}

export interface FilterResult {
  /** Nodes that fit; when the cluster is large only as many as are worth scoring. */
  readonly feasible: readonly NodeInfo[];
  readonly diagnosis: Diagnosis;
  /** Where the next cycle starts to look, so that all nodes get their turn. */
  readonly nextStart: number;
}

/** Below this, every node is looked at; above, at least so many feasible ones are found. */
const MIN_FEASIBLE = 100;
const MIN_PERCENTAGE = 5;

/** Kubernetes' adaptive share: 50 % of the nodes, one percent less for each 125 of them, at least 5 %. */
export function feasibleNodesToFind(nodeCount: number): number {
  if (nodeCount < MIN_FEASIBLE) return nodeCount;
  const percentage = Math.max(MIN_PERCENTAGE, 50 - Math.floor(nodeCount / 125));
  return Math.max(MIN_FEASIBLE, Math.floor((nodeCount * percentage) / 100));
}

const NONE_RULED_OUT = { count: 0, reason: '' };

interface NamedFilter {
  readonly plugin: string;
  readonly filter: PreparedFilter;
}

/** Pure: which nodes can take the pod, looking from `start` on. */
export function filterNodes(
  pod: PodInfo,
  view: ClusterView,
  plugins: readonly FilterPlugin[],
  start = 0,
): FilterResult {
  const { nodes } = view;
  const prepared = prepareFilters(pod, view, plugins);
  if (!Array.isArray(prepared)) {
    const { plugin, rejection } = prepared;
    const diagnosis: Diagnosis = {
      nodeCount: nodes.length,
      forAllNodes: rejection.reasons.join(', '),
      rejections: new Map(),
      ruledOut: NONE_RULED_OUT,
      plugins: new Set([plugin]),
    };
    return { feasible: [], diagnosis, nextStart: start };
  }
  const candidates = candidatesOf(prepared, view);
  const wanted = feasibleNodesToFind(candidates.length);
  const feasible: NodeInfo[] = [];
  const rejections = new Map<string, Rejection>();
  const rejectedBy = new Set<string>();
  const choosy = prepared.filter(({ filter }) => filter.nodeNames !== undefined).map(({ plugin }) => plugin);
  for (const plugin of choosy) rejectedBy.add(plugin);
  const ruledOut = {
    count: nodes.length - candidates.length,
    reason: `node(s) didn't satisfy plugin(s) [${choosy.join(' ')}]`,
  };
  let looked = 0;
  for (; looked < candidates.length && feasible.length < wanted; looked++) {
    const node = candidates[(start + looked) % candidates.length]!;
    const rejected = checkNode(node, prepared);
    if (rejected === undefined) feasible.push(node);
    else {
      rejections.set(node.name, rejected.rejection);
      rejectedBy.add(rejected.plugin);
    }
  }
  return {
    feasible,
    diagnosis: { nodeCount: nodes.length, forAllNodes: undefined, rejections, ruledOut, plugins: rejectedBy },
    nextStart: candidates.length === 0 ? 0 : (start + looked) % candidates.length,
  };
}

/** The filters of one pod, or the plugin that turned it down altogether. */
function prepareFilters(
  pod: PodInfo,
  view: ClusterView,
  plugins: readonly FilterPlugin[],
): NamedFilter[] | { readonly plugin: string; readonly rejection: Rejection } {
  const filters: NamedFilter[] = [];
  for (const plugin of plugins) {
    const preparation = plugin.prepare(pod, view);
    if (preparation.kind === 'reject') return { plugin: plugin.name, rejection: preparation.rejection };
    if (preparation.kind === 'filter') filters.push({ plugin: plugin.name, filter: preparation.filter });
  }
  return filters;
}

/** The first plugin, in order, that turns the node down. */
export function checkNode(
  node: NodeInfo,
  filters: readonly NamedFilter[],
): { readonly plugin: string; readonly rejection: Rejection } | undefined {
  for (const { plugin, filter } of filters) {
    const rejection = filter.check(node);
    if (rejection !== undefined) return { plugin, rejection };
  }
  return undefined;
}

function candidatesOf(filters: readonly NamedFilter[], view: ClusterView): readonly NodeInfo[] {
  let names: ReadonlySet<string> | undefined;
  for (const { filter } of filters) {
    if (filter.nodeNames === undefined) continue;
    names = names === undefined ? filter.nodeNames : names.intersection(filter.nodeNames);
  }
  if (names === undefined) return view.nodes;
  return [...names].flatMap((name) => view.node(name) ?? []);
}
