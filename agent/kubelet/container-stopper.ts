import type { Pod } from '#api/object/kinds.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { ContainerRuntime } from '../cri/runtime.ts';
import { runHook } from './lifecycle-hooks.ts';
import type { PodEvents } from './pod-events.ts';
import { findContainer, identityOf } from './pod-spec.ts';
import type { Prober } from './prober.ts';
import { isCriNotFound, type RuntimeCache } from './runtime-cache.ts';

export interface ContainerStopperDeps {
  readonly runtime: ContainerRuntime;
  readonly cache: RuntimeCache;
  readonly prober: Prober;
  readonly events: PodEvents;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface StopRequest {
  readonly pod: Pod;
  readonly containerId: string;
  readonly name: string;
  /** For the event. */
  readonly message: string;
  /** Until SIGKILL, preStop included; 0 kills at once and skips preStop. */
  readonly graceSeconds: number;
  readonly podIp: string | undefined;
  /** Those that end before this one have ended; it is waited for no longer than the grace period, and after preStop. */
  readonly turn?: Promise<unknown>;
}

/** What preStop leaves for SIGTERM at least, so that a slow hook does not turn into an instant kill. */
const MIN_TERM_SECONDS = 2;

/** preStop, SIGTERM, and SIGKILL at the end of the grace period; resolves when the container has ended. */
export async function stopContainer(deps: ContainerStopperDeps, request: StopRequest): Promise<void> {
  const { runtime, cache, events, clock } = deps;
  const { pod, containerId, name, message, graceSeconds } = request;
  events.container(pod, name, 'Normal', 'Killing', message);
  const startedMs = clock.monotonic();
  if (graceSeconds > 0) await preStop(deps, request);
  const waitedMs = clock.monotonic() - startedMs;
  if (request.turn !== undefined) await within(clock, graceSeconds * 1000 - waitedMs, request.turn);
  const elapsedSeconds = Math.ceil((clock.monotonic() - startedMs) / 1000);
  const leftSeconds = graceSeconds === 0 ? 0 : Math.max(graceSeconds - elapsedSeconds, MIN_TERM_SECONDS);
  try {
    await runtime.stopContainer(containerId, leftSeconds);
  } catch (err) {
    if (!isCriNotFound(err)) throw err;
  }
  await cache.refreshContainer(identityOf(pod), containerId);
}

/** A hook that fails or takes longer than the grace period does not stop the stopping. What it said may hold secrets: no event tells it. */
async function preStop(deps: ContainerStopperDeps, request: StopRequest): Promise<void> {
  const { pod, containerId, name, graceSeconds, podIp } = request;
  const container = findContainer(pod, name);
  const handler = container?.lifecycle?.preStop;
  if (container === undefined || handler === undefined) return;
  try {
    const hook = runHook(deps, handler, { container, containerId, podIp, timeoutSeconds: graceSeconds });
    const stopWatching = new AbortController();
    const ended = untilEnded(deps, containerId, stopWatching.signal);
    await within(deps.clock, graceSeconds * 1000, Promise.race([hook, ended])).finally(() => stopWatching.abort());
  } catch (err) {
    deps.log.warn('preStop failed', { pod: pod.metadata.name, container: name, err: describeError(err) });
    deps.events.container(pod, name, 'Warning', 'FailedPreStopHook', 'PreStopHook failed');
  }
}

/** How soon it is seen that a container has ended beside its hook. */
const LOOK_MS = 500;

/**
 * A hook must not keep a container that has ended meanwhile, by itself or because its pod was deleted again with less time. Looked for at
 * intervals: hooks are few and short. Rejects once the signal is aborted.
 */
async function untilEnded(
  { cache, clock }: ContainerStopperDeps,
  containerId: string,
  signal: AbortSignal,
): Promise<void> {
  // The cache has not heard of its start yet.
  if (!cache.isRunning(containerId)) return new Promise(() => {});
  while (cache.isRunning(containerId)) await delay(clock, LOOK_MS, signal);
}

/** Waits for `work`, but no longer than so; rejects as it does. */
async function within(clock: Clock, limitMs: number, work: Promise<unknown>): Promise<void> {
  const limit = new AbortController();
  try {
    await Promise.race([work, delay(clock, Math.max(0, limitMs), limit.signal)]);
  } finally {
    limit.abort();
  }
}
