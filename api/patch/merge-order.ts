import { isJsonObject } from '../object/json.ts';

/**
 * The order of a strategically merged list: items that the patch names stand in its order, the others in the original's, and an item of
 * the others comes first only where the original had it before the next named one. So new items come before unnamed ones.
 */
export function orderLikePatch(
  merged: readonly unknown[],
  order: readonly unknown[],
  original: readonly unknown[],
  mergeKey: string | undefined,
): unknown[] {
  const idOf = (item: unknown) => (mergeKey !== undefined && isJsonObject(item) ? item[mergeKey] : item);
  const indexIn = (list: readonly unknown[]) => {
    const positions = new Map<string, number>();
    for (const [index, item] of list.entries()) {
      const id = JSON.stringify(idOf(item)) ?? '';
      if (!positions.has(id)) positions.set(id, index);
    }
    return (item: unknown) => positions.get(JSON.stringify(idOf(item)) ?? '') ?? -1;
  };
  const inOrder = indexIn(order);
  const inOriginal = indexIn(original);
  const named = merged.filter((item) => inOrder(item) >= 0).sort((a, b) => inOrder(a) - inOrder(b));
  const others = merged.filter((item) => inOrder(item) < 0).sort((a, b) => inOriginal(a) - inOriginal(b));
  const result: unknown[] = [];
  let at = 0;
  for (const item of named) {
    const namedAt = inOriginal(item);
    for (; at < others.length; at++) {
      const otherAt = inOriginal(others[at]);
      if (otherAt < 0 || namedAt < 0 || otherAt > namedAt) break;
      result.push(others[at]);
    }
    result.push(item);
  }
  return [...result, ...others.slice(at)];
}
