import type { IResourceQuota } from 'kubernetes-models/v1/ResourceQuota';
import type { KubeObject, Stored } from '../object/kube-object.ts';
import { type Amounts, addAmounts, keepAmounts } from './amounts.ts';
import type { QuotaEvaluator } from './evaluators.ts';
import type { ScopeRequirement } from './pod-usage.ts';

export type ResourceQuota = Stored<IResourceQuota>;

/** Both spellings of scopes as one list of what all must hold. */
function scopesOf({ spec }: ResourceQuota): readonly ScopeRequirement[] {
  const plain = (spec?.scopes ?? []).map((scopeName) => ({ scopeName, operator: 'Exists' }));
  return [...plain, ...(spec?.scopeSelector?.matchExpressions ?? [])];
}

/** True when the object is one that this quota speaks of. */
export const isInScope = (quota: ResourceQuota, evaluator: QuotaEvaluator, object: KubeObject): boolean =>
  scopesOf(quota).every((requirement) => evaluator.matchesScope(object, requirement));

/** What all of these objects, of one kind, use of the resources that the quota bounds. */
export function sumUsage(
  quota: ResourceQuota,
  evaluator: QuotaEvaluator,
  objects: Iterable<KubeObject>,
  nowMs: number,
): Amounts {
  const hard = quota.spec?.hard ?? {};
  let sum: Amounts = new Map();
  for (const object of objects) {
    if (!isInScope(quota, evaluator, object)) continue;
    sum = addAmounts(
      sum,
      keepAmounts(evaluator.usage(object, nowMs), (name) => Object.hasOwn(hard, name)),
    );
  }
  return sum;
}
