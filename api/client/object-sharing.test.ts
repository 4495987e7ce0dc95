import { afterEach, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { MemoryCluster } from '#test/kit/memory-client.ts';
import { type ConfigMap, resources } from '../object/kinds.ts';
import { objectKey } from '../object/kube-object.ts';
import { createInformerFactory } from './informer-factory.ts';
import { ObjectSharing } from './object-sharing.ts';

const tick = () => new Promise<void>((resolve) => setImmediate(resolve));
const KEY = objectKey('n', 'a');
const stops: AbortController[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop.abort();
});

function setUp() {
  const clock = new FakeClock();
  const cluster = new MemoryCluster(clock);
  const client = cluster.client();
  const sharing = new ObjectSharing();
  const start = async (fieldSelector?: string) => {
    const stop = new AbortController();
    stops.push(stop);
    const factory = createInformerFactory({ client, clock, log: silentLogger, random: () => 0, sharing });
    const informer = factory.informer<ConfigMap>(
      resources.configMaps,
      fieldSelector === undefined ? {} : { fieldSelector },
    );
    factory.start(stop.signal);
    await factory.waitForSync();
    return { informer, stop };
  };
  return { maps: client.resource<ConfigMap>(resources.configMaps), start };
}

it('keeps one object for all that look at one kind, as long as they see the same revision', async () => {
  const { maps, start } = setUp();
  const made = await maps.create({ metadata: { name: 'a', namespace: 'n' }, data: { k: '1' } });
  const first = await start();
  const second = await start('metadata.name=a');
  expect(second.informer.byKey(KEY)).toBe(first.informer.byKey(KEY));
  await maps.update({ ...made, data: { k: '2' } });
  await tick();
  expect(first.informer.byKey(KEY)?.data).toEqual({ k: '2' });
  expect(second.informer.byKey(KEY)).toBe(first.informer.byKey(KEY));
});

it('looks no more at those that have ended', async () => {
  const { maps, start } = setUp();
  await maps.create({ metadata: { name: 'a', namespace: 'n' }, data: { k: '1' } });
  const first = await start();
  const kept = first.informer.byKey(KEY);
  first.stop.abort();
  const second = await start();
  expect(second.informer.byKey(KEY)).toEqual(kept);
  expect(second.informer.byKey(KEY)).not.toBe(kept);
});
