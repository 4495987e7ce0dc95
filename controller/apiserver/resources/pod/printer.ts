import type { Pod } from '#api/object/kinds.ts';
import { age, NONE } from '../printing/cells.ts';
import { ageColumn, nameColumn, text, wideColumn } from '../printing/columns.ts';
import { ageOf } from '../printing/duration.ts';
import { type ContainerStatus, isRestartableInit } from './pod-types.ts';

export const podColumns = [
  nameColumn,
  text('Ready', 'Ready containers of all.'),
  text('Status', 'Phase of the pod, or what keeps it from running.'),
  text('Restarts', 'Restarts of its containers, and when the last one was.'),
  ageColumn,
  wideColumn('IP', 'Address of the pod.'),
  wideColumn('Node', 'Node that runs the pod.'),
  wideColumn('Nominated Node', 'Node where room is being made for the pod.'),
  wideColumn('Readiness Gates', 'Fulfilled readiness gates of all.'),
];

type Terminated = NonNullable<NonNullable<ContainerStatus['state']>['terminated']>;

const describeExit = ({ reason, signal, exitCode }: Terminated): string =>
  reason || (signal ? `Signal:${signal}` : `ExitCode:${exitCode}`);

const hasCondition = (pod: Pod, type: string): boolean =>
  pod.status?.conditions?.some((condition) => condition.type === type && condition.status === 'True') ?? false;

interface Restarts {
  readonly count: number;
  /** RFC 3339, '' = none. */
  readonly last: string;
}

function sumRestarts(statuses: readonly ContainerStatus[]): Restarts {
  const ends = statuses.map((status) => (status.lastState?.terminated?.finishedAt as string | undefined) ?? '');
  return {
    count: statuses.reduce((sum, status) => sum + (status.restartCount ?? 0), 0),
    last: ends.sort().at(-1) ?? '',
  };
}

/** What holds initialization up at one init container, or undefined when that container is done with. */
function initReason(status: ContainerStatus, position: string, isSidecar: boolean): string | undefined {
  const { terminated, waiting } = status.state ?? {};
  if (terminated !== undefined && terminated.exitCode === 0) return undefined;
  if (isSidecar && status.started) return undefined;
  if (terminated !== undefined) return `Init:${describeExit(terminated)}`;
  if (waiting?.reason && waiting.reason !== 'PodInitializing') return `Init:${waiting.reason}`;
  return `Init:${position}`;
}

/** The reason of the first container in the list that has one to tell; later containers are looked at first, so it wins. */
function containerReason(statuses: readonly ContainerStatus[], reason: string): string {
  let result = reason;
  for (const { state } of [...statuses].reverse()) {
    if (state?.waiting?.reason) result = state.waiting.reason;
    else if (state?.terminated !== undefined) result = describeExit(state.terminated);
  }
  return result;
}

const isRunningReady = (status: ContainerStatus): boolean =>
  Boolean(status.ready) && status.state?.running !== undefined;

interface Summary {
  readonly reason: string;
  readonly ready: number;
  readonly total: number;
  readonly restarts: Restarts;
}

/** The phase, or a better word for it that needs no look at the containers. */
function baseReason({ status }: Pod): string {
  const gated = status?.conditions?.some((c) => c.type === 'PodScheduled' && c.reason === 'SchedulingGated');
  if (gated) return 'SchedulingGated';
  return status?.reason || status?.phase || '';
}

function summarizeContainers(pod: Pod): Summary {
  const { spec, status } = pod;
  const sidecars = new Set((spec?.initContainers ?? []).filter(isRestartableInit).map((c) => c.name));
  const initStatuses = status?.initContainerStatuses ?? [];
  const statuses = status?.containerStatuses ?? [];
  const sidecarStatuses = initStatuses.filter(({ name }) => sidecars.has(name));
  const initTotal = spec?.initContainers?.length ?? 0;
  const total = (spec?.containers?.length ?? 0) + sidecars.size;

  let ready = 0;
  let held: string | undefined;
  for (const [i, init] of initStatuses.entries()) {
    held = initReason(init, `${i}/${initTotal}`, sidecars.has(init.name));
    if (held !== undefined) break;
    if (sidecars.has(init.name) && init.ready && init.state?.terminated === undefined) ready++;
  }
  const base = baseReason(pod);
  if (held !== undefined && !hasCondition(pod, 'Initialized')) {
    return { reason: held, ready, total, restarts: sumRestarts(initStatuses) };
  }
  const running = statuses.filter(isRunningReady).length;
  let reason = containerReason(statuses, held ?? base);
  // Some containers finished, others go on: the pod as a whole still runs.
  if (reason === 'Completed' && running > 0) reason = hasCondition(pod, 'Ready') ? 'Running' : 'NotReady';
  return { reason, ready: ready + running, total, restarts: sumRestarts([...sidecarStatuses, ...statuses]) };
}

function podReason(pod: Pod, reason: string): string {
  if (pod.metadata.deletionTimestamp === undefined) return reason;
  if (pod.status?.reason === 'NodeLost') return 'Unknown';
  const isOver = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
  return isOver ? reason : 'Terminating';
}

function gatesCell(pod: Pod): string {
  const gates = pod.spec?.readinessGates ?? [];
  if (gates.length === 0) return NONE;
  return `${gates.filter((gate) => hasCondition(pod, gate.conditionType)).length}/${gates.length}`;
}

/** The row of `kubectl get pods`, worded as Kubernetes words it. */
export function podRow(pod: Pod, nowMs: number): unknown[] {
  const { reason, ready, total, restarts } = summarizeContainers(pod);
  return [
    pod.metadata.name,
    `${ready}/${total}`,
    podReason(pod, reason),
    restarts.count > 0 && restarts.last !== ''
      ? `${restarts.count} (${ageOf(restarts.last, nowMs)} ago)`
      : `${restarts.count}`,
    age(pod, nowMs),
    pod.status?.podIPs?.[0]?.ip || pod.status?.podIP || NONE,
    pod.spec?.nodeName || NONE,
    pod.status?.nominatedNodeName || NONE,
    gatesCell(pod),
  ];
}
