import { describe, expect, it, vi } from 'vitest';
import type { Informer, InformerHandler } from '#api/client/informer.ts';
import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { startDnsServer } from './dns-server.ts';
import type { FromResolver, ToResolver } from './resolver-messages.ts';

/** A thread that does what the test says. */
class FakeThread {
  readonly posted: ToResolver[] = [];
  readonly end = vi.fn();
  tell: (message: FromResolver) => void = () => {};
  die: (reason: string) => void = () => {};

  post(message: ToResolver): void {
    this.posted.push(message);
  }

  onMessage(listener: (message: FromResolver) => void): void {
    this.tell = listener;
  }

  onEnd(listener: (reason: string) => void): void {
    this.die = listener;
  }
}

function fakeInformer<T extends Service | EndpointSlice>() {
  const handlers: InformerHandler<T>[] = [];
  const informer = {
    addHandler: (handler: InformerHandler<T>) => void handlers.push(handler),
    waitForSync: () => new Promise<void>(() => {}),
  };
  return { informer: informer as unknown as Informer<T>, add: (object: T) => handlers[0]?.onAdd?.(object, true) };
}

async function rig() {
  const clock = new FakeClock();
  const stop = new AbortController();
  const threads: FakeThread[] = [];
  const services = fakeInformer<Service>();
  const slices = fakeInformer<EndpointSlice>();
  const starting = startDnsServer(
    {
      clusterDomain: 'cluster.local',
      clusterDns: [],
      clusterCidrs: [],
      upstreams: [],
      stubDomains: [],
      port: 53,
      host: { exec: { run: async () => ({ stdout: '', stderr: '' }) } as never },
      clock,
      log: silentLogger,
      services: services.informer,
      endpointSlices: slices.informer,
      launch: () => {
        const thread = new FakeThread();
        threads.push(thread);
        return thread;
      },
    },
    stop.signal,
  );
  await clock.advance(0);
  threads[0]!.tell({ kind: 'listening', port: 53 });
  return { server: await starting, clock, stop, threads, services, slices };
}

const metadata = (name: string, labels = {}) => ({ name, namespace: 'ns', labels });
const slice = (i: number) =>
  ({
    metadata: metadata(`db-${i}`, { 'kubernetes.io/service-name': 'db' }),
    addressType: 'IPv4',
    endpoints: [{ addresses: [`10.244.1.${i}`] }],
  }) as unknown as EndpointSlice;

describe('the keeper of the resolver', () => {
  it('tells a Service once for all slices that come together', async () => {
    const { threads, services, slices, clock } = await rig();
    services.add({ metadata: metadata('db'), spec: { clusterIP: 'None' } } as unknown as Service);
    // More of them than one message has room for Services.
    for (let i = 0; i < 250; i++) slices.add(slice(i));
    await clock.advance(0);
    const told = threads[0]!.posted.flatMap((message) => (message.kind === 'names' ? message.changes : []));
    expect(told.map(({ name, names }) => [name, names?.endpoints.length])).toEqual([['db', 250]]);
  });

  it('holds no thread that has ended', async () => {
    const { threads, clock, stop } = await rig();
    threads[0]!.die('out of memory');
    await clock.advance(0);
    await clock.advance(1_000);
    threads[1]!.tell({ kind: 'failed', message: 'the port is taken' });
    threads[1]!.die('its thread ended');
    await clock.advance(0);
    await clock.advance(1_000);
    threads[2]!.tell({ kind: 'listening', port: 53 });
    await clock.advance(0);
    stop.abort();
    expect(threads.map(({ end }) => end.mock.calls.length)).toEqual([0, 0, 1]);
  });

  it('forgets who asked for metrics in vain', async () => {
    const { threads, clock, server } = await rig();
    const thread = threads[0]!;
    const asked = Array.from({ length: 3 }, () => server.renderMetrics());
    await clock.advance(1_000);
    expect(await Promise.all(asked)).toEqual(['', '', '']);
    // What is still held would run now and look at the text.
    const text = vi.fn(() => 'late');
    thread.tell({
      kind: 'metrics',
      get text() {
        return text();
      },
    });
    expect(text).not.toHaveBeenCalled();
    const inTime = server.renderMetrics();
    thread.tell({ kind: 'metrics', text: 'dns 1' });
    expect(await inTime).toBe('dns 1');
  });
});
