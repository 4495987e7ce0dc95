import { toTime } from '#base/clock.ts';
import type { Pod, PodDisruptionBudget } from '../object/kinds.ts';
import { labelSelectorFrom } from './label-selector.ts';

/** What evictions and the disruption controller both have to know of a PodDisruptionBudget. */

export type BudgetStatus = NonNullable<PodDisruptionBudget['status']>;
type Condition = NonNullable<BudgetStatus['conditions']>[number];

export const DISRUPTION_ALLOWED = 'DisruptionAllowed';
/** Reason of the condition where the budget could not be computed. */
export const SYNC_FAILED = 'SyncFailed';

/** Those of its namespace that mean the pod. A budget without a selector means none, an empty one means all. */
export function budgetsOf<T extends PodDisruptionBudget>(pod: Pod, budgets: readonly T[]): T[] {
  return budgets.filter(
    ({ metadata, spec }) =>
      metadata.namespace === pod.metadata.namespace && labelSelectorFrom(spec?.selector).matches(pod.metadata.labels),
  );
}

/** With the condition that says the same as `disruptionsAllowed`; its time stays while its status does. */
export function withDisruptionAllowed(status: BudgetStatus, nowMs: number): BudgetStatus {
  const isAllowed = (status.disruptionsAllowed ?? 0) > 0;
  return withBudgetCondition(status, nowMs, {
    status: isAllowed ? 'True' : 'False',
    reason: isAllowed ? 'SufficientPods' : 'InsufficientPods',
    message: '',
  });
}

/** The same for a budget that could not be computed: nothing may be evicted. */
export function withSyncFailed(status: BudgetStatus, nowMs: number, message: string): BudgetStatus {
  const failed = { ...status, disruptionsAllowed: 0 };
  return withBudgetCondition(failed, nowMs, { status: 'False', reason: SYNC_FAILED, message });
}

function withBudgetCondition(
  status: BudgetStatus,
  nowMs: number,
  wanted: Pick<Condition, 'status' | 'reason' | 'message'>,
): BudgetStatus {
  const { conditions = [], observedGeneration } = status;
  const known = conditions.find(({ type }) => type === DISRUPTION_ALLOWED);
  const lastTransitionTime = known?.status === wanted.status ? known.lastTransitionTime : toTime(nowMs);
  const others = conditions.filter((condition) => condition !== known);
  const observed = observedGeneration === undefined ? {} : { observedGeneration };
  const condition: Condition = { type: DISRUPTION_ALLOWED, ...wanted, ...observed, lastTransitionTime };
  return { ...status, conditions: [...others, condition] };
}
