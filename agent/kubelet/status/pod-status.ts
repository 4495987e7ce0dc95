import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IContainerState } from 'kubernetes-models/v1/ContainerState';
import type { IContainerStatus } from 'kubernetes-models/v1/ContainerStatus';
import type { IPodStatus } from 'kubernetes-models/v1/PodStatus';
import type { IResourceRequirements } from 'kubernetes-models/v1/ResourceRequirements';
import type { Pod } from '#api/object/kinds.ts';
import { toTime } from '#base/clock.ts';
import type { ResourceStatuses } from '../devices/device-health.ts';
import type { LedgerRecord } from '../ledger-record.ts';
import { liveSandbox, newestInstance, type ObservedPod } from '../observed-pod.ts';
import type { WaitingReason } from '../pod-action.ts';
import { allContainers, ephemeralContainers, isHostNetwork, isSidecar, qosClassOf, specOf } from '../pod-spec.ts';
import { grantedPodLevel } from '../resize/allocation.ts';
import { couldRestartAll, hasRunInThisLife, presentLife, survivors } from '../restart-all.ts';
import { computeContainerStatus } from './container-status.ts';
import { computeConditions, type ResizeState } from './pod-conditions.ts';
import { computePhase, type Phase } from './pod-phase.ts';

export interface PodStatusInput {
  readonly pod: Pod;
  readonly observed: ObservedPod;
  readonly ledger: LedgerRecord;
  /** Why containers wait that should run, by container name. */
  readonly waiting: ReadonlyMap<string, WaitingReason>;
  /** Container ids whose readiness probe succeeded or that have none and run. */
  readonly ready: ReadonlySet<string>;
  /** Container ids whose startup probe passed or that have none and run. */
  readonly started: ReadonlySet<string>;
  readonly hostIps: readonly string[];
  /** The freshest status known: times of transition and last states carry over from it. */
  readonly previous: IPodStatus;
  readonly resize: ResizeState;
  /** What the devices of a container are worth. */
  readonly devices: ResourceStatuses;
  readonly nowMs: number;
}

/** The status as the kubelet owns it. What others own (conditions of controllers, `nominatedNodeName`) is kept by the status manager's merge. */
export function computePodStatus(input: PodStatusInput): IPodStatus {
  const { pod, observed, ledger, hostIps } = input;
  if (wasRefused(ledger, observed)) return refusedStatus(pod, ledger);
  const spec = specOf(pod);
  const initContainers = spec.initContainers ?? [];
  const isInitialized = hasInitialized(input, initContainers);
  const statusOf = (container: IContainer, waitingReason: string) =>
    withinShare(computeContainerStatus({ ...input, container, waitingReason }), shareOfMessages(pod));
  const defaultReason = isInitialized ? 'ContainerCreating' : 'PodInitializing';
  const initStatuses = initContainers.map((container) => statusOf(container, 'PodInitializing'));
  const statuses = spec.containers.map((container) => statusOf(container, defaultReason));
  const ephemeralStatuses = ephemeralContainers(pod).map((container) => ({
    ...withoutStarted(statusOf(container, 'ContainerCreating')),
    // Nothing waits for a container that came for debugging.
    ready: false,
  }));
  const phase = computePhase(pod, initStatuses, statuses, ledger);
  const podIps = isHostNetwork(pod) ? hostIps : (liveSandbox(observed)?.ips ?? knownPodIps(input.previous));
  return {
    phase,
    ...(ledger.outcome?.reason ? { reason: ledger.outcome.reason, message: ledger.outcome.message } : {}),
    conditions: computeConditions({
      pod,
      previous: input.previous,
      phase,
      hasNetwork: podIps.length > 0 && liveSandbox(observed) !== undefined,
      isInitialized,
      initStatuses,
      statuses,
      resize: input.resize,
      isRestarting: couldRestartAll(pod) ? survivors(observed, ledger).length > 0 : undefined,
      disruption: ledger.outcome?.disruption,
      nowMs: input.nowMs,
    }),
    ...(hostIps.length === 0 ? {} : { hostIP: hostIps[0]!, hostIPs: hostIps.map((ip) => ({ ip })) }),
    ...(podIps.length === 0 ? {} : { podIP: podIps[0]!, podIPs: podIps.map((ip) => ({ ip })) }),
    startTime: toTime(ledger.admittedAtMs),
    ...(initStatuses.length === 0 ? {} : { initContainerStatuses: initStatuses }),
    containerStatuses: statuses,
    ...(ephemeralStatuses.length === 0 ? {} : { ephemeralContainerStatuses: ephemeralStatuses }),
    qosClass: qosClassOf(pod),
    ...podLevelSizes(grantedPodLevel(pod, ledger)),
    ...(pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
  };
}

/** What the pod as a whole was granted. */
const podLevelSizes = (granted: IResourceRequirements | undefined): Partial<IPodStatus> =>
  granted === undefined
    ? {}
    : { resources: granted, ...(granted.requests === undefined ? {} : { allocatedResources: granted.requests }) };

/** Kubernetes' bound of what all containers of a pod say about their ends. */
const MAX_MESSAGES_BYTES = 12_288;

const shareOfMessages = (pod: Pod) =>
  Math.floor(MAX_MESSAGES_BYTES / (allContainers(pod).length + ephemeralContainers(pod).length));

/** A pod of many containers must not grow its status with each of them. */
function withinShare(status: IContainerStatus, maxBytes: number): IContainerStatus {
  const cut = (state: IContainerState | undefined): IContainerState | undefined => {
    const message = state?.terminated?.message ?? '';
    const bytes = Buffer.from(message);
    if (state?.terminated === undefined || bytes.length <= maxBytes) return state;
    // Half a character at the cut is none.
    const kept = new TextDecoder().decode(bytes.subarray(0, maxBytes), { stream: true });
    return { ...state, terminated: { ...state.terminated, message: kept } };
  };
  const [state, lastState] = [cut(status.state), cut(status.lastState)];
  return { ...status, ...(state === undefined ? {} : { state }), ...(lastState === undefined ? {} : { lastState }) };
}

const withoutStarted = ({ started: _started, ...status }: IContainerStatus) => status;

/** A sandbox that was stopped tells no address any more; the last known one stays in the status. */
const knownPodIps = (status: IPodStatus): string[] => (status.podIPs ?? []).flatMap(({ ip }) => ip ?? []);

function hasInitialized(input: PodStatusInput, initContainers: readonly IContainer[]): boolean {
  const { started, ledger, pod } = input;
  const observed = presentLife(input.observed, ledger);
  const isBegun = (name: string) => ledger.containers[name] !== undefined && ledger.restartAll === undefined;
  const hasRegular = specOf(pod).containers.some(
    ({ name }) => newestInstance(observed, name) !== undefined || isBegun(name) || hasRunInThisLife(ledger, name),
  );
  if (hasRegular) return true;
  return initContainers.every((container) => {
    const instance = newestInstance(observed, container.name);
    if (instance === undefined) return false;
    if (isSidecar(container)) return instance.state === 'RUNNING' && started.has(instance.id);
    return instance.state === 'EXITED' && instance.exitCode === 0;
  });
}

/** It has an outcome although nothing of it was ever begun. */
const wasRefused = ({ outcome, containers }: LedgerRecord, { sandboxes, containers: seen }: ObservedPod) =>
  outcome?.phase === 'Failed' &&
  outcome.reason !== '' &&
  Object.keys(containers).length + sandboxes.length + seen.length === 0;

/** Without statuses of containers, as in Kubernetes: clients then show the reason. */
function refusedStatus(pod: Pod, { outcome, admittedAtMs }: LedgerRecord): IPodStatus {
  const disruption = outcome?.disruption;
  return {
    phase: 'Failed' satisfies Phase,
    reason: outcome?.reason ?? '',
    message: outcome?.message ?? '',
    ...(disruption === undefined
      ? {}
      : { conditions: [{ ...disruption, status: 'True', lastTransitionTime: toTime(admittedAtMs) }] }),
    startTime: toTime(admittedAtMs),
    qosClass: qosClassOf(pod),
    ...(pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
  } as IPodStatus;
}
