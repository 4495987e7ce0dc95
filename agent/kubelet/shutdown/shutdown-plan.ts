import type { Pod } from '#api/object/kinds.ts';
import { gracePeriodSeconds, restartPolicyOf, specOf } from '../pod-spec.ts';

/** Pods from this priority on (up to the next tier's) have this long to end when the host shuts down. */
export interface ShutdownTier {
  readonly priority: number;
  readonly graceSeconds: number;
}

export interface ShutdownStep {
  readonly pods: readonly {
    readonly pod: Pod;
    readonly graceSeconds: number;
    /** It comes back with the host; others have failed for good. */
    readonly returns: boolean;
  }[];
  /** After this the next tier is ended, whoever still runs. */
  readonly limitSeconds: number;
}

/** Pods of system-cluster-critical and above go last. */
export const CRITICAL_PRIORITY = 2_000_000_000;

/** The kubelet's two numbers as tiers: the whole time, and how much of it is for critical pods. */
export function tiersOf(totalSeconds: number, criticalSeconds: number): ShutdownTier[] {
  return [
    { priority: 0, graceSeconds: Math.max(0, totalSeconds - criticalSeconds) },
    { priority: CRITICAL_PRIORITY, graceSeconds: criticalSeconds },
  ];
}

/**
 * Who is ended when, lowest priorities first; a tier without pods takes no time. A pod that restarts always is only stopped: the node,
 * which may boot where nobody can be asked, starts it again. One that runs to an end has been cut off, and says so. Pure.
 */
export function planShutdown(pods: readonly Pod[], tiers: readonly ShutdownTier[]): ShutdownStep[] {
  const ordered = [...tiers].sort((a, b) => a.priority - b.priority);
  const tierOf = (pod: Pod) => {
    const priority = specOf(pod).priority ?? 0;
    return ordered.findLast((tier) => tier.priority <= priority) ?? ordered[0];
  };
  return ordered.flatMap((tier) => {
    const own = pods.filter((pod) => tierOf(pod) === tier);
    if (own.length === 0) return [];
    return {
      limitSeconds: tier.graceSeconds,
      pods: own.map((pod) => ({
        pod,
        graceSeconds: Math.max(1, Math.min(tier.graceSeconds, gracePeriodSeconds(pod))),
        returns: restartPolicyOf(pod) === 'Always',
      })),
    };
  });
}
