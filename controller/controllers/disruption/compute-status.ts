import { isDeepStrictEqual } from 'node:util';
import { type BudgetStatus, withDisruptionAllowed } from '#api/meta/disruption-budget.ts';
import { resolveIntOrPercent } from '#api/meta/int-or-percent.ts';
import type { Pod, PodDisruptionBudget } from '#api/object/kinds.ts';
import { isPodReady } from '../pod-state.ts';

/** A pod whose eviction was granted is expected to begin to end within this; then the grant is taken back. */
const DELETION_TIMEOUT_MS = 120_000;

/** What a budget demands, and of how many pods. */
export interface Demand {
  readonly expectedPods: number;
  readonly desiredHealthy: number;
}

/** True where the budget speaks of a share of what the pods' controllers want, so that these have to be asked. */
export function dependsOnScale({ spec }: PodDisruptionBudget): boolean {
  return spec?.maxUnavailable !== undefined || typeof spec?.minAvailable === 'string';
}

/** `scale`: replicas that the controllers of the pods want together; read only where `dependsOnScale`. */
export function demandOf({ spec }: PodDisruptionBudget, podCount: number, scale: number): Demand {
  const { minAvailable, maxUnavailable } = spec ?? {};
  if (maxUnavailable !== undefined) {
    const spared = resolveIntOrPercent(maxUnavailable, scale, 'up');
    return { expectedPods: scale, desiredHealthy: Math.max(0, scale - spared) };
  }
  if (typeof minAvailable === 'string') {
    return { expectedPods: scale, desiredHealthy: resolveIntOrPercent(minAvailable, scale, 'up') };
  }
  return { expectedPods: minAvailable === undefined ? 0 : podCount, desiredHealthy: minAvailable ?? 0 };
}

export interface Grants {
  /** Pod name -> time of the grant: evictions that were granted and cannot be seen yet. */
  readonly disruptedPods: Readonly<Record<string, string>>;
  /** Pods that should have begun to end by now. */
  readonly lapsed: readonly Pod[];
  /** When the next of the grants lapses. */
  readonly nextLapseMs: number | undefined;
}

/** Which of the granted evictions still count as under way. */
export function pendingGrants({ status }: PodDisruptionBudget, pods: readonly Pod[], nowMs: number): Grants {
  const disruptedPods: Record<string, string> = {};
  const lapsed: Pod[] = [];
  let nextLapseMs: number | undefined;
  for (const pod of pods) {
    const granted = status?.disruptedPods?.[pod.metadata.name];
    if (granted === undefined || pod.metadata.deletionTimestamp !== undefined) continue;
    const lapsesAtMs = Date.parse(granted) + DELETION_TIMEOUT_MS;
    if (lapsesAtMs < nowMs) lapsed.push(pod);
    else {
      disruptedPods[pod.metadata.name] = granted;
      nextLapseMs = Math.min(nextLapseMs ?? lapsesAtMs, lapsesAtMs);
    }
  }
  return { disruptedPods, lapsed, nextLapseMs };
}

/** The whole status, or undefined where it is told already. */
export function computeBudgetStatus(
  budget: PodDisruptionBudget,
  pods: readonly Pod[],
  { demand, grants, nowMs }: { readonly demand: Demand; readonly grants: Grants; readonly nowMs: number },
): BudgetStatus | undefined {
  const { disruptedPods } = grants;
  const currentHealthy = pods.filter(
    (pod) =>
      pod.metadata.deletionTimestamp === undefined &&
      !Object.hasOwn(disruptedPods, pod.metadata.name) &&
      isPodReady(pod),
  ).length;
  const spare = currentHealthy - demand.desiredHealthy;
  const { disruptedPods: _, ...before } = budget.status ?? {};
  const status = withDisruptionAllowed(
    {
      ...before,
      ...demand,
      currentHealthy,
      // A budget without pods allows nothing, so that the first ones are safe before anybody has counted them.
      disruptionsAllowed: demand.expectedPods > 0 ? Math.max(0, spare) : 0,
      ...(Object.keys(disruptedPods).length === 0 ? {} : { disruptedPods }),
      observedGeneration: budget.metadata.generation ?? 0,
    },
    nowMs,
  );
  return isDeepStrictEqual(status, budget.status) ? undefined : status;
}
