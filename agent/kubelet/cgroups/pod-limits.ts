import { podLimits as limitsOf, podRequests, type ResourceList } from '#api/meta/pod-resources.ts';
import { Quantity } from '#api/meta/quantity.ts';
import type { Pod } from '#api/object/kinds.ts';
import { cpuQuota, cpuShares, hugepageLimits, type ResourceRules } from '../config/linux-resources.ts';
import { allContainers, qosClassOf, specOf } from '../pod-spec.ts';

/** What one cgroup is told; 0 = no limit, absent = not ours to say. */
export interface PodLimits {
  readonly cpuShares: number;
  /** Microseconds per 100 ms. */
  readonly cpuQuota: number;
  readonly memoryBytes?: number;
  /** Memory that is never taken away, and that is taken away last; version 2 only. */
  readonly memoryMinBytes?: number;
  readonly memoryLowBytes?: number;
  /** Processes and threads. */
  readonly pids?: number;
  readonly hugepages?: readonly { readonly pageSize: string; readonly limitBytes: number }[];
}

/** A pod is limited as a whole only where it says so or each of its containers is: one without a limit may use what the others leave. */
export function podLimits(pod: Pod, rules: ResourceRules): PodLimits {
  const spec = specOf(pod);
  const limits = limitsOf(spec);
  const limit = (name: string) => {
    const holders = isSet(spec.resources?.limits, name) ? [spec] : allContainers(pod);
    return holders.every(({ resources }) => isSet(resources?.limits, name)) ? limits.get(name) : undefined;
  };
  const quantities = Object.fromEntries([...limits].map(([name, amount]) => [name, amount.toString()]));
  const hugepages = hugepageLimits(quantities, rules.hugePageSizes);
  return {
    cpuShares: cpuShares(podRequests(spec).get('cpu')?.milliValue() ?? 0),
    cpuQuota: cpuQuota(limit('cpu')?.milliValue() ?? 0),
    ...(rules.hasMemoryLimits ? { memoryBytes: limit('memory')?.value() ?? 0 } : {}),
    ...reservations([pod], rules),
    ...(hugepages.length === 0 ? {} : { hugepages }),
  };
}

/** What is kept for these pods together: the kernel gives a group no more protection than those above it have. */
export function reservations(
  pods: readonly Pod[],
  { memoryQos }: ResourceRules,
): Pick<PodLimits, 'memoryMinBytes' | 'memoryLowBytes'> {
  if (memoryQos?.isReserved !== true) return {};
  const requested = (qos: string) =>
    pods
      .filter((pod) => qosClassOf(pod) === qos)
      .reduce((sum, pod) => sum + (podRequests(specOf(pod)).get('memory')?.value() ?? 0), 0);
  return { memoryMinBytes: requested('Guaranteed'), memoryLowBytes: requested('Burstable') };
}

function isSet(list: ResourceList | undefined, name: string): boolean {
  const amount = list?.[name];
  return amount !== undefined && !Quantity.parse(amount).isZero;
}
