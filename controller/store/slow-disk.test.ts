import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isTooManyRequests } from '#api/object/api-error.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { patiently } from '#test/kit/patiently.ts';
import { DiskGate } from './disk-gate.ts';
import { openSqliteStore } from './sqlite-store.ts';
import type { Store } from './store.ts';
import {
  classifySample,
  leaseKey,
  podKey,
  putLease,
  putPod,
  recordEvents,
  sampleValue,
  specOf,
} from './testing/sample-values.ts';

const QUEUE_WRITES = 50;
const QUEUE_BYTES = 100_000;

/** The real disk thread, held up before each fsync. */
describe('a disk that stalls', () => {
  let dir: string;
  let gate: DiskGate;
  let store: Store;
  let broken: unknown;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'coracle-slow-'));
    gate = new DiskGate();
    broken = undefined;
    store = await openSqliteStore({
      dir,
      gate,
      clock: systemClock,
      log: silentLogger,
      classify: classifySample,
      pipelineLimits: { maxQueuedWrites: QUEUE_WRITES, maxQueuedBytes: QUEUE_BYTES },
      onBroken: (err) => {
        broken = err;
      },
    });
    await putPod(store, 'a', { n: 0 });
    await putLease(store, 'node', 0, 'durable');
    await putLease(store, 'node', 1, 'volatile');
  });
  afterEach(async () => {
    gate.delay(0);
    gate.open();
    await store.close();
    await rm(dir, { recursive: true });
  });

  it('stops no read, no watch and no heartbeat', async () => {
    gate.close();
    const events = recordEvents(store, '/registry/leases/');
    const stuck = putPod(store, 'a', { n: 1 });
    await patiently(() => expect(gate.isBusy).toBe(true));
    // As many as a hundred nodes send in half a minute.
    for (let i = 2; i < 602; i++) await putLease(store, 'node', i, 'volatile');
    expect(specOf(store.snapshot().get(leaseKey('node')))).toEqual({ renewTime: 601 });
    expect(events).toHaveLength(600);
    expect(specOf(store.snapshot().get(podKey('a')))).toEqual({ n: 0 });
    gate.open();
    await stuck;
    expect(specOf(store.snapshot().get(podKey('a')))).toEqual({ n: 1 });
    expect(broken).toBeUndefined();
  });

  it.each([
    { bound: 'count', filler: 10, accepted: QUEUE_WRITES },
    { bound: 'bytes', filler: 9_900, accepted: 10 },
  ])('fills the queue up to its $bound, and turns away what is beyond it', async ({ filler, accepted }) => {
    gate.close();
    const writes = Array.from({ length: QUEUE_WRITES + 20 }, (_, i) =>
      putPod(store, `p${i}`, { filler: 'x'.repeat(filler) }),
    );
    const outcomes = Promise.allSettled(writes);
    for (const refused of await Promise.allSettled(writes.slice(accepted))) {
      const reason = refused.status === 'rejected' ? refused.reason : undefined;
      expect(isTooManyRequests(reason)).toBe(true);
      expect(reason).toMatchObject({ details: { retryAfterSeconds: 1 } });
    }
    gate.open();
    const statuses = (await outcomes).map(({ status }) => status);
    expect(statuses.filter((status) => status === 'fulfilled')).toHaveLength(accepted);
    expect((await putPod(store, 'later')).changed).toBe(true);
  });

  it('answers 504 at the deadline, and keeps what it then still writes', async () => {
    gate.close();
    const deadline = new AbortController();
    const value = sampleValue('Pod', 'late');
    const write = store.write(podKey('late'), () => ({ kind: 'put', value }), { signal: deadline.signal });
    deadline.abort();
    await expect(write).rejects.toMatchObject({ code: 504 });
    gate.open();
    await putPod(store, 'after');
    expect(store.snapshot().get(podKey('late'))).toBeDefined();
  });

  it('takes all that waits with the next fsync, however slow each is', async () => {
    gate.delay(50);
    const fromMs = performance.now();
    for (let round = 0; round < 3; round++)
      await Promise.all(Array.from({ length: QUEUE_WRITES }, (_, i) => putPod(store, `p${i}`, { round })));
    // Three commits, or six where each round was split in two; 150 fsyncs would take 7.5 s.
    expect(performance.now() - fromMs).toBeLessThan(6_000);
  });
});
