import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isGone, isTooManyRequests } from '#api/object/api-error.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import type { HistoryLimits } from '../history.ts';
import type { Snapshot, Store, WriteResult } from '../store.ts';
import type { StoreOptions } from '../store-core.ts';
import type { GatedCommitLog } from './gated-commit-log.ts';
import {
  classifySample,
  eventKey,
  leaseKey,
  nameOf,
  podKey,
  putLease,
  putPod,
  recordEvents,
  remove,
  sampleValue,
  specOf,
} from './sample-values.ts';

/** How the suite gets at one kind of store. */
export interface StoreHarness {
  /** Opens the state of this harness; `log` stands between the store and its disk. */
  open(options: StoreOptions): Promise<{ readonly store: Store; readonly log: GatedCommitLog }>;
  /** Ends the open store without a word, as kill -9 does. */
  crash(): Promise<void>;
  dispose(): Promise<void>;
}

const PODS = '/registry/pods/';
const LEASES = '/registry/leases/';
const EVENTS = '/registry/events/';
const EVENT_TTL_MS = 3_600_000;
const QUEUE_LIMIT = 20;
const HISTORY: Partial<HistoryLimits> = { minEvents: 100 };

/** The numbered sentences of the store's contract (docs/architecture.md), each as named tests. `survival`: how long its state lasts. */
export function describeStoreContract(
  name: string,
  survival: 'process' | 'disk',
  createHarness: () => Promise<StoreHarness>,
): void {
  describe(`store contract: ${name}`, () => {
    let harness: StoreHarness;
    let clock: FakeClock;
    let store: Store;
    let log: GatedCommitLog;

    const open = async () => {
      const opened = await harness.open({
        clock,
        log: silentLogger,
        classify: classifySample,
        indexes: [
          { prefix: PODS, field: 'spec.nodeName' },
          { prefix: PODS, label: 'app' },
        ],
        volatilePrefixes: [{ prefix: EVENTS, ttlMs: EVENT_TTL_MS }],
        historyLimits: HISTORY,
        pipelineLimits: { maxQueuedWrites: QUEUE_LIMIT },
        freezeObjects: true,
      });
      store = opened.store;
      log = opened.log;
    };
    const restart = async (how: 'closed' | 'killed') => {
      if (how === 'closed') await store.close();
      else await harness.crash();
      await open();
    };

    beforeEach(async () => {
      harness = await createHarness();
      clock = new FakeClock();
      await open();
    });
    afterEach(async () => {
      log.release();
      await store.close();
      await harness.dispose();
    });

    describe('1: one revision per object write', () => {
      it('gives every write of any object its own, growing revision', async () => {
        const results: WriteResult[] = [];
        for (const pod of ['a', 'b', 'a']) results.push(await putPod(store, pod, { n: results.length }));
        results.push(await store.write(podKey('a'), remove));
        const revisions = results.map((result) => result.revision);
        expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
        expect(store.revision).toBe(revisions.at(-1));
        expect(results[3]!.object?.revision).toBe(revisions[3]);
      });

      it('spends none on a write that changes nothing', async () => {
        const { revision } = await putPod(store, 'a');
        const same = await store.write(podKey('a'), () => ({ kind: 'unchanged' }));
        expect(same).toMatchObject({ revision, changed: false });
        expect(await store.write(podKey('none'), remove)).toMatchObject({ object: undefined, changed: false });
        expect(store.revision).toBe(revision);
      });

      it('puts the revision into the encoded object', async () => {
        const { object, revision } = await putPod(store, 'a');
        expect(object?.object()).toMatchObject({ metadata: { resourceVersion: String(revision), name: 'a' } });
        expect(object?.bytes.byteLength).toBe(object?.bytes.buffer.byteLength);
      });
    });

    describe('2: decisions run against the pending head, readers see what is durable', () => {
      it('shows a write to the next decision at once, and to readers once it is durable', async () => {
        const before = store.snapshot();
        const events = recordEvents(store, PODS);
        log.stall();
        const first = putPod(store, 'a', { n: 1 });
        const seen: unknown[] = [];
        const second = store.write(podKey('a'), (current) => {
          seen.push(specOf(current));
          return { kind: 'put', value: sampleValue('Pod', 'a', { spec: { n: 2 } }) };
        });
        await clock.advance(0);
        expect(seen).toEqual([{ n: 1 }]);
        expect([store.snapshot(), events]).toEqual([before, []]);
        log.release();
        const [one, two] = await Promise.all([first, second]);
        expect(two.revision).toBeGreaterThan(one.revision);
        expect(specOf(store.snapshot().get(podKey('a')))).toEqual({ n: 2 });
        expect(events.map((event) => event.revision)).toEqual([one.revision, two.revision]);
      });

      it('delivers a refusal once the write that it lost to is durable', async () => {
        log.stall();
        const winner = putPod(store, 'a');
        const order: string[] = [];
        const loser = store.write(podKey('a'), () => {
          throw new Error('already exists');
        });
        const ends = [winner.then(() => order.push('winner')), loser.catch(() => order.push('loser'))];
        await clock.advance(0);
        expect(order).toEqual([]);
        log.release();
        await Promise.all(ends);
        expect(order).toEqual(['winner', 'loser']);
      });

      it('fails the writes of a failed commit, and decides again what was decided on top of them', async () => {
        await putPod(store, 'a', { n: 0 });
        log.stall();
        const failing = putPod(store, 'a', { n: 1 });
        await clock.advance(0);
        const seen: unknown[] = [];
        const dependent = store.write(podKey('a'), (current) => {
          seen.push(specOf(current));
          return { kind: 'put', value: sampleValue('Pod', 'a', { spec: { n: 2 } }) };
        });
        const refused = store.write(podKey('a'), (current) => {
          seen.push(specOf(current));
          throw new Error('refused');
        });
        const independent = putPod(store, 'b');
        const outcomes = Promise.allSettled([failing, dependent, refused, independent]);
        log.failNext('disk full');
        log.release();
        expect((await outcomes).map(({ status }) => status)).toEqual([
          'rejected',
          'fulfilled',
          'rejected',
          'fulfilled',
        ]);
        expect(seen).toEqual([{ n: 1 }, { n: 2 }, { n: 0 }, { n: 2 }]);
        await expect(failing).rejects.toMatchObject({ code: 500, message: expect.stringContaining('disk full') });
        expect(specOf(store.snapshot().get(podKey('a')))).toEqual({ n: 2 });
      });
    });

    it('3: writes that arrive while a commit is in flight go into the next transaction', async () => {
      log.stall();
      const writes = [putPod(store, 'first')];
      await clock.advance(0);
      for (let i = 0; i < 10; i++) writes.push(putPod(store, `p${i}`));
      log.release();
      await Promise.all(writes);
      expect(log.writeBatches.map((batch) => batch.writes.length)).toEqual([1, 10]);
    });

    describe('4: the disk stalls for 30 s', () => {
      it('reads, watches and heartbeats go on', async () => {
        await putPod(store, 'a');
        await putLease(store, 'node', 0, 'durable');
        await putLease(store, 'node', 1, 'volatile');
        const events = recordEvents(store, '/registry/');
        log.stall();
        const write = putPod(store, 'b');
        for (let second = 0; second < 30; second++) {
          await clock.advance(1000);
          await putLease(store, 'node', second + 2, 'volatile');
        }
        expect(specOf(store.snapshot().get(leaseKey('node')))).toEqual({ renewTime: 31 });
        expect(nameOf(store.snapshot().get(podKey('a')))).toBe('a');
        expect(events).toHaveLength(30);
        log.release();
        const { revision } = await write;
        expect(events.map((event) => event.revision)).toEqual(events.map((e) => e.revision).sort((a, b) => a - b));
        expect(events.at(-1)?.revision).toBe(revision);
      });

      it('queues writes up to the bound, then answers 429 with Retry-After', async () => {
        log.stall();
        const writes = Array.from({ length: QUEUE_LIMIT + 5 }, (_, i) => putPod(store, `p${i}`));
        const refused = await Promise.allSettled(writes.slice(QUEUE_LIMIT));
        for (const outcome of refused) {
          const reason = outcome.status === 'rejected' ? outcome.reason : undefined;
          expect(isTooManyRequests(reason)).toBe(true);
          expect(reason).toMatchObject({ details: { retryAfterSeconds: 1 } });
        }
        log.release();
        await Promise.all(writes.slice(0, QUEUE_LIMIT));
        expect(store.snapshot().count(PODS)).toBe(QUEUE_LIMIT);
        await putPod(store, 'later');
      });

      it('answers 504 at the deadline of a write whose fate is unknown', async () => {
        log.stall();
        const deadline = new AbortController();
        const write = store.write(podKey('a'), () => ({ kind: 'put', value: sampleValue('Pod', 'a') }), {
          signal: deadline.signal,
        });
        deadline.abort();
        await expect(write).rejects.toMatchObject({ code: 504, reason: 'Timeout' });
        log.release();
        await putPod(store, 'b');
        expect(nameOf(store.snapshot().get(podKey('a')))).toBe('a');
      });
    });

    describe('5: volatile updates stay in memory', () => {
      it('commits the first one, which marks the object, and none after it', async () => {
        await putLease(store, 'node', 0, 'durable');
        await putLease(store, 'node', 1, 'volatile');
        const commits = log.batches.length;
        const events = recordEvents(store, LEASES);
        for (let i = 2; i < 50; i++) await putLease(store, 'node', i, 'volatile');
        expect(log.batches).toHaveLength(commits);
        expect(events.map((event) => specOf(event.object))).toEqual(
          Array.from({ length: 48 }, (_, i) => ({ renewTime: i + 2 })),
        );
      });

      it('makes creations, deletions and other changes durable, whatever the object is', async () => {
        await putLease(store, 'node', 0, 'volatile');
        await putLease(store, 'node', 1, 'volatile');
        await putLease(store, 'node', 2, 'durable');
        await store.write(leaseKey('node'), remove);
        const types = log.writeBatches.flatMap((batch) => batch.writes.map((write) => write.type));
        expect(types).toEqual(['ADDED', 'MODIFIED', 'MODIFIED', 'DELETED']);
      });

      it('keeps Events without a commit, and deletes them when their time is over', async () => {
        await store.write(eventKey('e'), () => ({ kind: 'put', value: sampleValue('Event', 'e') }));
        await clock.advance(EVENT_TTL_MS / 2);
        await store.write(eventKey('e'), () => ({ kind: 'put', value: sampleValue('Event', 'e', { count: 2 }) }));
        const events = recordEvents(store, EVENTS);
        await clock.advance(EVENT_TTL_MS / 2);
        expect(events).toEqual([]);
        await clock.advance(EVENT_TTL_MS / 2);
        expect(events.map((event) => event.type)).toEqual(['DELETED']);
        expect(log.writeBatches).toEqual([]);
      });
    });

    describe('6: history', () => {
      const fill = async (count: number, prefix = 'p') => {
        for (let i = 0; i < count; i++) await putPod(store, `${prefix}${i % 7}`, { n: i });
      };

      it('lets a watch resume for ten minutes, without loss or repetition', async () => {
        const from = (await putPod(store, 'first')).revision;
        const live = recordEvents(store, PODS);
        await fill(300);
        await clock.advance(9 * 60_000);
        await fill(1, 'q');
        const resumed = recordEvents(store, PODS, { fromRevision: from });
        expect(resumed).toEqual(live);
        await fill(3);
        expect(resumed).toEqual(live);
        expect(live).toHaveLength(304);
      });

      it('answers 410 outside it, at once and before any event', async () => {
        const from = (await putPod(store, 'first')).revision;
        await fill(300);
        await clock.advance(11 * 60_000);
        await fill(1);
        expect(store.compactedRevision).toBeGreaterThan(from);
        expect(() => recordEvents(store, PODS, { fromRevision: from })).toThrow(/too old resource version/);
        expect(recordEvents(store, PODS, { fromRevision: store.compactedRevision })).toHaveLength(HISTORY.minEvents!);
      });

      it('makes a read from the future wait, then fail with "Too large resource version"', async () => {
        const { revision } = await putPod(store, 'a');
        let reached = false;
        const waiting = store.waitFor(revision + 1, 3000).then(() => {
          reached = true;
        });
        await clock.advance(1000);
        expect(reached).toBe(false);
        await putPod(store, 'b');
        await waiting;
        const failed = expect(store.waitFor(store.revision + 1, 3000)).rejects.toMatchObject({
          code: 504,
          message: expect.stringContaining('Too large resource version'),
          details: { causes: [{ reason: 'ResourceVersionTooLarge' }] },
        });
        await clock.advance(3000);
        await failed;
      });
    });

    describe('7: snapshots', () => {
      it('stay as they are while the store goes on', async () => {
        for (const pod of ['a', 'b', 'c', 'd']) await putPod(store, pod, { nodeName: 'n1' });
        const snapshot = store.snapshot();
        const iterator = snapshot.range(PODS)[Symbol.iterator]();
        expect(nameOf(iterator.next().value)).toBe('a');
        await store.write(podKey('b'), remove);
        await putPod(store, 'c', { nodeName: 'n2' });
        await putPod(store, 'bb', { nodeName: 'n1' });
        const rest = [...{ [Symbol.iterator]: () => iterator }].map((object) => [nameOf(object), specOf(object)]);
        expect(rest).toEqual(['b', 'c', 'd'].map((pod) => [pod, { nodeName: 'n1' }]));
        expect([...snapshot.byField(PODS, 'spec.nodeName', 'n1')!].map(nameOf)).toEqual(['a', 'b', 'c', 'd']);
        expect([...store.snapshot().range(PODS)].map(nameOf)).toEqual(['a', 'bb', 'c', 'd']);
      });

      it('of an older revision hold what was then visible, and continue after a key', async () => {
        for (const pod of ['a', 'b', 'c', 'd']) await putPod(store, pod, { nodeName: 'n1' });
        const { revision } = store;
        await store.write(podKey('b'), remove);
        await putPod(store, 'c', { nodeName: 'n2' });
        await putPod(store, 'e');
        const older = store.snapshotAt(revision);
        expect(older.revision).toBe(revision);
        expect([...older.range(PODS, podKey('a'))].map(nameOf)).toEqual(['b', 'c', 'd']);
        expect(older.count(PODS, podKey('a'))).toBe(3);
        expect([...older.byField(PODS, 'spec.nodeName', 'n1')!].map(nameOf)).toEqual(['a', 'b', 'c', 'd']);
        expect(() => store.snapshotAt(store.revision + 1)).toThrow(/Too large resource version/);
      });
    });

    describe('8: indexes', () => {
      it('answer declared fields, and say so when a field has none', async () => {
        await putPod(store, 'a', { nodeName: 'n1' });
        await putPod(store, 'b');
        await putPod(store, 'b', { nodeName: 'n2' });
        const snapshot = store.snapshot();
        const on = (node: string) => [...snapshot.byField(PODS, 'spec.nodeName', node)!].map(nameOf);
        expect([on('n1'), on('n2'), on(''), on('n')]).toEqual([['a'], ['b'], [], []]);
        expect([...snapshot.byField('/registry/pods/other/', 'spec.nodeName', 'n1')!]).toEqual([]);
        expect(snapshot.byField(PODS, 'status.phase', 'Running')).toBeUndefined();
        expect(snapshot.byField(LEASES, 'spec.nodeName', 'n1')).toBeUndefined();
      });

      it('answer declared labels, and leave objects without them out', async () => {
        const put = (pod: string, labels: Record<string, string>) => {
          const value = sampleValue('Pod', pod, { metadata: { name: pod, namespace: 'default', labels } });
          return store.write(podKey(pod), () => ({ kind: 'put', value }));
        };
        await put('a', { app: 'web' });
        await put('b', { app: 'web' });
        await put('c', { app: 'db' });
        await put('d', {});
        const before = store.snapshot();
        await put('b', { app: 'db' });
        await put('a', {});
        await store.write(podKey('c'), remove);
        const withApp = (snapshot: Snapshot, app: string) => [...snapshot.byLabel(PODS, 'app', app)!].map(nameOf);
        expect([withApp(before, 'web'), withApp(before, 'db')]).toEqual([['a', 'b'], ['c']]);
        expect([withApp(store.snapshot(), 'web'), withApp(store.snapshot(), 'db')]).toEqual([[], ['b']]);
        expect(store.snapshot().byLabel(PODS, 'tier', 'x')).toBeUndefined();
      });

      it('let a narrow watch see objects enter, change and leave, live and from history', async () => {
        const from = store.revision;
        const live = recordEvents(store, PODS, { nodeName: 'n1' });
        await putPod(store, 'a', { nodeName: 'n1' });
        await putPod(store, 'b', { nodeName: 'n2' });
        await putPod(store, 'b', { nodeName: 'n1' });
        await putPod(store, 'a', { nodeName: 'n2' });
        await putPod(store, 'a', { nodeName: 'n2', n: 2 });
        await store.write(podKey('b'), remove);
        const seen = live.map((event) => [event.type, nameOf(event.object)]);
        expect(seen).toEqual([
          ['ADDED', 'a'],
          ['MODIFIED', 'b'],
          ['MODIFIED', 'a'],
          ['DELETED', 'b'],
        ]);
        expect(recordEvents(store, PODS, { fromRevision: from, nodeName: 'n1' })).toEqual(live);
      });

      it('keep the order for a callback that writes or starts a watch', async () => {
        await store.write(eventKey('e'), () => ({ kind: 'put', value: sampleValue('Event', 'e') }));
        let nested: unknown[] = [];
        const early: string[] = [];
        store.watch({
          prefix: '/registry/',
          fromRevision: store.revision,
          onClose() {},
          onEvent: (event) => {
            if (!event.object.key.startsWith(PODS)) return;
            void store.write(eventKey('e'), () => ({ kind: 'put', value: sampleValue('Event', 'e', { n: 1 }) }));
            nested = recordEvents(store, '/registry/', { fromRevision: event.revision });
          },
        });
        store.watch({
          prefix: '/registry/',
          fromRevision: store.revision,
          onClose() {},
          onEvent: (event) => early.push(event.object.key),
        });
        await putPod(store, 'a');
        await clock.advance(0);
        expect(early).toEqual([podKey('a'), eventKey('e')]);
        expect(nested).toHaveLength(1);
      });
    });

    it('11: refuses an object beyond 1.5 MiB with 413', async () => {
      const big = (bytes: number) => sampleValue('Pod', 'big', { spec: { filler: 'x'.repeat(bytes) } });
      const put = (bytes: number) => store.write(podKey('big'), () => ({ kind: 'put', value: big(bytes) }));
      await expect(put(1.5 * 2 ** 20)).rejects.toMatchObject({ code: 413, reason: 'RequestEntityTooLarge' });
      expect((await put(1.4 * 2 ** 20)).changed).toBe(true);
    });

    it('refuses writes and closes watches once it is closed', async () => {
      const reasons: string[] = [];
      store.watch({ prefix: PODS, fromRevision: store.revision, onEvent() {}, onClose: (why) => reasons.push(why) });
      const last = putPod(store, 'a');
      await store.close();
      expect((await last).changed).toBe(true);
      expect(reasons).toEqual(['closed']);
      await expect(putPod(store, 'b')).rejects.toMatchObject({ code: 503 });
    });

    describe.skipIf(survival === 'process')('over a restart', () => {
      it.each(['closed', 'killed'] as const)('keeps every acknowledged write when %s (sentence 1)', async (how) => {
        await putPod(store, 'a', { n: 1 });
        const kept = (await putPod(store, 'b', { n: 2 })).revision;
        const gone = putPod(store, 'c').then(() => store.write(podKey('c'), remove));
        const shown = (await gone).revision;
        await restart(how);
        expect([...store.snapshot().range(PODS)].map(nameOf)).toEqual(['a', 'b']);
        expect(store.snapshot().get(podKey('b'))?.revision).toBe(kept);
        expect(store.revision).toBeGreaterThanOrEqual(shown);
        expect((await putPod(store, 'd')).revision).toBeGreaterThan(shown);
      });

      it.each(['closed', 'killed'] as const)('raises revisions beyond volatile ones when %s', async (how) => {
        await putLease(store, 'node', 0, 'durable');
        await putLease(store, 'node', 1, 'volatile');
        const shown = (await putLease(store, 'node', 2, 'volatile')).revision;
        const durable = recordEvents(store, LEASES, { fromRevision: 1 })[1]!;
        await restart(how);
        const lease = store.snapshot().get(leaseKey('node'));
        expect(specOf(lease)).toEqual(specOf(durable.object));
        expect(lease!.revision).toBeGreaterThan(shown);
        const resumed = recordEvents(store, LEASES, { fromRevision: shown });
        expect(resumed.map((event) => [event.type, event.object])).toEqual([['MODIFIED', lease]]);
      });

      it('resumes watches from the durable history (sentence 6)', async () => {
        const from = (await putPod(store, 'first')).revision;
        for (let i = 0; i < 30; i++) await putPod(store, `p${i % 3}`, { n: i });
        await store.write(podKey('p1'), remove);
        const at = store.revision;
        await putPod(store, 'p1', { again: true });
        const plain = (events: ReturnType<typeof recordEvents>) =>
          events.map((e) => [e.type, e.revision, e.object.object(), e.object.labels, e.previous?.object()]);
        const before = plain(recordEvents(store, PODS, { fromRevision: from }));
        await restart('killed');
        expect(plain(recordEvents(store, PODS, { fromRevision: from }))).toEqual(before);
        expect([...store.snapshotAt(at).range(PODS)].map(nameOf)).toEqual(['first', 'p0', 'p2']);
      });

      it('forgets Events, and tells their watchers with one 410', async () => {
        await store.write(eventKey('e'), () => ({ kind: 'put', value: sampleValue('Event', 'e') }));
        const { revision } = await putPod(store, 'a');
        await restart('killed');
        expect(store.snapshot().count(EVENTS)).toBe(0);
        let refusal: unknown;
        try {
          recordEvents(store, EVENTS, { fromRevision: revision });
        } catch (err) {
          refusal = err;
        }
        expect(isGone(refusal)).toBe(true);
        expect(recordEvents(store, EVENTS)).toEqual([]);
        expect(recordEvents(store, PODS, { fromRevision: revision })).toEqual([]);
      });
    });
  });
}
