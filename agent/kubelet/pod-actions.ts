import type { IContainer } from 'kubernetes-models/v1/Container';
import {
  instancesOf,
  isAlive,
  liveSandbox,
  newestInstance,
  type ObservedContainer,
  type ObservedSandbox,
} from './observed-pod.ts';
import { PlanDraft, type PlanInput, type PodActionsInput } from './plan-draft.ts';
import type { PodActions } from './pod-action.ts';
import { computeOutcome, deadlineOutcome, endOf } from './pod-outcome.ts';
import { allContainers, ephemeralContainers, isHostNetwork, isSidecar, shouldRestart, specOf } from './pod-spec.ts';
import { actuatedSize, resizeStep } from './resize/allocation.ts';
import { asksForRestartOfAll, presentLife, survivors } from './restart-all.ts';
import { containerHash } from './runtime-labels.ts';
import { holdsStill, SANDBOX_HOLD } from './step-hold.ts';

/** Dead instances kept per container beside the newest, for `lastState` and `kubectl logs --previous`. */
const KEPT_DEAD_INSTANCES = 1;

/**
 * Decides what to do next for one pod that is to run. Pure: the same input gives the same steps, and an empty list when nothing is to be
 * done. Starts are planned as far as they can follow from one another in one go: sandbox and first container need no second pass.
 */
export function computePodActions(given: PodActionsInput): PodActions {
  const input = { ...given, all: given.observed, observed: presentLife(given.observed, given.ledger) };
  const draft = new PlanDraft(input);
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

/** The newest sandbox if it can still hold the pod: ready, alone, and with an address. */
function usableSandbox({ pod, observed }: PodActionsInput): ObservedSandbox | undefined {
  const sandbox = liveSandbox(observed);
  if (sandbox === undefined) return undefined;
  if (observed.sandboxes.filter((candidate) => candidate.ready).length > 1) return undefined;
  if (!isHostNetwork(pod) && sandbox.ips.length === 0) return undefined;
  return sandbox;
}

/** A container that was added for debugging runs once, whatever became of it; also while init containers still run. */
function planEphemeral(draft: PlanDraft): void {
  const { pod, observed, ledger } = draft.input;
  for (const container of ephemeralContainers(pod)) {
    const hasRun = newestInstance(observed, container.name) !== undefined || ledger.containers[container.name]?.ran;
    if (!hasRun) draft.start(container, undefined);
  }
}

/** Nothing usable is there: end what is left of older sandboxes, create the next one and begin from the first init container. */
function planNewSandbox(draft: PlanDraft): void {
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
function planAbsent(draft: PlanDraft, container: IContainer): void {
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

function planInSandbox(draft: PlanDraft, sandbox: ObservedSandbox): void {
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
function planInitContainers(draft: PlanDraft, sandbox: ObservedSandbox | undefined): boolean {
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

function planRegular(draft: PlanDraft, container: IContainer, sandbox: ObservedSandbox): void {
  const { observed } = draft.input;
  const instance = newestInstance(observed, container.name);
  if (instance?.state === 'RUNNING' && instance.sandboxId === sandbox.id) planRunning(draft, container, instance);
  else planAbsent(draft, container);
}

/** Leaves a running container alone (true), or kills and, where its policy allows, restarts it. */
function planRunning(draft: PlanDraft, container: IContainer, instance: ObservedContainer): boolean {
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
  draft: PlanDraft,
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
function planCleanUp(draft: PlanDraft): void {
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
