import { Quantity } from '#api/meta/quantity.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { type Amounts, addAmounts, isSameAmounts, parseAmounts, renderAmounts } from '#api/quota/amounts.ts';
import { evaluatorFor, type GroupResource, kindCountedBy } from '#api/quota/evaluators.ts';
import { type ResourceQuota, sumUsage } from '#api/quota/quota.ts';

/** The kinds that a quota speaks of, each once. */
export function kindsCountedBy({ spec }: ResourceQuota): readonly GroupResource[] {
  const kinds = new Map<string, GroupResource>();
  for (const name of Object.keys(spec?.hard ?? {})) {
    const kind = kindCountedBy(name);
    if (kind !== undefined) kinds.set(`${kind.resource}.${kind.group}`, kind);
  }
  return [...kinds.values()];
}

/** What is used of everything that the quota bounds and somebody counts; zero is an answer too. */
export function computeUsed(
  quota: ResourceQuota,
  objectsOf: (kind: GroupResource) => Iterable<KubeObject>,
  nowMs: number,
): Amounts {
  const names = Object.keys(quota.spec?.hard ?? {});
  let used: Amounts = new Map(
    names.filter((name) => kindCountedBy(name) !== undefined).map((name) => [name, Quantity.zero]),
  );
  for (const kind of kindsCountedBy(quota)) {
    used = addAmounts(used, sumUsage(quota, evaluatorFor(kind), objectsOf(kind), nowMs));
  }
  return used;
}

export interface QuotaStatus {
  readonly hard: Record<string, string>;
  readonly used: Record<string, string>;
}

/** True when some amount would be lower than what the status says now. */
export function isLowered({ status }: ResourceQuota, used: Amounts): boolean {
  return [...parseAmounts(status?.used)].some(([name, amount]) => {
    const next = used.get(name);
    return next !== undefined && next.compare(amount) < 0;
  });
}

/** The larger of what was counted and what the status says: charges whose objects are still on their way are in the latter alone. */
export function raisedUsed({ status }: ResourceQuota, used: Amounts): Amounts {
  const before = parseAmounts(status?.used);
  const larger = (name: string, amount: Quantity) => {
    const old = before.get(name);
    return old !== undefined && old.compare(amount) > 0 ? old : amount;
  };
  return new Map([...used].map(([name, amount]) => [name, larger(name, amount)]));
}

/** The status that says so; undefined when it is there already. */
export function planStatus({ spec, status }: ResourceQuota, used: Amounts): QuotaStatus | undefined {
  const hard = parseAmounts(spec?.hard);
  const isKnown = isSameAmounts(hard, parseAmounts(status?.hard)) && isSameAmounts(used, parseAmounts(status?.used));
  return isKnown ? undefined : { hard: renderAmounts(hard), used: renderAmounts(used) };
}
