import { describe, expect, it, vi } from 'vitest';
import { type Pod, resources } from '#api/object/kinds.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { MemoryCluster } from '#test/kit/memory-client.ts';
import { StatusManager } from './status-manager.ts';

const READY = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] } as const;
const status = () => structuredClone(READY) as unknown as NonNullable<Pod['status']>;

const mirrorOf = () => undefined;

async function setUp() {
  const clock = new FakeClock();
  const cluster = new MemoryCluster(clock);
  const client = cluster.client();
  const pods = client.resource<Pod>(resources.pods);
  const rechecked: string[] = [];
  const options = {
    client,
    clock,
    random: () => 0,
    log: silentLogger,
    recheck: (uid: string) => rechecked.push(uid),
    mirrorOf,
  };
  const manager = new StatusManager(options, new AbortController().signal);
  const pod = await pods.create({ metadata: { name: 'p', namespace: 'n' } });
  const fetch = () => pods.fetch('p', 'n');
  /** What the node lifecycle controller does to pods of a node that is not ready. */
  const overwrite = () =>
    pods.patch({
      name: 'p',
      namespace: 'n',
      type: 'merge',
      subresource: 'status',
      patch: { status: { conditions: [{ type: 'Ready', status: 'False' }] } },
    });
  const writes = () => cluster.actions.filter(({ verb, subresource }) => verb === 'patch' && subresource === 'status');
  return { clock, cluster, manager, pod, fetch, overwrite, writes, rechecked };
}

describe('status manager', () => {
  it('tells a status once', async () => {
    const { manager, pod, fetch, writes } = await setUp();
    manager.set(pod, status());
    await expect.poll(async () => (await fetch()).status?.phase).toBe('Running');
    manager.set(await fetch(), status());
    expect(writes()).toHaveLength(1);
    expect(manager.isOverwritten(await fetch())).toBe(false);
  });

  it('sees that somebody wrote over what it told', async () => {
    const { manager, pod, fetch, overwrite } = await setUp();
    manager.set(pod, status());
    await expect.poll(async () => (await fetch()).status?.phase).toBe('Running');
    await overwrite();
    expect(manager.isOverwritten(await fetch())).toBe(true);
  });

  it('sees it also of a status that an agent before it told', async () => {
    const before = await setUp();
    before.manager.set(before.pod, status());
    await expect.poll(async () => (await before.fetch()).status?.phase).toBe('Running');
    const options = { clock: before.clock, random: () => 0, log: silentLogger, recheck: vi.fn(), mirrorOf };
    const client = before.cluster.client();
    const manager = new StatusManager({ ...options, client }, new AbortController().signal);
    manager.set(await before.fetch(), status());
    expect(before.writes()).toHaveLength(1);
    await before.overwrite();
    expect(manager.isOverwritten(await before.fetch())).toBe(true);
    manager.set(await before.fetch(), status());
    await expect.poll(async () => (await before.fetch()).status?.conditions).toMatchObject(READY.conditions);
  });

  it('asks to look again at what was written over while it was telling', async () => {
    const { manager, pod, fetch, rechecked } = await setUp();
    manager.set(pod, status());
    await expect.poll(async () => (await fetch()).status?.phase).toBe('Running');
    const told = await fetch();
    const later = (by: number): Pod => {
      const resourceVersion = String(Number(told.metadata.resourceVersion) + by);
      return { ...told, metadata: { ...told.metadata, resourceVersion } };
    };
    // The next version is the one that this write will make, seen before its answer: nobody else's.
    manager.set(told, { ...status(), message: 'one' });
    expect(manager.isOverwritten(later(1))).toBe(false);
    await expect.poll(async () => (await fetch()).status?.message).toBe('one');
    expect(rechecked).toEqual([]);
    manager.set(await fetch(), { ...status(), message: 'two' });
    expect(manager.isOverwritten(later(9))).toBe(false);
    await expect.poll(() => rechecked).toEqual([pod.metadata.uid]);
  });
});
