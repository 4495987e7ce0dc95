import { isDeepStrictEqual } from 'node:util';
import type { Deployment, ReplicaSet } from '#api/object/kinds.ts';
import { toTime } from '#base/clock.ts';
import { availableOf, maxUnavailableOf, replicasOf, sizeOf, sumOf } from './replica-math.ts';

export type DeploymentStatus = NonNullable<Deployment['status']>;
export type DeploymentCondition = NonNullable<DeploymentStatus['conditions']>[number];
type ConditionDraft = Pick<DeploymentCondition, 'type' | 'status' | 'reason' | 'message'>;

/** No deadline: `progressDeadlineSeconds` absent or the largest int32. */
const NO_DEADLINE = 2 ** 31 - 1;

export function deadlineMs(deployment: Deployment): number | undefined {
  const seconds = deployment.spec?.progressDeadlineSeconds;
  return seconds === undefined || seconds === NO_DEADLINE ? undefined : seconds * 1000;
}

export function findCondition(status: DeploymentStatus | undefined, type: string): DeploymentCondition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}

/** The conditions with this one set. Nothing changes when status and reason stay; the transition time moves only with the status. */
export function withCondition(
  conditions: readonly DeploymentCondition[],
  draft: ConditionDraft,
  nowMs: number,
): DeploymentCondition[] {
  const current = conditions.find((condition) => condition.type === draft.type);
  if (current?.status === draft.status && current.reason === draft.reason) return [...conditions];
  return replaceCondition(conditions, draft, nowMs);
}

/** As withCondition, but the update time always moves: progress was made. */
function replaceCondition(
  conditions: readonly DeploymentCondition[],
  draft: ConditionDraft,
  nowMs: number,
): DeploymentCondition[] {
  const current = conditions.find((condition) => condition.type === draft.type);
  const now = toTime(nowMs);
  const lastTransitionTime = current?.status === draft.status ? (current.lastTransitionTime ?? now) : now;
  const others = conditions.filter((condition) => condition.type !== draft.type);
  return [...others, { ...draft, lastUpdateTime: now, lastTransitionTime }];
}

/** Numbers, the Available condition, and everything else as it was. */
export function computeDeploymentStatus(
  deployment: Deployment,
  all: readonly ReplicaSet[],
  newReplicaSet: ReplicaSet | undefined,
  nowMs: number,
): DeploymentStatus {
  const availableReplicas = sumOf(all, availableOf);
  const isAvailable = availableReplicas >= replicasOf(deployment) - maxUnavailableOf(deployment);
  const available: ConditionDraft = isAvailable
    ? {
        type: 'Available',
        status: 'True',
        reason: 'MinimumReplicasAvailable',
        message: 'Deployment has minimum availability.',
      }
    : {
        type: 'Available',
        status: 'False',
        reason: 'MinimumReplicasUnavailable',
        message: 'Deployment does not have minimum availability.',
      };
  const collisionCount = deployment.status?.collisionCount;
  return {
    observedGeneration: deployment.metadata.generation ?? 0,
    replicas: sumOf(all, (replicaSet) => replicaSet.status?.replicas ?? 0),
    updatedReplicas: newReplicaSet?.status?.replicas ?? 0,
    readyReplicas: sumOf(all, (replicaSet) => replicaSet.status?.readyReplicas ?? 0),
    availableReplicas,
    unavailableReplicas: Math.max(0, sumOf(all, sizeOf) - availableReplicas),
    terminatingReplicas: sumOf(all, (replicaSet) => replicaSet.status?.terminatingReplicas ?? 0),
    ...(collisionCount === undefined ? {} : { collisionCount }),
    conditions: withCondition(deployment.status?.conditions ?? [], available, nowMs),
  };
}

/** Every pod is of the new template and available, and the controller has seen the latest spec. */
export function isComplete(deployment: Deployment, status: DeploymentStatus): boolean {
  const wanted = replicasOf(deployment);
  return (
    (status.updatedReplicas ?? 0) === wanted &&
    (status.replicas ?? 0) === wanted &&
    (status.availableReplicas ?? 0) === wanted &&
    (status.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  );
}

/** Something moved since the status that is stored. */
function hasProgressed(before: DeploymentStatus, now: DeploymentStatus): boolean {
  const oldPods = (status: DeploymentStatus) => (status.replicas ?? 0) - (status.updatedReplicas ?? 0);
  return (
    (now.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
    oldPods(now) < oldPods(before) ||
    (now.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (now.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  );
}

/** When the rollout counts as stuck, in ms since the epoch; undefined when it cannot. */
export function stuckAtMs(deployment: Deployment): number | undefined {
  const limitMs = deadlineMs(deployment);
  const progressing = findCondition(deployment.status, 'Progressing');
  if (limitMs === undefined || progressing === undefined) return undefined;
  if (progressing.reason === 'NewReplicaSetAvailable' || progressing.reason === 'ProgressDeadlineExceeded')
    return undefined;
  return Date.parse(progressing.lastUpdateTime ?? '') + limitMs;
}

function isTimedOut(deployment: Deployment, nowMs: number): boolean {
  const atMs = stuckAtMs(deployment);
  if (atMs !== undefined) return atMs < nowMs;
  return findCondition(deployment.status, 'Progressing')?.reason === 'ProgressDeadlineExceeded';
}

/** `computeDeploymentStatus` with the Progressing and ReplicaFailure conditions of a rollout under way. */
export function computeRolloutStatus(
  deployment: Deployment,
  all: readonly ReplicaSet[],
  newReplicaSet: ReplicaSet | undefined,
  nowMs: number,
): DeploymentStatus {
  const status = computeDeploymentStatus(deployment, all, newReplicaSet, nowMs);
  const progressed = computeProgress(deployment, status, newReplicaSet, nowMs);
  return { ...status, conditions: withReplicaFailure(progressed, all, newReplicaSet) };
}

function computeProgress(
  deployment: Deployment,
  status: DeploymentStatus,
  newReplicaSet: ReplicaSet | undefined,
  nowMs: number,
): DeploymentCondition[] {
  const conditions = status.conditions ?? [];
  if (deadlineMs(deployment) === undefined) return conditions.filter((condition) => condition.type !== 'Progressing');
  const known = findCondition(deployment.status, 'Progressing');
  const wasComplete = status.replicas === status.updatedReplicas && known?.reason === 'NewReplicaSetAvailable';
  if (wasComplete) return conditions;
  const subject =
    newReplicaSet === undefined
      ? `Deployment "${deployment.metadata.name}"`
      : `ReplicaSet "${newReplicaSet.metadata.name}"`;
  const progressing = (value: 'True' | 'False', reason: string, what: string): ConditionDraft => ({
    type: 'Progressing',
    status: value,
    reason,
    message: `${subject} ${what}.`,
  });
  if (isComplete(deployment, status))
    return withCondition(
      conditions,
      progressing('True', 'NewReplicaSetAvailable', 'has successfully progressed'),
      nowMs,
    );
  if (hasProgressed(deployment.status ?? {}, status))
    return replaceCondition(conditions, progressing('True', 'ReplicaSetUpdated', 'is progressing'), nowMs);
  if (isTimedOut(deployment, nowMs))
    return withCondition(
      conditions,
      progressing('False', 'ProgressDeadlineExceeded', 'has timed out progressing'),
      nowMs,
    );
  return conditions;
}

function withReplicaFailure(
  conditions: readonly DeploymentCondition[],
  all: readonly ReplicaSet[],
  newReplicaSet: ReplicaSet | undefined,
): DeploymentCondition[] {
  const others = conditions.filter((condition) => condition.type !== 'ReplicaFailure');
  const candidates = newReplicaSet === undefined ? all : [newReplicaSet, ...all];
  const failure = candidates
    .flatMap((replicaSet) => replicaSet.status?.conditions ?? [])
    .find((condition) => condition.type === 'ReplicaFailure');
  if (failure === undefined) return others;
  const { status, reason, message, lastTransitionTime } = failure;
  const copied = {
    type: 'ReplicaFailure',
    status,
    reason,
    message,
    lastTransitionTime,
    lastUpdateTime: lastTransitionTime,
  };
  return [...others, copied];
}

/** Zero and absent are the same: the server leaves zeros out. The order of conditions says nothing. */
export function isSameStatus(a: DeploymentStatus | undefined, b: DeploymentStatus): boolean {
  return isDeepStrictEqual(comparable(a ?? {}), comparable(b));
}

function comparable(status: DeploymentStatus): object {
  const { conditions = [], ...numbers } = status;
  const sorted = [...conditions].sort((a, b) => (a.type < b.type ? -1 : 1));
  return { ...Object.fromEntries(Object.entries(numbers).filter(([, value]) => value !== 0)), conditions: sorted };
}
