import type { Deployment, ReplicaSet } from '#api/object/kinds.ts';
import type { DeploymentStatus } from './compute-status.ts';

/** One deployment with its ReplicaSets, as one sync pass sees them. */
export interface RolloutView {
  /** Conditions may be ahead of the server: the pass ends by writing the whole status. */
  readonly deployment: Deployment;
  /** What the server has. */
  readonly storedStatus: DeploymentStatus | undefined;
  /** The set with the current template, once it exists. */
  readonly newReplicaSet: ReplicaSet | undefined;
  readonly old: readonly ReplicaSet[];
}

export function allOf({ newReplicaSet, old }: RolloutView): readonly ReplicaSet[] {
  return newReplicaSet === undefined ? old : [...old, newReplicaSet];
}

export const deploymentSubject = (deployment: Deployment) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: deployment.metadata,
});
