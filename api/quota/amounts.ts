import type { ResourceList } from '../meta/pod-resources.ts';
import { Quantity } from '../meta/quantity.ts';

/** Amounts by the name under which quotas bound them. */
export type Amounts = ReadonlyMap<string, Quantity>;

export const ONE = Quantity.fromValue(1);

/** Throws QuantityError. */
export const parseAmounts = (list: object | undefined): Amounts =>
  new Map(Object.entries((list ?? {}) as ResourceList).map(([name, amount]) => [name, Quantity.parse(amount)]));

export const renderAmounts = (amounts: Amounts): Record<string, string> =>
  Object.fromEntries([...amounts].sort(byName).map(([name, amount]) => [name, amount.toString()]));

/** `cpu=1,pods=3`, as users are told of them. */
export const printAmounts = (amounts: Amounts): string =>
  [...amounts]
    .sort(byName)
    .map(([name, amount]) => `${name}=${amount}`)
    .join(',');

const byName = ([a]: readonly [string, Quantity], [b]: readonly [string, Quantity]): number => (a < b ? -1 : 1);

export function addAmounts(a: Amounts, b: Amounts): Amounts {
  const sum = new Map(a);
  for (const [name, amount] of b) sum.set(name, (sum.get(name) ?? Quantity.zero).add(amount));
  return sum;
}

/** What `a` has more than `b`; nothing below zero. */
export function exceedingAmounts(a: Amounts, b: Amounts): Amounts {
  const rest = new Map<string, Quantity>();
  for (const [name, amount] of a) {
    const less = amount.sub(b.get(name) ?? Quantity.zero);
    rest.set(name, less.sign < 0 ? Quantity.zero : less);
  }
  return rest;
}

export const keepAmounts = (amounts: Amounts, wanted: (name: string, amount: Quantity) => boolean): Amounts =>
  new Map([...amounts].filter(([name, amount]) => wanted(name, amount)));

export const isSameAmounts = (a: Amounts, b: Amounts): boolean =>
  a.size === b.size && [...a].every(([name, amount]) => b.get(name)?.equals(amount) === true);
