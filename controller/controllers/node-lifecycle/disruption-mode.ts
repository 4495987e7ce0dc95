/**
 * How the cluster as a whole is doing; there are no zones here. `full`: not one node is ready, so the fault is more likely ours or the
 * network's than theirs. `partial`: so many are not ready that evicting them at full speed would bury the rest.
 */
export type DisruptionMode = 'normal' | 'partial' | 'full';

const UNHEALTHY_FRACTION = 0.55;
/** Below this size a partly broken cluster has no room for the pods of the broken part. */
const LARGE_CLUSTER = 50;
const SECONDARY_RATE_SHARE = 0.1;

export function computeDisruptionMode(ready: number, notReady: number): DisruptionMode {
  if (ready === 0 && notReady > 0) return 'full';
  const isMostlyDown = notReady / (ready + notReady) >= UNHEALTHY_FRACTION;
  return notReady > 2 && isMostlyDown ? 'partial' : 'normal';
}

/** Nodes that may be tainted for eviction per second; `normalRate` applies to a healthy cluster. */
export function evictionRate(mode: DisruptionMode, nodes: number, normalRate: number): number {
  switch (mode) {
    case 'normal':
      return normalRate;
    case 'partial':
      return nodes > LARGE_CLUSTER ? normalRate * SECONDARY_RATE_SHARE : 0;
    case 'full':
      return 0;
  }
}
