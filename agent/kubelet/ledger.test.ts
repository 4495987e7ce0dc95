import { describe, expect, test } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeFileSystem } from '#test/kit/fake-file-system.ts';
import { Ledger } from './ledger.ts';
import type { PodUid } from './pod-spec.ts';
import { podWith, recordOf } from './testing/pod-fixtures.ts';

const UID = 'uid-1' as PodUid;
const open = (fs: FakeFileSystem, clock = new FakeClock()) =>
  new Ledger({ fs, directory: '/ledger', clock, log: silentLogger });

async function openedLedger() {
  const [fs, clock] = [new FakeFileSystem(), new FakeClock()];
  const ledger = open(fs, clock);
  await ledger.load();
  return { fs, clock, ledger };
}

test('a ledger gives back after a restart what was saved', async () => {
  const fs = new FakeFileSystem();
  const ledger = open(fs);
  await ledger.load();
  await ledger.save(recordOf(podWith(), { sandboxAttempt: 2 }));
  const again = open(fs);
  await again.load();
  expect(again.record(UID)?.sandboxAttempt).toBe(2);
  await again.forget(UID);
  expect(await fs.list('/ledger')).toEqual([]);
});

test('writes that wait for an earlier one become one', async () => {
  const { fs, ledger } = await openedLedger();
  const save = (sandboxAttempt: number) => ledger.save(recordOf(podWith(), { sandboxAttempt }));
  await Promise.all([save(1), save(2), save(3), save(4)]);
  expect(fs.durableWrites).toHaveLength(2);
  expect(JSON.parse(await fs.readText('/ledger/uid-1.json'))).toMatchObject({ sandboxAttempt: 4 });
});

describe('a note', () => {
  const note = (sandboxAttempt: number) => recordOf(podWith(), { sandboxAttempt });

  test('is remembered at once, and written a while later without waiting for the disk', async () => {
    const { fs, ledger, clock } = await openedLedger();
    ledger.note(note(1));
    await clock.advance(5_000);
    ledger.note(note(2));
    expect([ledger.record(UID)?.sandboxAttempt, await fs.list('/ledger')]).toEqual([2, []]);
    await clock.advance(5_000);
    expect(JSON.parse(await fs.readText('/ledger/uid-1.json'))).toMatchObject({ sandboxAttempt: 2 });
    expect(fs.durableWrites).toEqual([]);
    expect(clock.pendingTimers).toBe(0);
  });

  test('goes with what is saved before its time, and is not written again', async () => {
    const { fs, ledger, clock } = await openedLedger();
    ledger.note(note(1));
    await ledger.save({ ...ledger.record(UID)!, terminatedAtMs: 7 });
    expect(JSON.parse(await fs.readText('/ledger/uid-1.json'))).toMatchObject({ sandboxAttempt: 1, terminatedAtMs: 7 });
    expect(clock.pendingTimers).toBe(0);
  });

  test('of a pod that is forgotten is not written at all', async () => {
    const { fs, ledger, clock } = await openedLedger();
    ledger.note(note(1));
    await ledger.forget(UID);
    expect(clock.pendingTimers).toBe(0);
    expect(await fs.list('/ledger')).toEqual([]);
  });

  test('whose write is under way makes what is saved meanwhile no less durable', async () => {
    const { fs, ledger, clock } = await openedLedger();
    const { promise, resolve } = Promise.withResolvers<void>();
    const writeAtomic = fs.writeAtomic.bind(fs);
    fs.writeAtomic = async (...args) => {
      await promise;
      return writeAtomic(...args);
    };
    const first = ledger.save(note(1));
    await Promise.resolve();
    ledger.note(note(2));
    await clock.advance(10_000);
    const second = ledger.save(note(3));
    resolve();
    await Promise.all([first, second]);
    expect(fs.durableWrites).toHaveLength(2);
  });
});

test('a damaged record is set aside, not deleted', async () => {
  const fs = new FakeFileSystem();
  await fs.makeDirectory('/ledger');
  await fs.write('/ledger/uid-1.json', '{"version":1,');
  const ledger = open(fs);
  expect(await ledger.load()).toEqual([]);
  expect(await fs.list('/ledger')).toEqual(['uid-1.json.damaged']);
});

test('a ledger is settled once what could not be written is on disk', async () => {
  const fs = new FakeFileSystem();
  const ledger = open(fs);
  await ledger.load();
  const writeAtomic = fs.writeAtomic.bind(fs);
  fs.writeAtomic = () => Promise.reject(new Error('ENOSPC'));
  await expect(ledger.save(recordOf(podWith()))).rejects.toThrow('ENOSPC');
  await expect(ledger.settled(UID)).rejects.toThrow('ENOSPC');
  fs.writeAtomic = writeAtomic;
  await ledger.settled(UID);
  expect(await fs.list('/ledger')).toEqual(['uid-1.json']);
  await ledger.settled(UID);
  expect(fs.durableWrites).toHaveLength(1);
});
