import type { Deployment, ReplicaSet } from '#api/object/kinds.ts';
import { maxSurgeOf, replicasOf } from './replica-math.ts';

export const REVISION = 'deployment.kubernetes.io/revision';
const REVISION_HISTORY = 'deployment.kubernetes.io/revision-history';
export const DESIRED_REPLICAS = 'deployment.kubernetes.io/desired-replicas';
export const MAX_REPLICAS = 'deployment.kubernetes.io/max-replicas';
/** The list of reused revisions is cut here, oldest first. */
const MAX_HISTORY_CHARS = 2000;

/** Kept by each object for itself. */
const NOT_COPIED = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  REVISION,
  REVISION_HISTORY,
  DESIRED_REPLICAS,
  MAX_REPLICAS,
  'deprecated.deployment.rollback.to',
]);

type Annotations = Record<string, string>;

export function revisionOf(object: Deployment | ReplicaSet): number {
  const revision = Number(object.metadata.annotations?.[REVISION] ?? '0');
  return Number.isSafeInteger(revision) ? revision : 0;
}

export function maxRevision(replicaSets: readonly ReplicaSet[]): number {
  return Math.max(0, ...replicaSets.map(revisionOf));
}

export function computeReplicasAnnotations(deployment: Deployment): Annotations {
  const replicas = replicasOf(deployment);
  return { [DESIRED_REPLICAS]: String(replicas), [MAX_REPLICAS]: String(replicas + maxSurgeOf(deployment)) };
}

/** The annotations that the new ReplicaSet should carry; `current` are those it has, undefined for one that is being made. */
export function computeNewReplicaSetAnnotations(
  deployment: Deployment,
  current: Annotations | undefined,
  newRevision: number,
): Annotations {
  const annotations: Annotations = { ...current };
  for (const [name, value] of Object.entries(deployment.metadata.annotations ?? {}))
    if (!NOT_COPIED.has(name)) annotations[name] = value;
  const oldRevision = Number(current?.[REVISION] ?? '0');
  if (oldRevision < newRevision) {
    annotations[REVISION] = String(newRevision);
    // A template that was rolled back to gets a new number and remembers the old ones.
    if (oldRevision > 0) annotations[REVISION_HISTORY] = appendHistory(current?.[REVISION_HISTORY], oldRevision);
  }
  return current === undefined ? { ...annotations, ...computeReplicasAnnotations(deployment) } : annotations;
}

function appendHistory(history: string | undefined, revision: number): string {
  const revisions = [...(history ? history.split(',') : []), String(revision)];
  while (revisions.join(',').length > MAX_HISTORY_CHARS) revisions.shift();
  return revisions.join(',');
}
