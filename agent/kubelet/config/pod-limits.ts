import { podLimits as limitsOf, podRequests, type ResourceList } from '#api/meta/pod-resources.ts';
import { Quantity } from '#api/meta/quantity.ts';
import type { Pod } from '#api/object/kinds.ts';
import { allContainers, specOf } from '../pod-spec.ts';
import { cpuQuota, cpuShares } from './linux-resources.ts';

/** What the pod's own cgroup is told; 0 = no limit. */
export interface PodLimits {
  readonly cpuShares: number;
  /** Microseconds per 100 ms. */
  readonly cpuQuota: number;
  readonly memoryBytes: number;
  /** Processes and threads; absent = no limit. */
  readonly pids?: number;
}

/** A pod is limited as a whole only where it says so or each of its containers is: one without a limit may use what the others leave. */
export function podLimits(pod: Pod): PodLimits {
  const spec = specOf(pod);
  const limits = limitsOf(spec);
  const limit = (name: string) => {
    const holders = isSet(spec.resources?.limits, name) ? [spec] : allContainers(pod);
    return holders.every(({ resources }) => isSet(resources?.limits, name)) ? limits.get(name) : undefined;
  };
  return {
    cpuShares: cpuShares(podRequests(spec).get('cpu')?.milliValue() ?? 0),
    cpuQuota: cpuQuota(limit('cpu')?.milliValue() ?? 0),
    memoryBytes: limit('memory')?.value() ?? 0,
  };
}

function isSet(list: ResourceList | undefined, name: string): boolean {
  const amount = list?.[name];
  return amount !== undefined && !Quantity.parse(amount).isZero;
}

/** cgroup v2's cpu.weight for cgroup v1's cpu.shares: [2, 262144] onto [1, 10000], as runc does it. */
export function cpuWeight(shares: number): number {
  return Math.floor(1 + ((shares - 2) * 9999) / 262_142);
}
