import { expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { DiskFullError } from './commit-log.ts';
import { DiskLatency } from './disk-latency.ts';
import { immediateLog } from './memory-store.ts';
import { GatedCommitLog } from './testing/gated-commit-log.ts';

it('measures commits, and has a condition while one hangs and for a minute after it', async () => {
  const clock = new FakeClock();
  const warnings: unknown[] = [];
  const observed: number[] = [];
  const latency = new DiskLatency({
    clock,
    log: { ...silentLogger, warn: (message) => warnings.push(message) },
    onCommit: (seconds) => observed.push(seconds),
  });
  const disk = new GatedCommitLog(immediateLog);
  const log = latency.measure(disk);
  const commit = () => log.commit({ writes: [], reservedRevision: undefined, compactedRevision: 0 });
  await commit();
  expect([observed, latency.problem()]).toEqual([[0], undefined]);
  disk.stall();
  const slow = commit();
  await clock.advance(900);
  expect(latency.problem()).toBeUndefined();
  await clock.advance(29_100);
  expect(latency.problem()).toBe('the disk has been busy with one commit for 30.0 s');
  disk.release();
  await slow;
  expect([observed, warnings]).toEqual([[0, 30], ['the disk is slow']]);
  await clock.advance(50_000);
  await commit();
  expect(latency.problem()).toBe('the disk is slow: within the last minute a commit took 30.0 s');
  await clock.advance(11_000);
  expect(latency.problem()).toBeUndefined();
});

it('tells of a full disk once, and once of room on it', async () => {
  const told: string[] = [];
  const latency = new DiskLatency({
    clock: new FakeClock(),
    log: { ...silentLogger, error: (message) => told.push(message), info: (message) => told.push(message) },
    onCommit() {},
  });
  let isFull = true;
  const log = latency.measure({
    async commit() {
      if (isFull) throw new DiskFullError('database or disk is full');
    },
    async close() {},
  });
  const commit = () => log.commit({ writes: [], reservedRevision: undefined, compactedRevision: 0 });
  for (let i = 0; i < 3; i++) await expect(commit()).rejects.toThrow('full');
  expect(latency.problem()).toMatch(/the disk is full/);
  isFull = false;
  for (let i = 0; i < 3; i++) await commit();
  expect(latency.problem()).toBeUndefined();
  expect(told).toEqual([expect.stringMatching(/the disk is full/), 'the disk has room again']);
});
