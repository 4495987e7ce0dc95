import type { Pod, ReplicaSet } from '#api/object/kinds.ts';
import { isPodTerminal } from '../pod-state.ts';
import { replicasOf, type ScaleStep, sizeOf, sumOf } from './replica-math.ts';
import type { RolloutView } from './rollout-view.ts';

export type RecreatePlan =
  | { readonly kind: 'scale'; readonly steps: readonly ScaleStep[] }
  /** Old pods still run: nothing may start yet. */
  | { readonly kind: 'wait' }
  | { readonly kind: 'createNewReplicaSet' }
  | { readonly kind: 'done' };

/** `podsOf` answers the pods of a set, terminating ones included: they may still hold what the new ones need. */
export function planRecreate(
  { deployment, newReplicaSet, old }: RolloutView,
  podsOf: (replicaSet: ReplicaSet) => readonly Pod[],
): RecreatePlan {
  const active = old.filter((replicaSet) => sizeOf(replicaSet) > 0);
  if (active.length > 0) return { kind: 'scale', steps: active.map((replicaSet) => ({ replicaSet, replicas: 0 })) };
  const isOldRunning =
    sumOf(old, (replicaSet) => replicaSet.status?.replicas ?? 0) > 0 ||
    old.some((replicaSet) => podsOf(replicaSet).some((pod) => !isPodTerminal(pod)));
  if (isOldRunning) return { kind: 'wait' };
  if (newReplicaSet === undefined) return { kind: 'createNewReplicaSet' };
  if (sizeOf(newReplicaSet) === replicasOf(deployment)) return { kind: 'done' };
  return { kind: 'scale', steps: [{ replicaSet: newReplicaSet, replicas: replicasOf(deployment) }] };
}
