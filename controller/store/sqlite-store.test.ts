import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import type { SqliteCommitLog } from './sqlite-commit-log.ts';
import { openSqliteStore, type SqliteStoreOptions } from './sqlite-store.ts';
import type { Store } from './store.ts';
import { GatedCommitLog } from './testing/gated-commit-log.ts';
import { classifySample, podKey, putLease, putPod, recordEvents, remove, specOf } from './testing/sample-values.ts';
import { describeStoreContract } from './testing/store-contract.ts';

describeStoreContract('SQLite', 'disk', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'coracle-store-'));
  let inner: SqliteCommitLog | undefined;
  return {
    async open(options) {
      let log: GatedCommitLog | undefined;
      const store = await openSqliteStore({
        ...options,
        dir,
        wrapLog: (sqlite) => {
          inner = sqlite as SqliteCommitLog;
          log = new GatedCommitLog(sqlite);
          return log;
        },
      });
      return { store, log: log! };
    },
    crash: async () => {
      await inner?.abandon();
    },
    dispose: () => rm(dir, { recursive: true }),
  };
});

/** Hundreds of fsyncs, on machines that do other things too. */
const PATIENCE_MS = 30_000;

describe('SQLite store', { timeout: PATIENCE_MS }, () => {
  let dir: string;
  let clock: FakeClock;
  let stores: Store[];

  const open = async (options: Partial<SqliteStoreOptions> = {}) => {
    const store = await openSqliteStore({ dir, clock, log: silentLogger, classify: classifySample, ...options });
    stores.push(store);
    return store;
  };

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'coracle-store-'));
    clock = new FakeClock();
    stores = [];
  });
  afterEach(async () => {
    for (const store of stores) await store.close();
    await rm(dir, { recursive: true });
  });

  it('keeps a second process out', async () => {
    await open();
    await expect(open()).rejects.toThrow(/another process uses the store/);
  });

  it('keeps the file within 3 x the live data, and shrinks it in place (sentence 10)', async () => {
    const historyLimits = { minEvents: 20, maxAgeMs: 0 };
    const filler = 'x'.repeat(1000);
    const file = join(dir, 'state.db');
    let store = await open({ historyLimits });
    const names = Array.from({ length: 200 }, (_, i) => `p${i}`);
    for (let round = 0; round < 10; round++) {
      await clock.advance(1000);
      for (let at = 0; at < names.length; at += 10) {
        await Promise.all(names.slice(at, at + 10).map((name) => putPod(store, name, { filler, round })));
      }
    }
    await store.close();
    const full = await stat(file);
    expect(full.size).toBeLessThan(3 * (names.length + historyLimits.minEvents) * filler.length);

    store = await open({ historyLimits });
    for (const name of names.slice(10)) await store.write(podKey(name), remove);
    for (let i = 0; i < 100; i++) {
      await clock.advance(1000);
      await putPod(store, 'p0', { i });
    }
    await store.close();
    const shrunk = await stat(file);
    expect(shrunk.ino).toBe(full.ino);
    expect(shrunk.size).toBeLessThan(full.size / 2);
  });

  it('compacts history in bounded steps, each with a write, and remembers how far over a restart', async () => {
    let log: GatedCommitLog | undefined;
    const wrapLog = (inner: ConstructorParameters<typeof GatedCommitLog>[0]) => (log = new GatedCommitLog(inner));
    let store = await open({ historyLimits: { minEvents: 5, maxAgeMs: 0 }, wrapLog });
    for (let i = 0; i < 50; i++) {
      await clock.advance(10);
      await putPod(store, 'a', { i });
    }
    expect(log?.writeBatches.at(-1)?.compactedRevision).toBeGreaterThan(0);
    const { compactedRevision } = store;
    await store.close();
    store = await open({ historyLimits: { minEvents: 5, maxAgeMs: 0 } });
    expect(store.compactedRevision).toBe(compactedRevision);
    expect(() => recordEvents(store, '/', { fromRevision: compactedRevision - 1 })).toThrow(/too old/);
    expect(recordEvents(store, '/', { fromRevision: compactedRevision })).toHaveLength(5);
  });

  it('loads no more history than memory allows, and says so', async () => {
    let store = await open();
    const first = await putPod(store, 'a', { filler: 'x'.repeat(1000) });
    for (let i = 0; i < 20; i++) await putPod(store, 'a', { filler: 'x'.repeat(1000), i });
    await store.close();
    store = await open({ historyLimits: { softBytes: 5_500 } });
    expect(store.compactedRevision).toBeGreaterThan(first.revision);
    const kept = recordEvents(store, '/', { fromRevision: store.compactedRevision });
    expect(kept.length).toBeGreaterThan(2);
    expect(kept.length).toBeLessThan(6);
  });

  it('brings values of an older schema epoch forward as it loads them', async () => {
    let store = await open({ schemaEpoch: 1 });
    const { revision } = await putPod(store, 'a', { old: true });
    await putPod(store, 'b', { old: true });
    await store.close();
    const bringForward: SqliteStoreOptions['bringForward'] = ({ bytes, epoch }) => {
      expect(epoch).toBe(1);
      return new TextEncoder().encode(new TextDecoder().decode(bytes).replace('"old":true', '"new":true'));
    };
    store = await open({ schemaEpoch: 2, bringForward });
    await putPod(store, 'b', { newer: true });
    const pod = store.snapshot().get(podKey('a'));
    expect([specOf(pod), pod?.revision]).toEqual([{ new: true }, revision]);
  });

  it('reserves revisions ahead of volatile writes without a pause', async () => {
    let log: GatedCommitLog | undefined;
    const wrapLog = (inner: ConstructorParameters<typeof GatedCommitLog>[0]) => (log = new GatedCommitLog(inner));
    let store = await open({ wrapLog, pipelineLimits: { reserveBlock: 100, volatileGap: 10 } });
    await putLease(store, 'node', 0, 'durable');
    for (let i = 1; i < 500; i++) await putLease(store, 'node', i, 'volatile');
    const shown = store.revision;
    expect(log?.batches.at(-1)?.reservedRevision).toBeGreaterThan(shown);
    await store.close();
    store = await open();
    expect(store.revision).toBeGreaterThan(shown);
  });

  it('answers 504 and 503 when the disk thread dies, and closes nothing silently', async () => {
    let broken: unknown;
    let sqlite: SqliteCommitLog | undefined;
    const store = await open({
      onBroken: (err) => {
        broken = err;
      },
      wrapLog: (log) => {
        sqlite = log as SqliteCommitLog;
        return log;
      },
    });
    await putPod(store, 'a');
    const dying = sqlite?.abandon();
    await expect(putPod(store, 'b')).rejects.toMatchObject({ code: 504 });
    await dying;
    await expect(putPod(store, 'c')).rejects.toMatchObject({ code: 503 });
    expect(broken).toMatchObject({ name: 'LogBrokenError' });
    expect(specOf(store.snapshot().get(podKey('a')))).toEqual({});
  });
});
