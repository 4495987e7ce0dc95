import { expect, it } from 'vitest';
import type { Informer } from '#api/client/informer.ts';
import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { createProxier } from './proxier.ts';
import type { ProxyBackend } from './proxy-backend.ts';

const empty = <T extends EndpointSlice | Service>() =>
  ({ addHandler() {}, waitForSync: async () => {}, hasSynced: true, list: () => [] }) as unknown as Informer<T>;

it('a flush by somebody else brings a full sync and is told on', async () => {
  const clock = new FakeClock();
  const calls: string[] = [];
  let intact = true;
  const backend: ProxyBackend = {
    fullSync: async () => {
      calls.push('full');
      intact = true;
    },
    partialSync: async () => {
      calls.push('partial');
    },
    isIntact: async () => intact,
    cleanUp: async () => {},
  };
  const stop = new AbortController();
  createProxier({
    nodeName: 'me',
    services: empty<Service>(),
    endpointSlices: empty<EndpointSlice>(),
    backend,
    clock,
    log: silentLogger,
    onRulesLost: () => calls.push('lost'),
    intactCheckIntervalMs: 1000,
  }).start(stop.signal);
  await clock.advance(0);
  expect(calls).toEqual(['full']);
  await clock.advance(1000);
  expect(calls).toEqual(['full']);
  intact = false;
  await clock.advance(1000);
  await clock.advance(0);
  expect(calls).toEqual(['full', 'lost', 'full']);
  stop.abort();
});
