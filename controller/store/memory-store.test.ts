import { expect, it } from 'vitest';
import { createMemoryStore } from './memory-store.ts';
import type { NewValue, StoreEvent } from './store.ts';

const value = (name: string, extra: object = {}): NewValue => ({
  bytes: new TextEncoder().encode(
    JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, ...extra }),
  ),
  labels: {},
  fields: { 'metadata.name': name },
  durability: 'durable',
});

it('createMemoryStore writes, reads, watches and deletes', async () => {
  const store = createMemoryStore();
  const events: StoreEvent[] = [];
  store.watch({
    prefix: '/registry/configmaps/',
    fromRevision: store.revision,
    onEvent: (e) => events.push(e),
    onClose() {},
  });
  const created = await store.write('/registry/configmaps/a/b', () => ({ kind: 'put', value: value('b') }));
  const updated = await store.write('/registry/configmaps/a/b', (current) => {
    expect(current?.revision).toBe(created.revision);
    return { kind: 'put', value: value('b', { data: { x: 'y' } }) };
  });
  expect(store.snapshot().get('/registry/configmaps/a/b')?.object()).toEqual({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { resourceVersion: String(updated.revision), name: 'b' },
    data: { x: 'y' },
  });
  const deleted = await store.write('/registry/configmaps/a/b', () => ({ kind: 'delete' }));
  expect(store.snapshot().count('')).toBe(0);
  expect(events.map((e) => [e.type, e.revision, e.previous?.revision])).toEqual([
    ['ADDED', created.revision, undefined],
    ['MODIFIED', updated.revision, created.revision],
    ['DELETED', deleted.revision, updated.revision],
  ]);
  expect(store.snapshotAt(created.revision).get('/registry/configmaps/a/b')?.revision).toBe(created.revision);
});
