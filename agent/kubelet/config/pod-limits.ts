import type { Pod } from '#api/object/kinds.ts';
import { allContainers, specOf } from '../pod-spec.ts';
import { cpuQuota, cpuShares } from './linux-resources.ts';
import { bytesOf, milliCpuOf, podRequest } from './resource-amounts.ts';

/** What the pod's own cgroup is told; 0 = no limit. */
export interface PodLimits {
  readonly cpuShares: number;
  /** Microseconds per 100 ms. */
  readonly cpuQuota: number;
  readonly memoryBytes: number;
}

/** A pod is limited as a whole only where each of its containers is: one without a limit may use what the others leave. */
export function podLimits(pod: Pod): PodLimits {
  const containers = allContainers(pod);
  const podLevel = specOf(pod).resources?.limits;
  const total = (read: (limits: Readonly<Record<string, string | number>> | undefined) => number) => {
    if (read(podLevel) > 0) return read(podLevel);
    const limits = containers.map(({ resources }) => read(resources?.limits));
    return limits.includes(0) ? 0 : limits.reduce((sum, limit) => sum + limit, 0);
  };
  return {
    cpuShares: cpuShares(Math.ceil(podRequest(pod, 'cpu') * 1000 - 1e-6)),
    cpuQuota: cpuQuota(total(milliCpuOf)),
    memoryBytes: total(bytesOf),
  };
}

/** cgroup v2's cpu.weight for cgroup v1's cpu.shares: [2, 262144] onto [1, 10000], as runc does it. */
export function cpuWeight(shares: number): number {
  return Math.floor(1 + ((shares - 2) * 9999) / 262_142);
}
