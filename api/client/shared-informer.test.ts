import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { MemoryCluster } from '#test/kit/memory-client.ts';
import { ApiError } from '../object/api-error.ts';
import { type ConfigMap, resources } from '../object/kinds.ts';
import { objectKey } from '../object/kube-object.ts';
import type { ResourceClient } from './client.ts';
import { createInformer } from './shared-informer.ts';

const tick = () => new Promise<void>((resolve) => setImmediate(resolve));

function setUp() {
  const clock = new FakeClock();
  const cluster = new MemoryCluster(clock);
  const maps = cluster.client().resource<ConfigMap>(resources.configMaps);
  const abort = new AbortController();
  const seen: string[] = [];
  const start = (resource: ResourceClient<ConfigMap> = maps) => {
    const informer = createInformer<ConfigMap>({
      resource,
      clock,
      log: silentLogger,
      random: () => 0,
      freeze: true,
      indexers: { byData: (map) => Object.values(map.data ?? {}) },
    });
    informer.addHandler({
      onAdd: (map, isInitial) => seen.push(`add ${map.metadata.name}${isInitial ? ' (initial)' : ''}`),
      onUpdate: (before, now) => seen.push(`update ${now.metadata.name} ${before.data?.k}->${now.data?.k}`),
      onDelete: (map) => seen.push(`delete ${map.metadata.name}`),
    });
    informer.start(abort.signal);
    return informer;
  };
  const put = (name: string, k: string) => maps.create({ metadata: { name, namespace: 'n' }, data: { k } });
  return { clock, cluster, maps, abort, seen, start, put };
}

let ended: AbortController | undefined;
afterEach(() => ended?.abort());

describe('informer', () => {
  it('delivers the initial state, then every change, and keeps its indexes', async () => {
    const { maps, abort, seen, start, put } = setUp();
    ended = abort;
    const first = await put('a', '1');
    const informer = start();
    await informer.waitForSync();
    await put('b', '1');
    await maps.update({ ...first, data: { k: '2' } });
    await maps.delete({ name: 'b', namespace: 'n' });
    await tick();
    expect(seen).toEqual(['add a (initial)', 'add b', 'update a 1->2', 'delete b']);
    expect(informer.byIndex('byData', '2').map((map) => map.metadata.name)).toEqual(['a']);
    expect(informer.byIndex('byData', '1')).toEqual([]);
    expect(informer.list('n')).toHaveLength(1);
    expect(informer.list('other')).toEqual([]);
  });

  it('resumes after a cut without repeating anything', async () => {
    const { cluster, clock, abort, seen, start, put } = setUp();
    ended = abort;
    await start().waitForSync();
    await put('a', '1');
    await tick();
    cluster.cutWatches();
    await put('b', '1');
    await clock.advance(2000);
    expect(seen).toEqual(['add a', 'add b']);
  });

  it('lists again after 410 and reports what changed meanwhile', async () => {
    const { cluster, maps, clock, abort, seen, start, put } = setUp();
    ended = abort;
    await put('gone', '1');
    const kept = await put('kept', '1');
    const informer = start();
    await informer.waitForSync();
    cluster.watchFailure = new Error('server is away');
    cluster.cutWatches();
    await tick();
    await maps.delete({ name: 'gone', namespace: 'n' });
    await maps.update({ ...kept, data: { k: '2' } });
    await put('new', '1');
    cluster.compact();
    cluster.watchFailure = undefined;
    await clock.advance(2000);
    expect(seen.slice(2)).toEqual(['update kept 1->2', 'add new', 'delete gone']);
    expect(informer.byKey(objectKey('n', 'gone'))).toBeUndefined();
  });

  it('falls back to list and watch where watch lists are refused', async () => {
    const { maps, abort, seen, start, put } = setUp();
    ended = abort;
    await put('a', '1');
    const old: ResourceClient<ConfigMap> = Object.assign(Object.create(maps), {
      info: maps.info,
      fetchList: maps.fetchList.bind(maps),
      watch: (request: { sendInitialEvents?: boolean }) => {
        if (request.sendInitialEvents) throw new ApiError(422, 'Invalid', 'sendInitialEvents is forbidden');
        return maps.watch(request);
      },
    });
    await start(old).waitForSync();
    await put('b', '1');
    await tick();
    expect(seen).toEqual(['add a (initial)', 'add b']);
  });

  it('freezes what it shares', async () => {
    const { abort, start, put } = setUp();
    ended = abort;
    await put('a', '1');
    const informer = start();
    await informer.waitForSync();
    expect(Object.isFrozen(informer.list()[0]?.data)).toBe(true);
  });
});
