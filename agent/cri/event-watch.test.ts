import { describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { watchRuntimeEvents } from './event-watch.ts';
import type { GrpcCaller } from './grpc-caller.ts';
import { CriError, type RuntimeEvent } from './runtime.ts';
import { loadWireProtocol } from './wire-protocol.ts';

const UNIMPLEMENTED = new CriError(12, 'unknown method');
const BROKEN = new CriError(14, 'Connection dropped');
const protocol = loadWireProtocol();

interface OpenStream {
  readonly method: string;
  readonly emit: (message: object) => void;
  readonly fail: (err: Error) => void;
}

/** A server whose streams the test holds; `unsupported` methods fail at once. */
function watch(unsupported: readonly string[] = [], hasExited: (id: string) => Promise<boolean> = async () => true) {
  const clock = new FakeClock();
  const streams: OpenStream[] = [];
  const events: RuntimeEvent[] = [];
  const stop = new AbortController();
  const caller = {
    serverStream: (_service, method, _request, { onMessage, signal }) =>
      new Promise<void>((resolve, reject) => {
        if (unsupported.includes(method)) reject(UNIMPLEMENTED);
        streams.push({ method, emit: onMessage, fail: reject });
        signal.addEventListener('abort', () => resolve());
      }),
  } as GrpcCaller;
  const options = { caller, protocol, clock, log: silentLogger, hasExited };
  const done = watchRuntimeEvents(options, (event) => events.push(event), stop.signal);
  return { clock, streams, events, stop, done };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));
const envelope = (containerId: string, id: string, namespace = 'k8s.io') => ({
  namespace,
  event: {
    type_url: 'containerd.events.TaskExit',
    value: protocol.taskExit.encode({ container_id: containerId, id, pid: 1, exit_status: 0 }),
  },
});

describe('runtime events', () => {
  it('come from CRI where the runtime has them, and only for ends', async () => {
    const { streams, events } = watch();
    await settle();
    expect(streams.map(({ method }) => method)).toEqual(['GetContainerEvents']);
    streams[0]!.emit({ container_id: 'a', container_event_type: 'CONTAINER_STARTED_EVENT' });
    streams[0]!.emit({ container_id: 'a', container_event_type: 'CONTAINER_STOPPED_EVENT' });
    expect(events).toEqual([{ kind: 'containerExited', containerId: 'a' }]);
  });

  it("come from containerd otherwise, without exec processes and other clients' containers", async () => {
    const { streams, events } = watch(['GetContainerEvents']);
    await settle();
    expect(streams.at(-1)!.method).toBe('Subscribe');
    streams.at(-1)!.emit(envelope('a', 'exec-1'));
    streams.at(-1)!.emit(envelope('b', 'b', 'moby'));
    streams.at(-1)!.emit(envelope('a', 'a'));
    await settle();
    expect(events).toEqual([{ kind: 'containerExited', containerId: 'a' }]);
  });

  it('are held until the status of the container shows the end', async () => {
    let hasEnded = false;
    const { clock, streams, events } = watch(['GetContainerEvents'], async () => hasEnded);
    await settle();
    streams.at(-1)!.emit(envelope('a', 'a'));
    await clock.advance(30);
    expect(events).toEqual([]);
    hasEnded = true;
    await clock.advance(40);
    expect(events).toEqual([{ kind: 'containerExited', containerId: 'a' }]);
  });

  it('tell of each break, and again when the next stream has settled', async () => {
    const { clock, streams, events } = watch();
    await settle();
    streams[0]!.fail(BROKEN);
    await settle();
    expect(events).toEqual([{ kind: 'lost' }]);
    await clock.advance(200);
    expect(streams.length).toBe(2);
    await clock.advance(1000);
    expect(events).toEqual([{ kind: 'lost' }, { kind: 'lost' }]);
    await clock.advance(10_000);
    expect(events.length).toBe(2);
  });

  it('are asked for again in a while when the runtime has none', async () => {
    const { clock, streams, events } = watch(['GetContainerEvents', 'Subscribe']);
    await settle();
    expect(events).toEqual([{ kind: 'lost' }]);
    expect(streams.length).toBe(2);
    await clock.advance(59_000);
    expect(streams.length).toBe(2);
    await clock.advance(2000);
    expect(streams.length).toBe(4);
  });

  it('end when nobody listens any more', async () => {
    const { streams, stop, done, events } = watch();
    await settle();
    stop.abort();
    await done;
    expect(streams.length).toBe(1);
    expect(events).toEqual([]);
  });
});
