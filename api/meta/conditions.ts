/** What the `conditions` of all kinds have in common. */
export interface Condition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string | null;
}

export function findCondition<T extends Condition>(conditions: readonly T[] | undefined, type: string): T | undefined {
  return conditions?.find((condition) => condition.type === type);
}

export function isConditionTrue(conditions: readonly Condition[] | undefined, type: string): boolean {
  return findCondition(conditions, type)?.status === 'True';
}

/**
 * The list with this condition added or replaced in place. lastTransitionTime stays as long as the status does; else it is the given
 * one, or `now` (a `metav1.Time`). Returns the same list when nothing changed.
 */
export function setCondition<T extends Condition>(
  conditions: readonly T[] | undefined,
  next: T,
  now: string,
): readonly T[] {
  const list = conditions ?? [];
  const index = list.findIndex((condition) => condition.type === next.type);
  const old = list[index];
  const isTransition = old === undefined || old.status !== next.status;
  const lastTransitionTime = isTransition ? (next.lastTransitionTime ?? now) : old.lastTransitionTime;
  const merged: T = { ...old, ...next, lastTransitionTime };
  if (old === undefined) return [...list, merged];
  const isSame = (Object.keys(merged) as (keyof T)[]).every((key) => merged[key] === old[key]);
  return isSame ? list : list.with(index, merged);
}
