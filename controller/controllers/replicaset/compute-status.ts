import { isDeepStrictEqual } from 'node:util';
import { selectorFromLabels } from '#api/meta/label-selector.ts';
import type { Pod, ReplicaSet } from '#api/object/kinds.ts';
import { toTime } from '#base/clock.ts';
import { availableAtMs, isPodActive, isPodAvailable, isPodReady, isPodTerminal } from '../pod-state.ts';

export type ReplicaSetStatus = NonNullable<ReplicaSet['status']>;
type Condition = NonNullable<ReplicaSetStatus['conditions']>[number];

/** Why the last attempt to reach the wanted number failed. */
export interface ReplicaFailure {
  readonly reason: 'FailedCreate' | 'FailedDelete';
  readonly message: string;
}

/** `pods` are those that belong to the set, finished and terminating ones included. */
export function computeReplicaSetStatus(
  replicaSet: ReplicaSet,
  pods: readonly Pod[],
  failure: ReplicaFailure | undefined,
  nowMs: number,
): ReplicaSetStatus {
  const active = pods.filter(isPodActive);
  const templateLabels = selectorFromLabels(replicaSet.spec?.template?.metadata?.labels);
  const minReadySeconds = replicaSet.spec?.minReadySeconds ?? 0;
  const conditions = computeConditions(replicaSet.status?.conditions ?? [], failure, nowMs);
  return {
    replicas: active.length,
    fullyLabeledReplicas: active.filter((pod) => templateLabels.matches(pod.metadata.labels)).length,
    readyReplicas: active.filter(isPodReady).length,
    availableReplicas: active.filter((pod) => isPodAvailable(pod, minReadySeconds, nowMs)).length,
    terminatingReplicas: pods.filter((pod) => pod.metadata.deletionTimestamp !== undefined && !isPodTerminal(pod))
      .length,
    observedGeneration: replicaSet.metadata.generation ?? 0,
    ...(conditions.length === 0 ? {} : { conditions }),
  };
}

function computeConditions(
  current: readonly Condition[],
  failure: ReplicaFailure | undefined,
  nowMs: number,
): Condition[] {
  const others = current.filter((condition) => condition.type !== 'ReplicaFailure');
  if (failure === undefined) return others;
  const known = current.find((condition) => condition.type === 'ReplicaFailure');
  if (known?.reason === failure.reason) return [...current];
  return [...others, { type: 'ReplicaFailure', status: 'True', lastTransitionTime: toTime(nowMs), ...failure }];
}

/** Zero and absent are the same: the server leaves zeros out. */
export function isSameStatus(a: ReplicaSetStatus | undefined, b: ReplicaSetStatus): boolean {
  return isDeepStrictEqual(withoutZeros(a ?? { replicas: 0 }), withoutZeros(b));
}

function withoutZeros(status: ReplicaSetStatus): object {
  return Object.fromEntries(Object.entries(status).filter(([, value]) => value !== 0));
}

/** Milliseconds until the next ready pod becomes available; undefined when none is about to. */
export function nextAvailableMs(pods: readonly Pod[], minReadySeconds: number, nowMs: number): number | undefined {
  const waits = pods
    .filter(isPodActive)
    .map((pod) => availableAtMs(pod, minReadySeconds))
    .filter((atMs) => atMs !== undefined && atMs > nowMs)
    .map((atMs) => atMs! - nowMs);
  return waits.length === 0 ? undefined : Math.min(...waits);
}
