import { budgetsOf, DISRUPTION_ALLOWED, SYNC_FAILED, withDisruptionAllowed } from '#api/meta/disruption-budget.ts';
import { ApiError, forbidden } from '#api/object/api-error.ts';
import type { Pod, PodDisruptionBudget } from '#api/object/kinds.ts';
import { toTime } from '#base/clock.ts';

/** Evictions that were granted and that the controller has not seen yet; beyond this many something is wrong with it. */
const MAX_DISRUPTED_PODS = 2000;
/** When a client should ask again while the controller has not looked at the budget yet. */
const RETRY_SECONDS = 10;
const VIOLATED = "Cannot evict pod as it would violate the pod's disruption budget.";

/** No budget protects what serves nobody: pods that have not started, that have ended, or that are going anyway. */
export function isBeyondBudgets({ metadata, status }: Pod): boolean {
  const phase = status?.phase ?? '';
  return metadata.deletionTimestamp !== undefined || ['Pending', 'Succeeded', 'Failed'].includes(phase);
}

/** The budget that protects the pod, undefined for none. Throws 500 for several, of which nobody could say how they add up. */
export function budgetOf(pod: Pod, budgets: readonly PodDisruptionBudget[]): PodDisruptionBudget | undefined {
  const [only, ...others] = budgetsOf(pod, budgets);
  if (others.length === 0) return only;
  const message = 'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.';
  throw new ApiError(500, 'InternalError', message);
}

/** True where the pod may go without being charged, since it is not ready: always, or while the others are enough. */
export function sparesUnready({ spec, status }: PodDisruptionBudget, pod: Pod): boolean {
  if (pod.status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True')) return false;
  if (spec?.unhealthyPodEvictionPolicy === 'AlwaysAllow') return true;
  const { currentHealthy = 0, desiredHealthy = 0 } = status ?? {};
  return currentHealthy >= desiredHealthy && desiredHealthy > 0;
}

/** The budget after one more eviction. Throws 429 where it allows none, 403 where it is out of order. */
export function chargeBudget(budget: PodDisruptionBudget, podName: string, nowMs: number): PodDisruptionBudget {
  const { metadata, status = {} } = budget;
  const { name, generation = 0 } = metadata;
  if ((status.observedGeneration ?? 0) < generation) throw notProcessed(name);
  const refuse = (why: string) => forbidden({ group: 'policy', resource: 'poddisruptionbudget' }, name, why);
  const allowed = status.disruptionsAllowed ?? 0;
  if (allowed < 0) throw refuse('pdb disruptions allowed is negative');
  const disruptedPods = status.disruptedPods ?? {};
  if (Object.keys(disruptedPods).length > MAX_DISRUPTED_PODS) {
    throw refuse('DisruptedPods map too big - too many evictions not confirmed by PDB controller');
  }
  if (allowed === 0) throw violated(whyNone(name, status));
  const disruptionsAllowed = allowed - 1;
  const charged = { ...status, disruptionsAllowed, disruptedPods: { ...disruptedPods, [podName]: toTime(nowMs) } };
  return { ...budget, status: disruptionsAllowed === 0 ? withDisruptionAllowed(charged, nowMs) : charged };
}

function whyNone(name: string, status: NonNullable<PodDisruptionBudget['status']>): string {
  const condition = status.conditions?.find(({ type }) => type === DISRUPTION_ALLOWED);
  if (condition?.reason === SYNC_FAILED) {
    return `The disruption budget ${name} does not allow evicting pods currently because it failed sync: ${condition.message}`;
  }
  const { desiredHealthy = 0, currentHealthy = 0 } = status;
  return `The disruption budget ${name} needs ${desiredHealthy} healthy pods and has ${currentHealthy} currently`;
}

/** 429: the controller has not said yet what the budget in its present form allows; or the pod changed while it was judged. */
export const notProcessed = (name: string): ApiError =>
  violated(`The disruption budget ${name} is still being processed by the server.`, RETRY_SECONDS);

const violated = (message: string, retryAfterSeconds?: number): ApiError =>
  new ApiError(429, 'TooManyRequests', VIOLATED, {
    causes: [{ reason: 'DisruptionBudget', message }],
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  });
