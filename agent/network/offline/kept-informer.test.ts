import { expect, it } from 'vitest';
import type { Informer, InformerHandler } from '#api/client/informer.ts';
import type { Service } from '#api/object/kinds.ts';
import { keyOf } from '#api/object/kube-object.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeFileSystem } from '#test/kit/fake-file-system.ts';
import { KeptInformer } from './kept-informer.ts';

const PATH = '/state/network/services.json';

const service = (name: string, resourceVersion = '1'): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'default', uid: name, resourceVersion, creationTimestamp: '' },
  spec: { clusterIP: '10.96.0.9' },
});

/** Says what the test lets it say. */
function fakeInformer() {
  let objects: Service[] = [];
  let handler: InformerHandler<Service> = {};
  let answer = () => {};
  const synced = new Promise<void>((resolve) => (answer = resolve));
  const informer = {
    hasSynced: false,
    addHandler: (one: InformerHandler<Service>) => (handler = one),
    waitForSync: () => synced,
    list: () => objects,
    byKey: (key: string) => objects.find((object) => keyOf(object) === key),
  };
  return {
    inner: informer as unknown as Informer<Service>,
    answers(...all: Service[]) {
      objects = all;
      for (const object of all) handler.onAdd?.(object, true);
      informer.hasSynced = true;
      answer();
    },
  };
}

async function startWith(fs: FakeFileSystem, clock = new FakeClock()) {
  const api = fakeInformer();
  const kept = new KeptInformer<Service>({ inner: api.inner, fs, path: PATH, clock, log: silentLogger });
  const told: string[] = [];
  kept.addHandler({
    onAdd: ({ metadata }) => told.push(`add ${metadata.name}`),
    onUpdate: (before, { metadata }) =>
      told.push(`update ${metadata.name} ${before.metadata.resourceVersion}->${metadata.resourceVersion}`),
    onDelete: ({ metadata }) => told.push(`delete ${metadata.name}`),
  });
  const stop = new AbortController();
  kept.keep(stop.signal);
  return { api, kept, told, clock, stop };
}

/** A disk as a run before this one left it. */
async function diskWith(...services: Service[]): Promise<FakeFileSystem> {
  const fs = new FakeFileSystem();
  const { api, stop } = await startWith(fs);
  api.answers(...services);
  await expect.poll(() => fs.info(PATH)).toBeDefined();
  stop.abort();
  return fs;
}

it('says what the API said last when the API is silent, then only what differs', async () => {
  const { kept, told, clock, api, stop } = await startWith(await diskWith(service('a'), service('b')));
  expect(kept.hasSynced).toBe(false);
  const synced = kept.waitForSync();
  await clock.advance(3_000);
  await expect.poll(() => told.length).toBe(2);
  await synced;
  expect(told).toEqual(['add a', 'add b']);
  expect(kept.hasSynced).toBe(true);
  expect(kept.list().map(({ metadata }) => metadata.name)).toEqual(['a', 'b']);

  api.answers(service('a', '7'), service('c'));
  await expect.poll(() => told.length).toBe(5);
  expect(told.slice(2)).toEqual(['update a 1->7', 'add c', 'delete b']);
  expect(kept.list().map(({ metadata }) => metadata.name)).toEqual(['a', 'c']);
  stop.abort();
});

it('is the informer itself while the API answers', async () => {
  const { kept, told, api, stop } = await startWith(await diskWith(service('a')));
  api.answers(service('b'));
  await kept.waitForSync();
  expect(told).toEqual(['add b']);
  expect(kept.list()).toHaveLength(1);
  stop.abort();
});

it('has nothing to say of a disk that was garbled', async () => {
  const fs = await diskWith(service('a'));
  await fs.write(PATH, '[{"apiVersion"');
  const { kept, told, clock, stop } = await startWith(fs);
  await clock.advance(3_000);
  await new Promise((resolve) => setImmediate(resolve));
  expect(told).toEqual([]);
  expect(kept.hasSynced).toBe(false);
  stop.abort();
});
