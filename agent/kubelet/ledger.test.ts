import { expect, test } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeFileSystem } from '#test/kit/fake-file-system.ts';
import { Ledger } from './ledger.ts';
import type { PodUid } from './pod-spec.ts';
import { podWith, recordOf } from './testing/pod-fixtures.ts';

const UID = 'uid-1' as PodUid;
const open = (fs: FakeFileSystem) =>
  new Ledger({ fs, directory: '/ledger', clock: new FakeClock(), log: silentLogger });

test('a ledger gives back after a restart what was saved', async () => {
  const fs = new FakeFileSystem();
  const ledger = open(fs);
  await ledger.load();
  await ledger.save(recordOf(podWith(), { sandboxAttempt: 2 }), { durable: true });
  const again = open(fs);
  await again.load();
  expect(again.record(UID)?.sandboxAttempt).toBe(2);
  await again.forget(UID);
  expect(await fs.list('/ledger')).toEqual([]);
});

test('writes that wait for an earlier one become one, durable if any of them was', async () => {
  const fs = new FakeFileSystem();
  const ledger = open(fs);
  await ledger.load();
  const save = (sandboxAttempt: number, durable: boolean) =>
    ledger.save(recordOf(podWith(), { sandboxAttempt }), { durable });
  await Promise.all([save(1, false), save(2, false), save(3, true), save(4, false)]);
  expect(ledger.fsyncs).toBe(1);
  expect(JSON.parse(await fs.readText('/ledger/uid-1.json'))).toMatchObject({ sandboxAttempt: 4 });
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
  await expect(ledger.save(recordOf(podWith()), { durable: true })).rejects.toThrow('ENOSPC');
  await expect(ledger.settled(UID)).rejects.toThrow('ENOSPC');
  fs.writeAtomic = writeAtomic;
  await ledger.settled(UID);
  expect(await fs.list('/ledger')).toEqual(['uid-1.json']);
  await ledger.settled(UID);
  expect(fs.durableWrites).toHaveLength(1);
});
