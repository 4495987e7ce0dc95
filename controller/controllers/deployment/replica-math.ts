import type { Deployment, ReplicaSet } from '#api/object/kinds.ts';
import { compareCreation } from './template-hash.ts';

/**
 * The arithmetic of rollouts, free of I/O. Rules as in Kubernetes: `maxSurge` rounds up, `maxUnavailable` rounds down, never both zero.
 */

/** One ReplicaSet that should get another size. */
export interface ScaleStep {
  readonly replicaSet: ReplicaSet;
  readonly replicas: number;
}

export const replicasOf = (deployment: Deployment) => deployment.spec?.replicas ?? 1;
export const sizeOf = (replicaSet: ReplicaSet | undefined) => replicaSet?.spec?.replicas ?? 0;
export const availableOf = (replicaSet: ReplicaSet | undefined) => replicaSet?.status?.availableReplicas ?? 0;

export function sumOf<T>(items: readonly T[], amount: (item: T) => number): number {
  return items.reduce((sum, item) => sum + amount(item), 0);
}

export function isRollingUpdate(deployment: Deployment): boolean {
  return deployment.spec?.strategy?.type !== 'Recreate';
}

/** `25%` of `total`, or the plain number. */
export function resolveIntOrPercent(value: number | string, total: number, round: (n: number) => number): number {
  const percent = /^(\d+)%$/.exec(String(value))?.[1];
  return percent === undefined ? Number(value) : round((Number(percent) * total) / 100);
}

function fenceposts(deployment: Deployment): { readonly maxSurge: number; readonly maxUnavailable: number } {
  const { maxSurge: surge = '25%', maxUnavailable: unavailable = '25%' } =
    deployment.spec?.strategy?.rollingUpdate ?? {};
  const replicas = replicasOf(deployment);
  const maxSurge = resolveIntOrPercent(surge, replicas, Math.ceil);
  const maxUnavailable = resolveIntOrPercent(unavailable, replicas, Math.floor);
  // Both zero after rounding would leave no way to move.
  return { maxSurge, maxUnavailable: maxSurge === 0 && maxUnavailable === 0 ? 1 : maxUnavailable };
}

/** Pods above the wanted number that a rollout may use. */
export function maxSurgeOf(deployment: Deployment): number {
  return isRollingUpdate(deployment) ? fenceposts(deployment).maxSurge : 0;
}

/** Pods below the wanted number that a rollout may lack. */
export function maxUnavailableOf(deployment: Deployment): number {
  if (!isRollingUpdate(deployment) || replicasOf(deployment) === 0) return 0;
  return Math.min(fenceposts(deployment).maxUnavailable, replicasOf(deployment));
}

/** How large the new set may be now, given the pods that the old ones still have. */
export function computeNewReplicaSetSize(
  deployment: Deployment,
  all: readonly ReplicaSet[],
  newReplicaSet: ReplicaSet | undefined,
): number {
  const wanted = replicasOf(deployment);
  if (!isRollingUpdate(deployment)) return wanted;
  const size = sizeOf(newReplicaSet);
  const room = wanted + maxSurgeOf(deployment) - sumOf(all, sizeOf);
  return room <= 0 ? size : size + Math.min(room, wanted - size);
}

/** Steps that bring the new set towards its size; empty when it is there. */
export function planNewReplicaSet(
  deployment: Deployment,
  newReplicaSet: ReplicaSet,
  old: readonly ReplicaSet[],
): readonly ScaleStep[] {
  const wanted = replicasOf(deployment);
  const size = sizeOf(newReplicaSet);
  if (size === wanted) return [];
  const replicas =
    size > wanted ? wanted : computeNewReplicaSetSize(deployment, [...old, newReplicaSet], newReplicaSet);
  return replicas === size ? [] : [{ replicaSet: newReplicaSet, replicas }];
}

/** Steps that take old pods away: broken ones first, then healthy ones as far as enough stay available. */
export function planOldReplicaSets(
  deployment: Deployment,
  newReplicaSet: ReplicaSet,
  old: readonly ReplicaSet[],
): readonly ScaleStep[] {
  const all = [...old, newReplicaSet];
  const minAvailable = replicasOf(deployment) - maxUnavailableOf(deployment);
  const newUnavailable = sizeOf(newReplicaSet) - availableOf(newReplicaSet);
  const maxRemoved = sumOf(all, sizeOf) - minAvailable - newUnavailable;
  if (maxRemoved <= 0 || sumOf(old, sizeOf) === 0) return [];
  const sizes = new Map(old.map((replicaSet) => [replicaSet, sizeOf(replicaSet)]));
  const oldestFirst = [...old].sort(compareCreation);
  takeAway(oldestFirst, sizes, maxRemoved, (replicaSet) => sizeOf(replicaSet) - availableOf(replicaSet));
  const spare = sumOf(all, availableOf) - minAvailable;
  takeAway(oldestFirst, sizes, spare, (replicaSet) => sizes.get(replicaSet) ?? 0);
  return oldestFirst
    .map((replicaSet) => ({ replicaSet, replicas: sizes.get(replicaSet) ?? 0 }))
    .filter(({ replicaSet, replicas }) => replicas !== sizeOf(replicaSet));
}

function takeAway(
  replicaSets: readonly ReplicaSet[],
  sizes: Map<ReplicaSet, number>,
  budget: number,
  removable: (replicaSet: ReplicaSet) => number,
): void {
  let left = budget;
  for (const replicaSet of replicaSets) {
    const size = sizes.get(replicaSet) ?? 0;
    const removed = Math.max(0, Math.min(left, removable(replicaSet), size));
    sizes.set(replicaSet, size - removed);
    left -= removed;
  }
}
