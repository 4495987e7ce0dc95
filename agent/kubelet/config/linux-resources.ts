import type { IContainer } from 'kubernetes-models/v1/Container';
import { memoryBytesOf, milliCpuOf, type ResourceList } from '#api/meta/pod-resources.ts';
import { Quantity } from '#api/meta/quantity.ts';
import type { Pod } from '#api/object/kinds.ts';
import type { LinuxResources } from '../../cri/runtime.ts';
import { isCritical } from '../eviction/ranking.ts';
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

/** What this node can enforce, and how it was told to: the same for all containers. */
export interface ResourceRules {
  readonly nodeMemoryBytes: number;
  readonly cgroupVersion: 1 | 2;
  /** Absent from a kernel that was started without the memory cgroup: then runtimes refuse containers with a limit, so none is told. */
  readonly hasMemoryLimits: boolean;
  /** Sizes of huge pages as the kernel names them: `2MB`. */
  readonly hugePageSizes: readonly string[];
  /** Absent where swap is off or cannot be limited. */
  readonly swap?: SwapSettings | undefined;
  readonly memoryQos?: MemoryQos | undefined;
  /** The kernel ends one process of a container that is out of memory, not all of them. */
  readonly singleProcessOomKill: boolean;
}

/** How much swap containers get, where the node has any and cgroup v2 can limit it. */
export interface SwapSettings {
  readonly behavior: 'NoSwap' | 'LimitedSwap';
  readonly nodeSwapBytes: number;
}

/** Kubernetes' MemoryQoS: containers are slowed down before they reach their limit, and what they request is kept for them. */
export interface MemoryQos {
  /** Where slowing down begins between request and limit: 0 to 1; undefined = never. */
  readonly throttlingFactor: number | undefined;
  /** TieredReservation: Guaranteed pods never lose what they requested, Burstable ones last. */
  readonly isReserved: boolean;
  readonly allocatableBytes: () => number;
}

const HUGEPAGES = 'hugepages-';

/** Limits by the size as the kernel names it: `hugepages-2Mi` is `2MB`. Who asks for none of a size gets none. */
export function hugepageLimits(
  limits: ResourceList | undefined,
  sizes: readonly string[],
): NonNullable<LinuxResources['hugepages']> {
  const asked = new Map(
    Object.entries(limits ?? {})
      .filter(([name]) => name.startsWith(HUGEPAGES))
      .map(([name, amount]) => [
        `${name.slice(HUGEPAGES.length).replace(/([KMG])i$/, '$1')}B`,
        Quantity.parse(amount).value(),
      ]),
  );
  return [...new Set([...sizes, ...asked.keys()])].map((pageSize) => ({
    pageSize,
    limitBytes: asked.get(pageSize) ?? 0,
  }));
}

/** Files that only the unified hierarchy has, and only for whoever has its memory controller. */
function unifiedFiles(
  pod: Pod,
  container: IContainer,
  rules: ResourceRules,
): { readonly [file: string]: string } | undefined {
  if (rules.cgroupVersion !== 2 || !rules.hasMemoryLimits) return undefined;
  return {
    // One process less is often the one that the others wait for: as Kubernetes, all go and the container starts anew.
    ...(rules.singleProcessOomKill ? {} : { 'memory.oom.group': '1' }),
    ...swapLimit(pod, container, rules),
    ...memoryQosFiles(pod, container, rules.memoryQos),
  };
}

/**
 * LimitedSwap gives a Burstable container as large a share of the swap as it requests of the memory; all others, those of critical pods and
 * those that request what they may use at most, get none.
 */
function swapLimit(pod: Pod, container: IContainer, { swap, nodeMemoryBytes }: ResourceRules): Record<string, string> {
  if (swap === undefined) return {};
  const request = memoryBytesOf(container.resources?.requests);
  const isEntitled =
    swap.behavior === 'LimitedSwap' &&
    qosClassOf(pod) === 'Burstable' &&
    !isCritical(pod) &&
    request > 0 &&
    request !== memoryBytesOf(container.resources?.limits);
  const bytes = isEntitled ? Math.floor((request / nodeMemoryBytes) * swap.nodeSwapBytes) : 0;
  return { 'memory.swap.max': String(bytes) };
}

const PAGE_BYTES = 4096;

function memoryQosFiles(pod: Pod, container: IContainer, memoryQos: MemoryQos | undefined): Record<string, string> {
  if (memoryQos === undefined) return {};
  const limit = memoryBytesOf(container.resources?.limits);
  const request = memoryRequest(container);
  const files: Record<string, string> = {};
  if (memoryQos.isReserved && request > 0)
    files[qosClassOf(pod) === 'Guaranteed' ? 'memory.min' : 'memory.low'] = String(request);
  const { throttlingFactor, allocatableBytes } = memoryQos;
  if (throttlingFactor === undefined || request === limit) return files;
  const most = limit > 0 ? limit : allocatableBytes();
  const high = Math.floor((request + throttlingFactor * (most - request)) / PAGE_BYTES) * PAGE_BYTES;
  if (high > request) files['memory.high'] = String(high);
  return files;
}

/** CPU and memory that a container may use at most: where it does not say, what its pod as a whole may, so that programs see a limit. */
function effectiveLimits(pod: Pod, { resources }: IContainer): ResourceList {
  const { cpu, memory } = specOf(pod).resources?.limits ?? {};
  const ofPod = { ...(cpu === undefined ? {} : { cpu }), ...(memory === undefined ? {} : { memory }) };
  return { ...ofPod, ...resources?.limits };
}

export function containerResources(pod: Pod, container: IContainer, rules: ResourceRules): LinuxResources {
  const { requests } = container.resources ?? {};
  const limits = effectiveLimits(pod, container);
  const request = requests?.cpu === undefined ? milliCpuOf(limits) : milliCpuOf(requests);
  const hugepages = hugepageLimits(limits, rules.hugePageSizes);
  const unified = unifiedFiles(pod, container, rules);
  return {
    cpuShares: cpuShares(request),
    cpuQuota: cpuQuota(milliCpuOf(limits)),
    cpuPeriod: PERIOD_US,
    memoryLimitBytes: rules.hasMemoryLimits ? memoryBytesOf(limits) : 0,
    oomScoreAdj: oomScoreAdj(pod, container, rules.nodeMemoryBytes),
    ...(hugepages.length === 0 ? {} : { hugepages }),
    ...(unified === undefined || Object.keys(unified).length === 0 ? {} : { unified }),
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
