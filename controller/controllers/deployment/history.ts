import type { Deployment, ReplicaSet } from '#api/object/kinds.ts';
import { revisionOf } from './annotations.ts';
import { sizeOf } from './replica-math.ts';
import { compareCreation } from './template-hash.ts';

/** Old, empty sets beyond `revisionHistoryLimit`, lowest revision first. */
export function planHistoryCleanup(deployment: Deployment, old: readonly ReplicaSet[]): readonly ReplicaSet[] {
  const limit = deployment.spec?.revisionHistoryLimit ?? 10;
  const candidates = old.filter((replicaSet) => replicaSet.metadata.deletionTimestamp === undefined);
  return [...candidates]
    .sort((a, b) => revisionOf(a) - revisionOf(b) || compareCreation(a, b))
    .slice(0, Math.max(0, candidates.length - limit))
    .filter(isEmptyAndObserved);
}

function isEmptyAndObserved(replicaSet: ReplicaSet): boolean {
  return (
    sizeOf(replicaSet) === 0 &&
    (replicaSet.status?.replicas ?? 0) === 0 &&
    (replicaSet.status?.observedGeneration ?? 0) >= (replicaSet.metadata.generation ?? 0)
  );
}
