import { planNewReplicaSet, planOldReplicaSets, type ScaleStep } from './replica-math.ts';
import type { RolloutView } from './rollout-view.ts';

/** The next steps of a rolling update: growth first, and only when nothing can grow, shrinking. */
export function planRollingUpdate({ deployment, newReplicaSet, old }: RolloutView): readonly ScaleStep[] {
  if (newReplicaSet === undefined) return [];
  const growth = planNewReplicaSet(deployment, newReplicaSet, old);
  return growth.length > 0 ? growth : planOldReplicaSets(deployment, newReplicaSet, old);
}
