import { type ApiError, forbidden } from '#api/object/api-error.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import {
  type Amounts,
  addAmounts,
  exceedingAmounts,
  keepAmounts,
  parseAmounts,
  printAmounts,
} from '#api/quota/amounts.ts';
import type { QuotaEvaluator } from '#api/quota/evaluators.ts';
import { isInScope, type ResourceQuota } from '#api/quota/quota.ts';
import type { AdmissionRequest } from '../admission-plugin.ts';

/** What a request would add to the quotas of its namespace. */
export interface Demand {
  readonly evaluator: QuotaEvaluator;
  /** Non-zero amounts. */
  readonly delta: Amounts;
}

/** What the request costs: all of a new object, what an update adds to the old one. Undefined when it costs nothing. */
export function demandOf(request: AdmissionRequest, evaluator: QuotaEvaluator, nowMs: number): Demand | undefined {
  const { object, oldObject, operation } = request;
  if (object === undefined) return undefined;
  const usage = evaluator.usage(object, nowMs);
  const added =
    operation === 'UPDATE' && oldObject !== undefined
      ? exceedingAmounts(usage, evaluator.usage(oldObject, nowMs))
      : usage;
  const delta = keepAmounts(added, (_, amount) => !amount.isZero);
  return delta.size === 0 ? undefined : { evaluator, delta };
}

/** Whether this quota has a say: it bounds something that the object counts towards, and the object is in its scopes. */
export function isConcerned(quota: ResourceQuota, evaluator: QuotaEvaluator, object: KubeObject): boolean {
  const names = Object.keys(quota.status?.hard ?? {});
  return names.some((name) => evaluator.counts(name)) && isInScope(quota, evaluator, object);
}

/** What the quota has used with the demand added; undefined when it bounds nothing of it. Throws 403 when that is too much. */
export function charge(request: AdmissionRequest, quota: ResourceQuota, demand: Demand): Amounts | undefined {
  const hard = parseAmounts(quota.status?.hard);
  const used = parseAmounts(quota.status?.used);
  const { evaluator } = demand;
  const bounded = [...hard.keys()].filter((name) => evaluator.counts(name));
  const problem = evaluator.problem?.(request.object as KubeObject, bounded);
  if (problem !== undefined) throw refuse(request, `failed quota: ${quota.metadata.name}: ${problem}`);
  if (bounded.some((name) => !used.has(name))) {
    const names = bounded.sort().join(',');
    throw refuse(request, `status unknown for quota: ${quota.metadata.name}, resources: ${names}`);
  }
  const requested = keepAmounts(demand.delta, (name) => hard.has(name));
  if (requested.size === 0) return undefined;
  const after = addAmounts(used, requested);
  const isExceeded = (name: string) => after.get(name)!.compare(hard.get(name)!) > 0;
  const exceeded = keepAmounts(requested, isExceeded);
  if (exceeded.size === 0) return after;
  const among = (amounts: Amounts) => printAmounts(keepAmounts(amounts, (name) => exceeded.has(name)));
  const numbers = `requested: ${among(requested)}, used: ${among(used)}, limited: ${among(hard)}`;
  throw refuse(request, `exceeded quota: ${quota.metadata.name}, ${numbers}`);
}

const refuse = ({ resource, name }: AdmissionRequest, why: string): ApiError => forbidden(resource, name, why);
