import type { Pod } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import type { ContainerRuntime } from '../cri/runtime.ts';
import { type ContainerStopperDeps, stopContainer } from './container-stopper.ts';
import type { Termination } from './ledger-record.ts';
import { isAlive, newestFirst, type ObservedContainer, type ObservedPod } from './observed-pod.ts';
import { gracePeriodSeconds, specOf, uidOf } from './pod-spec.ts';
import { isCriNotFound, type RuntimeCache } from './runtime-cache.ts';

/** Never less, so that a process whose pod was deleted by force still gets its SIGTERM. */
const MIN_GRACE_SECONDS = 1;

/** The termination that begins now; `cause` decides what follows it. */
export function beginTermination(pod: Pod, cause: Termination['cause'], nowMs: number): Termination {
  return { cause, startedAtMs: nowMs, graceSeconds: Math.max(MIN_GRACE_SECONDS, gracePeriodSeconds(pod)) };
}

/** What is left of the grace period; the agent may have been away for a part of it, and the clock may have been set. */
export function remainingGraceSeconds(termination: Termination, nowMs: number): number {
  const leftMs = termination.startedAtMs + termination.graceSeconds * 1000 - nowMs;
  return Math.min(Math.max(MIN_GRACE_SECONDS, Math.ceil(leftMs / 1000)), termination.graceSeconds);
}

export interface StopPlan {
  /** Ended side by side. */
  readonly first: readonly ObservedContainer[];
  /** Sidecars, sent SIGTERM one after the other in reverse order once the others are gone. */
  readonly last: readonly ObservedContainer[];
}

/** Who is to be stopped, and in which order. Pure. */
export function planStops(pod: Pod, observed: ObservedPod): StopPlan {
  const sidecars = (specOf(pod).initContainers ?? [])
    .filter((container) => container.restartPolicy === 'Always')
    .map(({ name }) => name);
  const alive = newestFirst(observed.containers.filter((container) => isAlive(container)));
  const isSidecar = ({ name }: ObservedContainer) => sidecars.includes(name);
  return {
    first: alive.filter((container) => !isSidecar(container)),
    last: alive.filter(isSidecar).sort((a, b) => sidecars.indexOf(b.name) - sidecars.indexOf(a.name)),
  };
}

export interface TerminationDeps extends ContainerStopperDeps {
  readonly runtime: ContainerRuntime;
  readonly cache: RuntimeCache;
  readonly clock: Clock;
}

/** Ends every process of a pod within what is left of its grace period. Idempotent; throws when the runtime fails, to be called again. */
export async function stopPod(deps: TerminationDeps, pod: Pod, termination: () => Termination): Promise<void> {
  const { runtime, cache, clock } = deps;
  const observed = cache.observe(uidOf(pod));
  const podIp = observed.sandboxes[0]?.ips[0];
  const graceSeconds = remainingGraceSeconds(termination(), clock.now());
  const stop = ({ id, name }: ObservedContainer, turn: Promise<unknown>) => {
    const message = `Stopping container ${name}`;
    return stopContainer(deps, { pod, containerId: id, name, message, graceSeconds, podIp, turn });
  };
  // Hooks of all containers run at once; what waits for its turn is SIGTERM.
  const plan = planStops(pod, observed);
  const stops = plan.first.map((container) => stop(container, Promise.resolve()));
  for (const container of plan.last) stops.push(stop(container, Promise.allSettled(stops.slice())));
  for (const result of await Promise.allSettled(stops)) if (result.status === 'rejected') throw result.reason;
  for (const sandbox of observed.sandboxes) {
    try {
      await runtime.stopSandbox(sandbox.id);
    } catch (err) {
      if (!isCriNotFound(err)) throw err;
    }
    cache.recordSandbox(
      { uid: uidOf(pod), namespace: pod.metadata.namespace ?? '', name: pod.metadata.name },
      {
        ...sandbox,
        ready: false,
      },
    );
  }
}
