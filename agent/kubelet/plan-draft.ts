import type { IContainer } from 'kubernetes-models/v1/Container';
import type { Pod } from '#api/object/kinds.ts';
import { backoffUntilMs, nextBackoff } from './crash-backoff.ts';
import type { CrashBackoff, LedgerRecord, PodOutcome } from './ledger-record.ts';
import { newestInstance, type ObservedContainer, type ObservedPod } from './observed-pod.ts';
import type { PodAction, PodActions, WaitingReason } from './pod-action.ts';
import { formatPod, gracePeriodSeconds, roleOf } from './pod-spec.ts';
import { type Hold, holdsStill, resizeHold, VOLUMES_HOLD } from './step-hold.ts';

export interface ProbeVerdicts {
  /** Container ids. */
  readonly livenessFailed: ReadonlySet<string>;
  readonly startupFailed: ReadonlySet<string>;
  /** Running containers whose startup probe has passed or that have none. */
  readonly started: ReadonlySet<string>;
}

export interface PodActionsInput {
  /** With the resources that the node has granted it. */
  readonly pod: Pod;
  readonly observed: ObservedPod;
  readonly ledger: LedgerRecord;
  readonly probes: ProbeVerdicts;
  readonly holds: ReadonlyMap<string, Hold>;
  readonly nowMs: number;
}

/** What is observed of the present life of the pod, and all that is. */
export interface PlanInput extends PodActionsInput {
  readonly all: ObservedPod;
}

/** Collects the plan; the planners of `pod-actions.ts` append to it. */
export class PlanDraft {
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
