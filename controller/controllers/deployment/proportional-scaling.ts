import type { Deployment, ReplicaSet } from '#api/object/kinds.ts';
import { DESIRED_REPLICAS, MAX_REPLICAS, revisionOf } from './annotations.ts';
import { availableOf, isRollingUpdate, maxSurgeOf, replicasOf, type ScaleStep, sizeOf, sumOf } from './replica-math.ts';
import { compareCreation } from './template-hash.ts';

const annotationOf = (replicaSet: ReplicaSet, name: string): number | undefined => {
  const value = Number(replicaSet.metadata.annotations?.[name] ?? Number.NaN);
  return Number.isFinite(value) ? value : undefined;
};

/** The user changed `replicas`: sizes are set first, the rollout goes on afterwards. */
export function isScalingEvent(deployment: Deployment, replicaSets: readonly ReplicaSet[]): boolean {
  return replicaSets
    .filter((replicaSet) => sizeOf(replicaSet) > 0)
    .some((replicaSet) => {
      const desired = annotationOf(replicaSet, DESIRED_REPLICAS);
      return desired !== undefined && desired !== replicasOf(deployment);
    });
}

/** The one set that decides the size: the only active one, or with none active the newest. Undefined in the middle of a rollout. */
function findDecisive(newReplicaSet: ReplicaSet | undefined, old: readonly ReplicaSet[]): ReplicaSet | undefined {
  const all = newReplicaSet === undefined ? old : [...old, newReplicaSet];
  const active = all.filter((replicaSet) => sizeOf(replicaSet) > 0);
  if (active.length === 1) return active[0];
  if (active.length > 1) return undefined;
  return newReplicaSet ?? [...old].sort((a, b) => revisionOf(b) - revisionOf(a))[0];
}

/** The new set has taken over completely. */
function isSaturated(deployment: Deployment, replicaSet: ReplicaSet | undefined): boolean {
  if (replicaSet === undefined) return false;
  const wanted = replicasOf(deployment);
  return (
    sizeOf(replicaSet) === wanted &&
    annotationOf(replicaSet, DESIRED_REPLICAS) === wanted &&
    availableOf(replicaSet) === wanted
  );
}

/**
 * Spreads a change of `replicas` in the middle of a rollout over the active sets in proportion to their sizes, so that a bad rollout does
 * not get all of the growth. What rounding leaves goes to the largest.
 */
export function planScaling(
  deployment: Deployment,
  newReplicaSet: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
): readonly ScaleStep[] {
  const wanted = replicasOf(deployment);
  const decisive = findDecisive(newReplicaSet, old);
  if (decisive !== undefined) return [{ replicaSet: decisive, replicas: wanted }];
  if (isSaturated(deployment, newReplicaSet))
    return old.filter((replicaSet) => sizeOf(replicaSet) > 0).map((replicaSet) => ({ replicaSet, replicas: 0 }));
  if (!isRollingUpdate(deployment)) return [];
  const all = newReplicaSet === undefined ? old : [...old, newReplicaSet];
  return spread(
    deployment,
    all.filter((replicaSet) => sizeOf(replicaSet) > 0),
  );
}

function spread(deployment: Deployment, active: readonly ReplicaSet[]): ScaleStep[] {
  const allowed = replicasOf(deployment) > 0 ? replicasOf(deployment) + maxSurgeOf(deployment) : 0;
  const change = allowed - sumOf(active, sizeOf);
  // Growth favours the newer of two equals, shrinking hits the older.
  const byAge = change > 0 ? (a: ReplicaSet, b: ReplicaSet) => compareCreation(b, a) : compareCreation;
  const ordered = [...active].sort((a, b) => sizeOf(b) - sizeOf(a) || byAge(a, b));
  let given = 0;
  const steps = ordered.map((replicaSet) => {
    const share = shareOf(deployment, replicaSet, change - given, change);
    given += share;
    return { replicaSet, replicas: sizeOf(replicaSet) + share };
  });
  return steps.map((step, index) =>
    index === 0 ? { ...step, replicas: Math.max(0, step.replicas + change - given) } : step,
  );
}

function shareOf(deployment: Deployment, replicaSet: ReplicaSet, left: number, change: number): number {
  if (change === 0 || left === 0) return 0;
  const size = sizeOf(replicaSet);
  if (replicasOf(deployment) === 0) return Math.max(-size, left);
  const before = annotationOf(replicaSet, MAX_REPLICAS) || deployment.status?.replicas;
  if (!before) return 0;
  const fraction = Math.round((size * (replicasOf(deployment) + maxSurgeOf(deployment))) / before) - size;
  return change > 0 ? Math.min(fraction, left) : Math.max(fraction, left);
}
