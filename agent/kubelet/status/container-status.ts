import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IContainerState } from 'kubernetes-models/v1/ContainerState';
import type { IContainerStatus } from 'kubernetes-models/v1/ContainerStatus';
import { toTime } from '#base/clock.ts';
import { instancesOf, type ObservedContainer } from '../observed-pod.ts';
import { restartPolicyOf, roleOf } from '../pod-spec.ts';
import { actuatedSize, grantedAllocation } from '../resize/allocation.ts';
import { isOfLifeBefore } from '../restart-all.ts';
import type { PodStatusInput } from './pod-status.ts';

export interface ContainerStatusInput extends PodStatusInput {
  readonly container: IContainer;
  /** Shown while nothing more precise is known: ContainerCreating or PodInitializing. */
  readonly waitingReason: string;
}

/** Scheme of `containerID`: the runtime that every agent of ours drives. */
const containerId = (id: string) => `containerd://${id}`;

/** Exit code of a container that nobody saw ending. */
const LOST_EXIT_CODE = 137;

export function computeContainerStatus(input: ContainerStatusInput): IContainerStatus {
  const { pod, container, observed, ledger, ready, started } = input;
  const [newest, ...older] = instancesOf(observed, container.name);
  const remembered = ledger.containers[container.name];
  const { initContainerStatuses = [], containerStatuses = [], ephemeralContainerStatuses = [] } = input.previous;
  const before = [...containerStatuses, ...initContainerStatuses, ...ephemeralContainerStatuses];
  const previousState = before.find(({ name }) => name === container.name);
  const state = computeState(input, newest, previousState?.state?.waiting);
  // While it waits to be restarted, the newest instance is the last state.
  const lastInstance = state.waiting === undefined ? older[0] : newest;
  const last = lastInstance?.state === 'EXITED' ? terminated(lastInstance) : undefined;
  const isRunning = state.running !== undefined;
  const isReady = isRunning && newest !== undefined && ready.has(newest.id);
  const isStarted = isRunning && newest !== undefined && started.has(newest.id);
  const isFinishedInit = roleOf(pod, container.name) === 'init' && state.terminated?.exitCode === 0;
  return {
    name: container.name,
    state,
    lastState: last === undefined ? (lostLastState(previousState, newest) ?? {}) : { terminated: last },
    ready: isReady || isFinishedInit,
    restartCount: newest?.attempt ?? remembered?.attempt ?? 0,
    image: newest === undefined ? (container.image ?? '') : newest.image || (container.image ?? ''),
    imageID: newest?.imageRef ?? '',
    ...(newest === undefined ? {} : { containerID: containerId(newest.id) }),
    started: isStarted,
    ...sizes(input, newest),
    ...mountStatuses(container),
    ...deviceStatuses(input),
    ...(newest?.stopSignal === undefined
      ? {}
      : { stopSignal: newest.stopSignal as NonNullable<IContainerStatus['stopSignal']> }),
    ...(isRunning && newest?.user !== undefined
      ? { user: { linux: { ...newest.user, supplementalGroups: [...newest.user.supplementalGroups] } } }
      : {}),
  };
}

/**
 * What the node has granted and, while the container runs, what it was really given. Also where that is nothing: that a node tells the
 * sizes of its containers is how the API server knows that it can change them.
 */
function sizes(
  { pod, ledger, container }: ContainerStatusInput,
  newest: ObservedContainer | undefined,
): Partial<IContainerStatus> {
  const granted = grantedAllocation(pod, ledger)[container.name] ?? {};
  const actual = newest?.state === 'RUNNING' ? (actuatedSize(pod, ledger, container.name) ?? granted) : granted;
  const { requests, limits } = actual;
  const isNothing = granted.requests === undefined && requests === undefined && limits === undefined;
  if (isNothing && newest === undefined) return {};
  return {
    ...(granted.requests === undefined ? {} : { allocatedResources: granted.requests }),
    resources: { ...(limits === undefined ? {} : { limits }), ...(requests === undefined ? {} : { requests }) },
  };
}

function deviceStatuses({ pod, container, devices }: ContainerStatusInput): Partial<IContainerStatus> {
  const statuses = devices(pod, container);
  return statuses.length === 0 ? {} : { allocatedResourcesStatus: [...statuses] };
}

/** Read-only mounts say whether what is mounted below them is read-only too. */
function mountStatuses({ volumeMounts = [] }: IContainer): Partial<IContainerStatus> {
  if (volumeMounts.length === 0) return {};
  return {
    volumeMounts: volumeMounts.map(({ name, mountPath, readOnly, recursiveReadOnly }) => ({
      name,
      mountPath,
      ...(readOnly ? { readOnly, recursiveReadOnly: recursiveReadOnly === 'Enabled' ? 'Enabled' : 'Disabled' } : {}),
    })),
  };
}

/** The runtime forgot older instances (a wiped runtime): what the API was told before still holds. */
function lostLastState(
  previous: IContainerStatus | undefined,
  newest: ObservedContainer | undefined,
): IContainerState | undefined {
  return newest !== undefined && newest.attempt > 0 ? previous?.lastState : undefined;
}

/** Not yet an answer to why a container does not run. */
const PLAIN_REASONS: readonly (string | undefined)[] = [undefined, 'ContainerCreating', 'PodInitializing'];

function computeState(
  input: ContainerStatusInput,
  newest: ObservedContainer | undefined,
  told: IContainerState['waiting'],
): IContainerState {
  const { container, waiting, waitingReason, ledger } = input;
  const reason = waiting.get(container.name);
  const fallback = { waiting: { reason: waitingReason } };
  const toWaiting = (): IContainerState =>
    reason === undefined
      ? fallback
      : { waiting: { reason: reason.reason, ...(reason.message === '' ? {} : { message: reason.message }) } };
  if (newest === undefined) {
    const runsOnce = restartPolicyOf(input.pod) === 'Never' || roleOf(input.pod, container.name) === 'ephemeral';
    const isLost = ledger.containers[container.name]?.ran === true && runsOnce;
    if (isLost) return { terminated: lostTermination() };
    // What failed stays told while it is tried again, as long as nothing has come of it.
    return reason === undefined && told !== undefined && !PLAIN_REASONS.includes(told.reason)
      ? { waiting: told }
      : toWaiting();
  }
  switch (newest.state) {
    case 'RUNNING':
      return { running: { startedAt: toTime(newest.startedAtMs) } };
    case 'EXITED':
      // What ended with the life before begins again as soon as what comes before it has.
      if (reason === undefined && !isOfLifeBefore(ledger, container.name, newest.attempt))
        return { terminated: terminated(newest) };
      return toWaiting();
    case 'CREATED':
      return toWaiting();
    case 'UNKNOWN':
      return { terminated: { ...lostTermination(), containerID: containerId(newest.id) } };
  }
}

function lostTermination() {
  return {
    exitCode: LOST_EXIT_CODE,
    reason: 'ContainerStatusUnknown',
    message: 'The container could not be located when the pod was terminated',
  };
}

export function terminated(instance: ObservedContainer): NonNullable<IContainerState['terminated']> {
  const { exitCode, reason, message, startedAtMs, finishedAtMs, id } = instance;
  return {
    exitCode,
    reason: reason || (exitCode === 0 ? 'Completed' : 'Error'),
    ...(message === '' ? {} : { message }),
    // One that could not be started tells the epoch, as in Kubernetes.
    startedAt: toTime(startedAtMs),
    finishedAt: finishedAtMs === 0 ? null : toTime(finishedAtMs),
    containerID: containerId(id),
  } as NonNullable<IContainerState['terminated']>;
}
