import type { IContainer } from 'kubernetes-models/v1/Container';
import type { Pod } from '#api/object/kinds.ts';
import { isStillAhead } from '#base/clock-jumps.ts';
import { backoffUntilMs, nextBackoff } from './crash-backoff.ts';
import type { CrashBackoff, LedgerRecord, PodOutcome } from './ledger-record.ts';
import {
  instancesOf,
  isAlive,
  liveSandbox,
  newestInstance,
  type ObservedContainer,
  type ObservedPod,
  type ObservedSandbox,
} from './observed-pod.ts';
import {
  allContainers,
  type ContainerRole,
  ephemeralContainers,
  formatPod,
  gracePeriodSeconds,
  isHostNetwork,
  isSidecar,
  roleOf,
  shouldRestart,
  specOf,
} from './pod-spec.ts';
import { actuatedSize, resizeStep } from './resize/allocation.ts';
import { asksForRestartOfAll, hasRunInThisLife, presentLife, survivors } from './restart-all.ts';
import { containerHash } from './runtime-labels.ts';

/** What can be done to a pod, each with what it needs; the executor table is typed from this. */
export interface PodActionArgs {
  readonly killContainer: {
    readonly containerId: string;
    readonly name: string;
    readonly message: string;
    readonly graceSeconds: number;
  };
  readonly stopSandbox: { readonly sandboxId: string };
  readonly createSandbox: { readonly attempt: number };
  readonly startContainer: {
    readonly name: string;
    readonly role: ContainerRole;
    readonly attempt: number;
    /** To be kept in the ledger: what the restart after this one has to wait. */
    readonly backoff: CrashBackoff | undefined;
  };
  /** CPU and memory of a running container, without a restart. */
  readonly resizeContainer: { readonly containerId: string; readonly name: string };
  readonly removeContainer: { readonly containerId: string; readonly name: string; readonly attempt: number };
  readonly removeSandbox: { readonly sandboxId: string };
}

export type PodActionKind = keyof PodActionArgs;
export type PodAction<K extends PodActionKind = PodActionKind> = {
  [Kind in K]: { readonly kind: Kind } & PodActionArgs[Kind];
}[K];

export interface WaitingReason {
  readonly reason: string;
  readonly message: string;
}

export interface PodActions {
  /** In order: kills (side by side), sandbox stops, the new sandbox, resizes, starts (one after the other), clean-up. */
  readonly actions: readonly PodAction[];
  /** Why containers are not running that should; shown in the status. */
  readonly waiting: ReadonlyMap<string, WaitingReason>;
  /** Epoch ms at which to compute again although nothing changed. */
  readonly wakeAtMs: number | undefined;
  /** The pod has ended for good: terminate what is left of it. */
  readonly outcome: PodOutcome | undefined;
}

export interface ProbeVerdicts {
  /** Container ids. */
  readonly livenessFailed: ReadonlySet<string>;
  readonly startupFailed: ReadonlySet<string>;
  /** Running containers whose startup probe has passed or that have none. */
  readonly started: ReadonlySet<string>;
}

/** A step failed lately and is not tried again before `untilMs`. Keys: container names, `sandbox`, `volumes`. */
export interface Hold {
  readonly untilMs: number;
  readonly waiting: WaitingReason | undefined;
}
export const SANDBOX_HOLD = '#sandbox';
export const VOLUMES_HOLD = '#volumes';
/** As long as the longest back-off of all that fails: pulls and restarts. */
const LONGEST_HOLD_MS = 300_000;
export const holdsStill = (hold: Hold | undefined, nowMs: number): hold is Hold =>
  hold !== undefined && isStillAhead(hold.untilMs, nowMs, LONGEST_HOLD_MS);
const RESIZE_HOLD = '#resize ';
export const resizeHold = (container: string): string => `${RESIZE_HOLD}${container}`;

/** What keeps granted sizes from being given to running containers. */
export const resizeErrors = (holds: ReadonlyMap<string, Hold>): string[] =>
  [...holds].flatMap(([key, hold]) => (key.startsWith(RESIZE_HOLD) ? (hold.waiting?.message ?? []) : []));

export interface PodActionsInput {
  /** With the resources that the node has granted it. */
  readonly pod: Pod;
  readonly observed: ObservedPod;
  readonly ledger: LedgerRecord;
  readonly probes: ProbeVerdicts;
  readonly holds: ReadonlyMap<string, Hold>;
  readonly nowMs: number;
}

/** Dead instances kept per container beside the newest, for `lastState` and `kubectl logs --previous`. */
const KEPT_DEAD_INSTANCES = 1;

/**
 * Decides what to do next for one pod that is to run. Pure: the same input gives the same steps, and an empty list when nothing is to be
 * done. Starts are planned as far as they can follow from one another in one go: sandbox and first container need no second pass.
 */
export function computePodActions(given: PodActionsInput): PodActions {
  const input = { ...given, all: given.observed, observed: presentLife(given.observed, given.ledger) };
  const draft = new Draft(input);
  const deadline = deadlineOutcome(input);
  if (deadline.outcome !== undefined) return draft.finish(deadline.outcome);
  draft.wakeAt(deadline.atMs);

  // Without preStop and without grace, as Kubernetes does it: the pod begins anew as soon as it can.
  const old = survivors(input.all, input.ledger);
  for (const one of old) draft.kill(one, `Container ${one.name} is restarted with all containers of its pod`, 0);
  if (old.length > 0) return draft.finish(undefined);

  const sandbox = usableSandbox(input);
  const outcome = computeOutcome(input);
  if (outcome !== undefined) return draft.finish(outcome);
  if (sandbox === undefined) planNewSandbox(draft);
  else planInSandbox(draft, sandbox);
  planCleanUp(draft);
  return draft.finish(undefined);
}

/** What is observed of the present life of the pod, and all that is. */
interface PlanInput extends PodActionsInput {
  readonly all: ObservedPod;
}

/** Collects the plan; the planners below append to it. */
class Draft {
  readonly input: PlanInput;
  readonly #kills: PodAction[] = [];
  readonly #sandbox: PodAction[] = [];
  readonly #resizes: PodAction[] = [];
  readonly #starts: PodAction[] = [];
  readonly #cleanUp: PodAction[] = [];
  readonly #waiting = new Map<string, WaitingReason>();
  #wakeAtMs: number | undefined;

  constructor(input: PlanInput) {
    this.input = input;
  }

  kill(container: ObservedContainer, message: string, graceSeconds?: number): void {
    this.#kills.push({
      kind: 'killContainer',
      containerId: container.id,
      name: container.name,
      message,
      graceSeconds: graceSeconds ?? gracePeriodSeconds(this.input.pod),
    });
  }

  stopSandbox(sandboxId: string): void {
    this.#sandbox.push({ kind: 'stopSandbox', sandboxId });
  }

  resize(container: ObservedContainer): void {
    const hold = this.input.holds.get(resizeHold(container.name));
    if (holdsStill(hold, this.input.nowMs)) this.wakeAt(hold.untilMs);
    else this.#resizes.push({ kind: 'resizeContainer', containerId: container.id, name: container.name });
  }

  createSandbox(attempt: number): void {
    this.#sandbox.push({ kind: 'createSandbox', attempt });
  }

  remove(action: PodAction<'removeContainer' | 'removeSandbox'>): void {
    this.#cleanUp.push(action);
  }

  /**
   * Starts a container unless its back-off or the hold of a failed try says later; returns false then. `ended` is the last instance
   * that ended by itself or was killed before this pass: Kubernetes measures the back-off from there, so a container that is killed and
   * restarted in one pass does not wait.
   */
  start(container: IContainer, ended: ObservedContainer | undefined): boolean {
    const { pod, ledger, all, holds, nowMs } = this.input;
    const { name } = container;
    const remembered = ledger.containers[name];
    const untilMs = backoffUntilMs(remembered?.backoff, ended?.finishedAtMs, nowMs);
    if (untilMs !== undefined) {
      this.wait(name, crashLoopReason(pod, container, remembered?.backoff), untilMs);
      return false;
    }
    for (const key of [VOLUMES_HOLD, name]) {
      const hold = holds.get(key);
      if (!holdsStill(hold, nowMs)) continue;
      this.wait(name, hold.waiting, hold.untilMs);
      return false;
    }
    const previous = newestInstance(all, name);
    const attempt = Math.max(previous?.attempt ?? -1, remembered?.ran ? remembered.attempt : -1) + 1;
    const backoff =
      ended === undefined ? remembered?.backoff : nextBackoff(remembered?.backoff, ended.finishedAtMs, nowMs);
    this.#starts.push({ kind: 'startContainer', name, role: roleOf(pod, name) ?? 'regular', attempt, backoff });
    return true;
  }

  wait(name: string, reason: WaitingReason | undefined, untilMs: number): void {
    if (reason !== undefined) this.#waiting.set(name, reason);
    this.wakeAt(untilMs);
  }

  wakeAt(atMs: number | undefined): void {
    if (atMs !== undefined) this.#wakeAtMs = Math.min(this.#wakeAtMs ?? Number.POSITIVE_INFINITY, atMs);
  }

  finish(outcome: PodOutcome | undefined): PodActions {
    const all = [...this.#kills, ...this.#sandbox, ...this.#resizes, ...this.#starts, ...this.#cleanUp];
    return { actions: outcome === undefined ? all : [], waiting: this.#waiting, wakeAtMs: this.#wakeAtMs, outcome };
  }
}

function crashLoopReason(pod: Pod, container: IContainer, entry: CrashBackoff | undefined): WaitingReason {
  const delayMs = entry?.delayMs ?? 0;
  return {
    reason: 'CrashLoopBackOff',
    message: `back-off ${formatDelay(delayMs)} restarting failed container=${container.name} pod=${formatPod(pod)}`,
  };
}

/** As Go prints durations of whole seconds: `10s`, `1m20s`, `5m0s`. */
function formatDelay(delayMs: number): string {
  const seconds = Math.round(delayMs / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}

/** The newest sandbox if it can still hold the pod: ready, alone, and with an address. */
function usableSandbox({ pod, observed }: PodActionsInput): ObservedSandbox | undefined {
  const sandbox = liveSandbox(observed);
  if (sandbox === undefined) return undefined;
  if (observed.sandboxes.filter((candidate) => candidate.ready).length > 1) return undefined;
  if (!isHostNetwork(pod) && sandbox.ips.length === 0) return undefined;
  return sandbox;
}

/** activeDeadlineSeconds counts from the pod's start time. */
function deadlineOutcome({ pod, ledger, nowMs }: PodActionsInput): { outcome?: PodOutcome; atMs?: number } {
  const seconds = specOf(pod).activeDeadlineSeconds;
  if (seconds === undefined) return {};
  const atMs = ledger.admittedAtMs + seconds * 1000;
  if (nowMs < atMs) return { atMs };
  const message = 'Pod was active on the node longer than the specified deadline';
  return { outcome: { phase: 'Failed', reason: 'DeadlineExceeded', message } };
}

type End = 'running' | 'succeeded' | 'failed';

/** Whether a container has ended for good, and how. An instance that vanished after it ran counts as killed (exit code 137). */
function endOf(input: PodActionsInput, container: IContainer): End {
  const { pod, observed, ledger } = input;
  const instance = newestInstance(observed, container.name);
  if (instance === undefined) {
    const vanished = hasRunInThisLife(ledger, container.name);
    return vanished && !shouldRestart(pod, container, 137) ? 'failed' : 'running';
  }
  if (instance.state !== 'EXITED' || shouldRestart(pod, container, instance.exitCode)) return 'running';
  return instance.exitCode === 0 ? 'succeeded' : 'failed';
}

function computeOutcome(input: PodActionsInput): PodOutcome | undefined {
  const spec = specOf(input.pod);
  const failedInit = (spec.initContainers ?? []).some(
    (container) => !isSidecar(container) && endOf(input, container) === 'failed',
  );
  const neverStarted = spec.containers.every(
    (container) => newestInstance(input.observed, container.name) === undefined,
  );
  if (failedInit && neverStarted) return { phase: 'Failed', reason: '', message: '' };
  const ends = spec.containers.map((container) => endOf(input, container));
  if (ends.length === 0 || ends.includes('running')) return undefined;
  return { phase: ends.includes('failed') ? 'Failed' : 'Succeeded', reason: '', message: '' };
}

/** A container that was added for debugging runs once, whatever became of it; also while init containers still run. */
function planEphemeral(draft: Draft): void {
  const { pod, observed, ledger } = draft.input;
  for (const container of ephemeralContainers(pod)) {
    const hasRun = newestInstance(observed, container.name) !== undefined || ledger.containers[container.name]?.ran;
    if (!hasRun) draft.start(container, undefined);
  }
}

/** Nothing usable is there: end what is left of older sandboxes, create the next one and begin from the first init container. */
function planNewSandbox(draft: Draft): void {
  const { pod, observed, ledger, holds, nowMs } = draft.input;
  for (const container of observed.containers)
    if (isAlive(container)) draft.kill(container, 'Pod sandbox changed, it will be killed and re-created.');
  const newest = observed.sandboxes[0];
  const hold = holds.get(SANDBOX_HOLD);
  if (holdsStill(hold, nowMs)) {
    draft.wakeAt(hold.untilMs);
    return;
  }
  // Also one that is not ready: only stopping it gives back its address and port mappings.
  for (const sandbox of observed.sandboxes) if (sandbox.ready || sandbox === newest) draft.stopSandbox(sandbox.id);
  draft.createSandbox(
    newest === undefined ? ledger.sandboxAttempt : Math.max(newest.attempt + 1, ledger.sandboxAttempt),
  );
  const isDone = planInitContainers(draft, undefined);
  if (isDone) for (const container of specOf(pod).containers) planAbsent(draft, container);
}

/** A regular container that does not run: start it, unless it has ended for good. */
function planAbsent(draft: Draft, container: IContainer): void {
  if (endOf(draft.input, container) !== 'running') return;
  draft.start(container, lastEnded(draft.input, container.name));
}

/** One that had the whole pod restarted waits as any other that crashes; those that it took along do not. */
function lastEnded({ pod, observed, all }: PlanInput, name: string): ObservedContainer | undefined {
  const ended = instancesOf(observed, name).find((instance) => instance.state === 'EXITED');
  if (ended !== undefined) return ended;
  const before = newestInstance(all, name);
  return before !== undefined && asksForRestartOfAll(pod, before) ? before : undefined;
}

function planInSandbox(draft: Draft, sandbox: ObservedSandbox): void {
  const { pod, observed } = draft.input;
  const known = new Set([...allContainers(pod), ...ephemeralContainers(pod)].map(({ name }) => name));
  for (const container of observed.containers) {
    if (!isAlive(container)) continue;
    const isStray = !known.has(container.name) || container !== newestInstance(observed, container.name);
    if (isStray || container.sandboxId !== sandbox.id) draft.kill(container, `Stopping container ${container.name}`);
    else if (container.state === 'UNKNOWN')
      draft.kill(container, 'Container is in unknown state, try killing it before restart');
  }
  planEphemeral(draft);
  if (planInitContainers(draft, sandbox))
    for (const container of specOf(pod).containers) planRegular(draft, container, sandbox);
}

/**
 * Walks the init containers in order and starts what is next. Returns true when the regular containers may run. `sandbox` undefined: it
 * is about to be created, so that nothing has run in it yet. Instances of older sandboxes do not count: a new sandbox initialises anew.
 */
function planInitContainers(draft: Draft, sandbox: ObservedSandbox | undefined): boolean {
  const { pod, observed, probes } = draft.input;
  const spec = specOf(pod);
  const inSandbox = (name: string) =>
    observed.containers.find((instance) => instance.name === name && instance.sandboxId === sandbox?.id);
  const isInitialized = sandbox !== undefined && spec.containers.some(({ name }) => inSandbox(name) !== undefined);
  for (const container of spec.initContainers ?? []) {
    const instance = inSandbox(container.name);
    if (isSidecar(container)) {
      const runs = instance?.state === 'RUNNING' && planRunning(draft, container, instance);
      if (!runs && instance?.state !== 'RUNNING') draft.start(container, lastEnded(draft.input, container.name));
      // Later containers wait until it has started, unless it merely restarts beside them.
      if (!isInitialized && !(runs && probes.started.has(instance.id))) return false;
      continue;
    }
    if (isInitialized) continue;
    if (instance?.state === 'EXITED' && instance.exitCode === 0) continue;
    if (instance?.state !== 'RUNNING') draft.start(container, lastEnded(draft.input, container.name));
    return false;
  }
  return true;
}

function planRegular(draft: Draft, container: IContainer, sandbox: ObservedSandbox): void {
  const { observed } = draft.input;
  const instance = newestInstance(observed, container.name);
  if (instance?.state === 'RUNNING' && instance.sandboxId === sandbox.id) planRunning(draft, container, instance);
  else planAbsent(draft, container);
}

/** Leaves a running container alone (true), or kills and, where its policy allows, restarts it. */
function planRunning(draft: Draft, container: IContainer, instance: ObservedContainer): boolean {
  const { pod, probes } = draft.input;
  const ended = lastEnded(draft.input, container.name);
  if (instance.hash !== '' && instance.hash !== containerHash(container)) {
    draft.kill(instance, `Container ${container.name} definition changed, will be restarted`);
    draft.start(container, ended);
    return false;
  }
  const failed = probes.livenessFailed.has(instance.id)
    ? { probe: container.livenessProbe, kind: 'liveness' }
    : probes.startupFailed.has(instance.id)
      ? { probe: container.startupProbe, kind: 'startup' }
      : undefined;
  if (failed === undefined) return planResize(draft, container, instance, ended);
  const message = `Container ${container.name} failed ${failed.kind} probe, will be restarted`;
  draft.kill(instance, message, failed.probe?.terminationGracePeriodSeconds);
  if (shouldRestart(pod, container, 137)) draft.start(container, ended);
  return false;
}

/** The pod that is planned is the one that the node has granted; a container may still have older sizes. */
function planResize(
  draft: Draft,
  container: IContainer,
  instance: ObservedContainer,
  ended: ObservedContainer | undefined,
): boolean {
  const { pod, ledger } = draft.input;
  const step = resizeStep(container, container.resources, actuatedSize(pod, ledger, container.name));
  if (step === 'update') draft.resize(instance);
  if (step !== 'restart') return true;
  draft.kill(instance, `Container ${container.name} resize requires restart`);
  draft.start(container, ended);
  return false;
}

/** Dead instances and sandboxes that nobody needs any more. */
function planCleanUp(draft: Draft): void {
  const { all: observed } = draft.input;
  const kept = new Set<string>();
  for (const name of new Set(observed.containers.map((container) => container.name))) {
    const [newest, ...older] = instancesOf(observed, name);
    const dead = older.filter((container) => !isAlive(container));
    for (const container of [newest, ...older.filter(isAlive), ...dead.slice(0, KEPT_DEAD_INSTANCES)])
      if (container !== undefined) kept.add(container.sandboxId);
    for (const { id, attempt } of dead.slice(KEPT_DEAD_INSTANCES))
      draft.remove({ kind: 'removeContainer', containerId: id, name, attempt });
  }
  for (const sandbox of observed.sandboxes.slice(1))
    if (!sandbox.ready && !kept.has(sandbox.id)) draft.remove({ kind: 'removeSandbox', sandboxId: sandbox.id });
}
