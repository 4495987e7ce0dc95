import type { IContainerStatus } from 'kubernetes-models/v1/ContainerStatus';
import type { IPodCondition } from 'kubernetes-models/v1/PodCondition';
import type { IPodStatus } from 'kubernetes-models/v1/PodStatus';
import type { Pod } from '#api/object/kinds.ts';
import { toTime } from '#base/clock.ts';
import type { PodOutcome } from '../ledger-record.ts';
import { findContainer, isSidecar, specOf } from '../pod-spec.ts';
import type { Phase } from './pod-phase.ts';

export interface ConditionsInput {
  readonly pod: Pod;
  readonly previous: IPodStatus;
  readonly phase: Phase;
  readonly hasNetwork: boolean;
  readonly isInitialized: boolean;
  readonly initStatuses: readonly IContainerStatus[];
  readonly statuses: readonly IContainerStatus[];
  readonly resize: ResizeState;
  /** All containers are being restarted together; undefined where no rule asks for that. */
  readonly isRestarting: boolean | undefined;
  readonly disruption: PodOutcome['disruption'];
  readonly nowMs: number;
}

/** How far a resize of the pod has come. */
export interface ResizeState {
  /** The node has not granted what the spec asks for. */
  readonly pending: { readonly reason: 'Deferred' | 'Infeasible'; readonly message: string } | undefined;
  /** Running containers do not have yet what was granted. */
  readonly isInProgress: boolean;
  readonly errors: readonly string[];
}

interface Verdict {
  readonly status: 'True' | 'False';
  readonly reason?: string;
  readonly message?: string;
}

/** Present only while they are true. */
export const TRANSIENT_CONDITIONS: readonly string[] = ['PodResizePending', 'PodResizeInProgress'];

const YES: Verdict = { status: 'True' };

/** `lastTransitionTime` moves only when the status of a condition does. */
export function computeConditions(input: ConditionsInput): IPodCondition[] {
  const { pod, previous, nowMs } = input;
  const containersReady = readyVerdict(input);
  const verdicts: Readonly<Record<string, Verdict>> = {
    PodReadyToStartContainers: input.hasNetwork ? YES : { status: 'False' },
    Initialized: initializedVerdict(input),
    Ready: gateVerdict(pod, containersReady),
    ContainersReady: containersReady,
    PodScheduled: YES,
    ...restartVerdict(input),
    ...resizeVerdicts(input.resize),
    ...disruptionVerdict(input.disruption),
  };
  const generation = pod.metadata.generation;
  return Object.entries(verdicts).map(([type, verdict]) => {
    const before = previous.conditions?.find((condition) => condition.type === type);
    const isSame = before?.status === verdict.status && before.lastTransitionTime;
    return {
      type,
      ...verdict,
      lastTransitionTime: isSame ? before.lastTransitionTime : toTime(nowMs),
      ...(generation === undefined ? {} : { observedGeneration: generation }),
    } as IPodCondition;
  });
}

function restartVerdict({ isRestarting, phase }: ConditionsInput): Record<string, Verdict> {
  if (isRestarting === undefined) return {};
  const started = { reason: 'RestartAllContainersStarted', message: 'container exited with restart policy rule' };
  if (phase === 'Succeeded') return { AllContainersRestarting: { status: 'False', reason: 'PodCompleted' } };
  if (phase === 'Failed') return { AllContainersRestarting: { status: 'False', reason: 'PodFailed' } };
  return { AllContainersRestarting: isRestarting ? { ...YES, ...started } : { status: 'False' } };
}

function disruptionVerdict(disruption: PodOutcome['disruption']): Record<string, Verdict> {
  if (disruption === undefined) return {};
  const { type, reason, message } = disruption;
  return { [type]: { ...YES, reason, message } };
}

function resizeVerdicts({ pending, isInProgress, errors }: ResizeState): Record<string, Verdict> {
  const error = errors.length === 0 ? {} : { reason: 'Error', message: errors.join(', ') };
  return {
    ...(pending === undefined
      ? {}
      : { PodResizePending: { ...YES, reason: pending.reason, message: pending.message } }),
    ...(isInProgress ? { PodResizeInProgress: { ...YES, ...error } } : {}),
  };
}

function readyVerdict({ pod, phase, initStatuses, statuses }: ConditionsInput): Verdict {
  if (phase === 'Succeeded') return { status: 'False', reason: 'PodCompleted' };
  if (phase === 'Failed') return { status: 'False', reason: 'PodFailed' };
  const relevant = [...initStatuses.filter(({ name }) => isSidecarName(pod, name)), ...statuses];
  const unready = relevant.filter(({ ready }) => !ready).map(({ name }) => name);
  if (unready.length === 0) return YES;
  return {
    status: 'False',
    reason: 'ContainersNotReady',
    message: `containers with unready status: [${unready.join(' ')}]`,
  };
}

function isSidecarName(pod: Pod, name: string): boolean {
  const container = findContainer(pod, name);
  return container !== undefined && isSidecar(container);
}

function initializedVerdict({ pod, phase, isInitialized, initStatuses }: ConditionsInput): Verdict {
  if (isInitialized || initStatuses.length === 0)
    return phase === 'Succeeded' ? { status: 'True', reason: 'PodCompleted' } : YES;
  if (phase === 'Succeeded') return { status: 'True', reason: 'PodCompleted' };
  const incomplete = initStatuses
    .filter((status) => (isSidecarName(pod, status.name) ? !status.started : !status.ready))
    .map(({ name }) => name);
  return {
    status: 'False',
    reason: 'ContainersNotInitialized',
    message: `containers with incomplete status: [${incomplete.join(' ')}]`,
  };
}

/** Readiness gates must be true as well; conditions of controllers decide them. */
function gateVerdict(pod: Pod, containersReady: Verdict): Verdict {
  if (containersReady.status === 'False') return containersReady;
  const messages = (specOf(pod).readinessGates ?? []).flatMap(({ conditionType }) => {
    const condition = pod.status?.conditions?.find(({ type }) => type === conditionType);
    if (condition === undefined)
      return [`corresponding condition of pod readiness gate "${conditionType}" does not exist.`];
    if (condition.status === 'True') return [];
    return [`the status of pod readiness gate "${conditionType}" is not "True", but ${condition.status}`];
  });
  return messages.length === 0
    ? YES
    : { status: 'False', reason: 'ReadinessGatesNotReady', message: messages.join(', ') };
}
