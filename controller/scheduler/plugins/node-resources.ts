import type { NodeInfo } from '../cache/node-info.ts';
import type { PodInfo } from '../cache/pod-info.ts';
import { amountsOfList, type ResourceAmounts } from '../cache/resource-amounts.ts';
import { type FilterPlugin, MAX_NODE_SCORE, type Rejection, type ScorePlugin } from '../framework/plugin.ts';

/** Whether a resource can be had as devices of a class. */
export type IsOfClass = (resource: string) => boolean;

/** What of a request does not fit, in Kubernetes' order. */
function shortages(requests: ResourceAmounts, node: NodeInfo, isOfClass: IsOfClass): Rejection | undefined {
  const { allocatable } = node;
  const reasons: string[] = [];
  // Beyond the whole node: no eviction would help.
  let exceedsNode = false;
  const compare = (name: string, wanted: number, used: number, capacity: number) => {
    if (wanted === 0 || wanted <= capacity - used) return;
    reasons.push(`Insufficient ${name}`);
    if (wanted > capacity) exceedsNode = true;
  };
  if (node.pods.size + 1 > node.allowedPods) reasons.push('Too many pods');
  compare('cpu', requests.milliCpu, node.milliCpu, allocatable.milliCpu);
  compare('memory', requests.memory, node.memory, allocatable.memory);
  compare('ephemeral-storage', requests.ephemeralStorage, node.ephemeralStorage, allocatable.ephemeralStorage);
  for (const [name, wanted] of requests.scalars) {
    // Where no plug-in offers it, devices of its class are looked for.
    if ((allocatable.scalars.get(name) ?? 0) === 0 && isOfClass(name)) continue;
    compare(name, wanted, node.scalars.get(name) ?? 0, allocatable.scalars.get(name) ?? 0);
  }
  return reasons.length === 0 ? undefined : { reasons, isUnresolvable: exceedsNode };
}

/** The same question without naming the reasons: nearly every node of a busy cluster is asked it in every cycle. */
function fits(requests: ResourceAmounts, node: NodeInfo): boolean {
  const { allocatable } = node;
  return (
    node.pods.size < node.allowedPods &&
    (requests.milliCpu === 0 || requests.milliCpu <= allocatable.milliCpu - node.milliCpu) &&
    (requests.memory === 0 || requests.memory <= allocatable.memory - node.memory) &&
    (requests.ephemeralStorage === 0 ||
      requests.ephemeralStorage <= allocatable.ephemeralStorage - node.ephemeralStorage) &&
    requests.scalars.size === 0
  );
}

function sharesResource(a: ResourceAmounts, b: ResourceAmounts): boolean {
  return (
    (a.milliCpu > 0 && b.milliCpu > 0) ||
    (a.memory > 0 && b.memory > 0) ||
    (a.ephemeralStorage > 0 && b.ephemeralStorage > 0) ||
    [...a.scalars.keys()].some((name) => b.scalars.has(name))
  );
}

export const createNodeResourcesFit = (isOfClass: IsOfClass): FilterPlugin => ({
  name: 'NodeResourcesFit',
  prepare({ requests }) {
    return {
      kind: 'filter',
      filter: { check: (node) => (fits(requests, node) ? undefined : shortages(requests, node, isOfClass)) },
    };
  },
  isHelpedBy(event, pod, view) {
    switch (event.kind) {
      case 'nodeAdded':
        return isWithin(pod, amountsOfList(event.node.status?.allocatable));
      case 'nodeUpdated': {
        const node = view.node(event.node.metadata.name);
        return (
          event.changes.allocatable && node !== undefined && shortages(pod.requests, node, isOfClass) === undefined
        );
      }
      case 'podRemoved': {
        const node = view.node(event.nodeName);
        const frees =
          sharesResource(event.pod.requests, pod.requests) || node?.pods.size === (node?.allowedPods ?? 0) - 1;
        return frees && node !== undefined;
      }
      case 'podChanged':
        return sharesResource(event.previous.requests, pod.requests);
      case 'devicesChanged':
        return [...pod.requests.scalars.keys()].some(isOfClass);
      default:
        return false;
    }
  },
});

function isWithin({ requests }: PodInfo, allocatable: ResourceAmounts): boolean {
  return requests.milliCpu <= allocatable.milliCpu && requests.memory <= allocatable.memory;
}

/** Share of a resource that would be left, 0..100. */
function leastAllocated(requested: number, capacity: number): number {
  if (capacity === 0 || requested > capacity) return 0;
  return Math.floor(((capacity - requested) * MAX_NODE_SCORE) / capacity);
}

/** Emptier nodes first: the mean over CPU and memory of what would be left. */
export const leastAllocatedScore: ScorePlugin = {
  name: 'NodeResourcesFit',
  weight: 1,
  prepare({ nonZero }) {
    return {
      score: ({ allocatable, nonZeroMilliCpu, nonZeroMemory }) => {
        const cpu = leastAllocated(nonZeroMilliCpu + nonZero.milliCpu, allocatable.milliCpu);
        const memory = leastAllocated(nonZeroMemory + nonZero.memory, allocatable.memory);
        const resources = (allocatable.milliCpu > 0 ? 1 : 0) + (allocatable.memory > 0 ? 1 : 0);
        return resources === 0 ? 0 : Math.floor((cpu + memory) / resources);
      },
    };
  },
};

/** Nodes whose CPU and memory would be used in like proportion. Pods without requests do not shift the balance. */
export const balancedAllocationScore: ScorePlugin = {
  name: 'NodeResourcesBalancedAllocation',
  weight: 1,
  prepare({ requests }) {
    if (requests.milliCpu === 0 && requests.memory === 0) return undefined;
    return {
      score: ({ allocatable, milliCpu, memory }) => {
        if (allocatable.milliCpu === 0 || allocatable.memory === 0) return MAX_NODE_SCORE;
        const cpuShare = Math.min(1, (milliCpu + requests.milliCpu) / allocatable.milliCpu);
        const memoryShare = Math.min(1, (memory + requests.memory) / allocatable.memory);
        // The standard deviation of two values is half of their distance.
        return Math.floor((1 - Math.abs(cpuShare - memoryShare) / 2) * MAX_NODE_SCORE);
      },
    };
  },
};
