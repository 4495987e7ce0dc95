import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { databasePath } from './integrity/inspect.ts';
import { openSqliteStore } from './sqlite-store.ts';
import type { Store, StoreEvent } from './store.ts';
import { classifySample, podKey, putPod, recordEvents, remove, specOf } from './testing/sample-values.ts';

const tell = ({ type, object }: StoreEvent) => `${type} ${object.key.split('/').at(-1)}`;

describe('what was before the start', () => {
  let dir: string;
  let clock: FakeClock;
  let store: Store;
  /** Before anything else was written. */
  let first: number;

  const open = () => openSqliteStore({ dir, clock, log: silentLogger, classify: classifySample });
  /** Behind the store's back. */
  const change = (sql: string) => {
    const db = new DatabaseSync(databasePath(dir));
    db.exec(sql);
    db.close();
  };

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'coracle-store-'));
    clock = new FakeClock();
    store = await open();
    first = (await putPod(store, 'first', {})).revision;
    await putPod(store, 'a', { i: 1 });
    await putPod(store, 'a', { i: 2 });
    await putPod(store, 'b', {});
    await store.write(podKey('b'), remove);
    await store.close();
    store = await open();
  });
  afterEach(async () => {
    await store.close();
    await rm(dir, { recursive: true });
  });

  const before = ['ADDED a', 'MODIFIED a', 'ADDED b', 'DELETED b'];

  it('is read when a watch comes back to it, whatever was written since', async () => {
    await putPod(store, 'a', { i: 3 });
    await store.write(podKey('first'), remove);
    await putPod(store, 'b', { again: true });
    const events = recordEvents(store, '/', { fromRevision: first });
    expect(events.map(tell)).toEqual([...before, 'MODIFIED a', 'DELETED first', 'ADDED b']);
    expect(specOf(events[4]?.previous)).toEqual({ i: 2 });
    expect(() => recordEvents(store, '/', { fromRevision: first - 1_000_000 })).toThrow(/too old/);
  });

  it('is read for a list of then', async () => {
    await putPod(store, 'a', { i: 3 });
    const [afterA] = recordEvents(store, '/', { fromRevision: first });
    const then = store.snapshotAt(afterA!.revision);
    expect([...then.range('/')].map((object) => [object.key, specOf(object)])).toEqual([
      [podKey('a'), { i: 1 }],
      [podKey('first'), {}],
    ]);
  });

  it('is not read for what came after the start', async () => {
    const from = store.revision;
    change('DROP TABLE history');
    expect(recordEvents(store, '/', { fromRevision: from })).toEqual([]);
    expect(store.snapshotAt(from).revision).toBe(from);
  });

  it('is read after a while, unasked', async () => {
    await clock.advance(2_000);
    await clock.advance(1);
    change('DELETE FROM history');
    expect(recordEvents(store, '/', { fromRevision: first }).map(tell)).toEqual(before);
  });

  it('is 410 Gone where it cannot be read any more', async () => {
    const from = store.revision;
    change('DROP TABLE history');
    expect(() => recordEvents(store, '/', { fromRevision: first })).toThrow(/too old/);
    expect(recordEvents(store, '/', { fromRevision: from })).toEqual([]);
  });

  it('is given up when the store is closed', async () => {
    await store.close();
    await clock.advance(10_000);
    store = await open();
    expect(recordEvents(store, '/', { fromRevision: first }).map(tell)).toEqual(before);
  });
});
