import type { IContainer } from 'kubernetes-models/v1/Container';
import { memoryBytesOf, milliCpuOf, type ResourceList } from '#api/meta/pod-resources.ts';
import { Quantity } from '#api/meta/quantity.ts';
import type { Pod } from '#api/object/kinds.ts';
import type { LinuxResources } from '../../cri/runtime.ts';
import { isSidecar, qosClassOf, specOf } from '../pod-spec.ts';

const SHARES_PER_CPU = 1024;
/** The kernel's bounds of cpu.shares. */
const MIN_SHARES = 2;
const MAX_SHARES = 262_144;
const PERIOD_US = 100_000;
/** The kernel refuses quotas below 1 ms. */
const MIN_QUOTA_US = 1000;
const GUARANTEED_OOM_SCORE = -997;
const BEST_EFFORT_OOM_SCORE = 1000;
/** Pods of system-node-critical and above. */
const NODE_CRITICAL_PRIORITY = 2_000_001_000;

export function cpuShares(milliCpu: number): number {
  if (milliCpu === 0) return MIN_SHARES;
  return Math.min(MAX_SHARES, Math.max(MIN_SHARES, Math.floor((milliCpu * SHARES_PER_CPU) / 1000)));
}

/** Microseconds per 100 ms period; 0 = unlimited. */
export function cpuQuota(milliCpu: number): number {
  return milliCpu === 0 ? 0 : Math.max(MIN_QUOTA_US, Math.floor((milliCpu * PERIOD_US) / 1000));
}

const HUGEPAGES = 'hugepages-';

/** Limits of huge pages by their size as the kernel names them: `hugepages-2Mi` is `2MB`. Who asks for none gets none. */
function hugepages(limits: ResourceList | undefined): Pick<LinuxResources, 'hugepages'> {
  const list = Object.entries(limits ?? {}).filter(([name]) => name.startsWith(HUGEPAGES));
  if (list.length === 0) return {};
  return {
    hugepages: list.map(([name, amount]) => ({
      pageSize: `${name.slice(HUGEPAGES.length).replace(/([KMG])i$/, '$1')}B`,
      limitBytes: Quantity.parse(amount).value(),
    })),
  };
}

/** How much swap containers get, where the node has any and cgroup v2 can limit it. */
export interface SwapSettings {
  readonly behavior: 'NoSwap' | 'LimitedSwap';
  readonly nodeSwapBytes: number;
}

/**
 * LimitedSwap gives a Burstable container as large a share of the swap as it requests of the memory; all others, and those that request
 * what they may use at most, get none.
 */
function swapLimit(
  pod: Pod,
  container: IContainer,
  nodeMemoryBytes: number,
  swap: SwapSettings | undefined,
): Pick<LinuxResources, 'unified'> {
  if (swap === undefined) return {};
  const request = memoryBytesOf(container.resources?.requests);
  const isEntitled =
    swap.behavior === 'LimitedSwap' &&
    qosClassOf(pod) === 'Burstable' &&
    request > 0 &&
    request !== memoryBytesOf(container.resources?.limits);
  const bytes = isEntitled ? Math.floor((request / nodeMemoryBytes) * swap.nodeSwapBytes) : 0;
  return { unified: { 'memory.swap.max': String(bytes) } };
}

export function containerResources(
  pod: Pod,
  container: IContainer,
  nodeMemoryBytes: number,
  swap?: SwapSettings,
): LinuxResources {
  const { requests, limits } = container.resources ?? {};
  const request = requests?.cpu === undefined ? milliCpuOf(limits) : milliCpuOf(requests);
  return {
    cpuShares: cpuShares(request),
    cpuQuota: cpuQuota(milliCpuOf(limits)),
    cpuPeriod: PERIOD_US,
    memoryLimitBytes: memoryBytesOf(limits),
    oomScoreAdj: oomScoreAdj(pod, container, nodeMemoryBytes),
    ...hugepages(limits),
    ...swapLimit(pod, container, nodeMemoryBytes, swap),
  };
}

/** The less of the node's memory a container asked for, the sooner it is killed; the classes never overlap. */
export function oomScoreAdj(pod: Pod, container: IContainer, nodeMemoryBytes: number): number {
  if ((specOf(pod).priority ?? 0) >= NODE_CRITICAL_PRIORITY) return GUARANTEED_OOM_SCORE;
  const qos = qosClassOf(pod);
  if (qos === 'Guaranteed') return GUARANTEED_OOM_SCORE;
  if (qos === 'BestEffort') return BEST_EFFORT_OOM_SCORE;
  const own = memoryRequest(container) + podLevelShare(pod);
  // A sidecar outlives the containers that it serves: it is as safe as the most modest of them.
  const request = isSidecarOf(pod, container) ? Math.max(own, smallestRequest(pod)) : own;
  const score = 1000 - Math.floor((1000 * request) / nodeMemoryBytes);
  return Math.min(BEST_EFFORT_OOM_SCORE - 1, Math.max(1000 + GUARANTEED_OOM_SCORE, score));
}

const memoryRequest = ({ resources }: IContainer) =>
  memoryBytesOf(resources?.requests) || memoryBytesOf(resources?.limits);

const smallestRequest = (pod: Pod) =>
  Math.min(...specOf(pod).containers.map((container) => memoryRequest(container) + podLevelShare(pod)));

const isSidecarOf = (pod: Pod, { name }: IContainer) =>
  (specOf(pod).initContainers ?? []).some((container) => container.name === name && isSidecar(container));

/** What the pod requests beyond its containers is shared among them alike. */
function podLevelShare(pod: Pod): number {
  const { resources, containers } = specOf(pod);
  if (resources?.requests?.memory === undefined) return 0;
  const rest = memoryBytesOf(resources.requests) - containers.reduce((sum, one) => sum + memoryRequest(one), 0);
  return Math.max(0, Math.floor(rest / containers.length));
}
