import { status } from '@grpc/grpc-js';
import { backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { GrpcCaller } from './grpc-caller.ts';
import { CriError, type RuntimeEvent } from './runtime.ts';
import type { WireProtocol } from './wire-protocol.ts';

export interface EventWatchOptions {
  readonly caller: GrpcCaller;
  readonly protocol: WireProtocol;
  readonly clock: Clock;
  readonly log: Logger;
  /** True once the runtime's own answers show the container as ended (or gone). */
  readonly hasExited: (containerId: string) => Promise<boolean>;
}

/** Where events come from: CRI's own stream (containerd 1.7 and later, CRI-O), or containerd's native one. */
type Source = 'cri' | 'containerd';

/** containerd reports an exit natively 10-120 ms before its CRI part knows of it. */
const EXIT_POLL_MS = [10, 20, 40, 80, 160, 320, 640];
const RECONNECT = { initialMs: 100, maxMs: 5000, jitter: 0.5 };
/** A runtime without any event stream is asked again now and then: it may be upgraded under a running agent. */
const UNSUPPORTED_RETRY_MS = 60_000;
/** A stream that lives this long is taken as established: servers send no sign of it before the first event. */
const SETTLED_MS = 1000;

interface CriEvent {
  readonly container_id: string;
  readonly container_event_type: string;
}

interface Envelope {
  readonly namespace: string;
  readonly event: { readonly type_url: string; readonly value: Uint8Array } | null;
}

interface TaskExit {
  readonly container_id: string;
  readonly id: string;
}

/**
 * Keeps one event stream open until aborted. Events of a gap are lost for good, so each break yields `lost` at once, and again when the
 * next stream has settled: the relist that this causes sees everything that ended in between.
 */
export async function watchRuntimeEvents(
  options: EventWatchOptions,
  onEvent: (event: RuntimeEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const { clock, log } = options;
  let source: Source = 'cri';
  let failures = 0;
  while (!signal.aborted) {
    const cancelSettled = clock.after(SETTLED_MS, () => {
      if (failures > 0) onEvent({ kind: 'lost' });
      failures = 0;
    });
    const end = await streamOnce(options, source, onEvent, signal);
    cancelSettled();
    if (signal.aborted) return;
    if (end === 'unsupported' && source === 'cri') {
      log.info('runtime has no CRI event stream, trying containerd events');
      source = 'containerd';
      continue;
    }
    onEvent({ kind: 'lost' });
    failures++;
    if (end === 'unsupported') {
      log.info('runtime has no event stream, relying on relists');
      source = 'cri';
    }
    const delayMs = end === 'unsupported' ? UNSUPPORTED_RETRY_MS : backoffDelayMs(failures, RECONNECT);
    await delay(clock, delayMs, signal).catch(() => {});
  }
}

async function streamOnce(
  options: EventWatchOptions,
  source: Source,
  onEvent: (event: RuntimeEvent) => void,
  signal: AbortSignal,
): Promise<'broken' | 'unsupported'> {
  const { caller, protocol, log } = options;
  try {
    if (source === 'cri') {
      const onMessage = (message: object) => onCriEvent(message as CriEvent, onEvent);
      await caller.serverStream(protocol.runtime, 'GetContainerEvents', {}, { onMessage, signal });
    } else {
      const onMessage = (message: object) => void onEnvelope(options, message as Envelope, onEvent, signal);
      const request = { filters: ['topic=="/tasks/exit"'] };
      await caller.serverStream(protocol.events, 'Subscribe', request, { onMessage, signal });
    }
    return 'broken';
  } catch (err) {
    if (err instanceof CriError && err.code === status.UNIMPLEMENTED) return 'unsupported';
    log.warn('event stream of the runtime broke', { source, err: describeError(err) });
    return 'broken';
  }
}

function onCriEvent(event: CriEvent, onEvent: (event: RuntimeEvent) => void): void {
  if (event.container_event_type !== 'CONTAINER_STOPPED_EVENT') return;
  onEvent({ kind: 'containerExited', containerId: event.container_id });
}

async function onEnvelope(
  { protocol, clock, hasExited, log }: EventWatchOptions,
  envelope: Envelope,
  onEvent: (event: RuntimeEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  if (envelope.namespace !== 'k8s.io' || envelope.event === null) return;
  const exit = protocol.taskExit.decode(envelope.event.value) as TaskExit;
  // Processes started by exec report the same topic under an id of their own.
  if (exit.id !== exit.container_id) return;
  try {
    for (const waitMs of EXIT_POLL_MS) {
      if (await hasExited(exit.container_id)) break;
      await delay(clock, waitMs, signal);
    }
  } catch (err) {
    if (signal.aborted) return;
    log.debug('could not confirm an exit', { containerId: exit.container_id, err: describeError(err) });
  }
  onEvent({ kind: 'containerExited', containerId: exit.container_id });
}
