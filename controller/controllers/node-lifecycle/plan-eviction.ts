import type { Pod } from '#api/object/kinds.ts';
import type { Taint } from './compute-taints.ts';

type Toleration = NonNullable<NonNullable<Pod['spec']>['tolerations']>[number];

export function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  if (toleration.operator === 'Exists') return true;
  return Boolean(toleration.key) && (toleration.value ?? '') === (taint.value ?? '');
}

/** How long the pod may stay beside these NoExecute taints, in ms: 0 = not at all, Infinity = for ever. */
export function tolerationMs(tolerations: readonly Toleration[], taints: readonly Taint[]): number {
  if (!taints.every((taint) => tolerations.some((toleration) => tolerates(toleration, taint)))) return 0;
  const limits = tolerations
    .filter((toleration) => taints.some((taint) => tolerates(toleration, taint)))
    .flatMap(({ tolerationSeconds }) =>
      tolerationSeconds === undefined ? [] : [Math.max(0, tolerationSeconds) * 1000],
    );
  return Math.min(Number.POSITIVE_INFINITY, ...limits);
}
