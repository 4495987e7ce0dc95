import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { patiently } from '#test/kit/patiently.ts';
import { encodeRecord } from './backup-records.ts';
import { type BackupSchedule, startBackupSchedule } from './backup-schedule.ts';

const MINUTE_MS = 60_000;

describe('startBackupSchedule', () => {
  let dir: string;
  let clock: FakeClock;
  let schedule: BackupSchedule | undefined;
  let failure: Error | undefined;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'coracle-schedule-'));
    clock = new FakeClock();
    failure = undefined;
  });
  afterEach(async () => {
    await schedule?.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const start = () => {
    schedule = startBackupSchedule({
      dir: join(dir, 'backups'),
      intervalMs: 60 * MINUTE_MS,
      retain: 3,
      passphrase: async () => 'correct horse battery',
      content: async function* () {
        if (failure !== undefined) throw failure;
        yield encodeRecord({ kind: 'end', objects: 0, files: 0 });
      },
      clock,
      log: silentLogger,
      scryptCost: 16,
    });
  };
  const backups = () => readdir(join(dir, 'backups')).catch(() => []);
  const expectBackups = (count: number) => patiently(async () => expect(await backups()).toHaveLength(count));
  /** The schedule reads the folder between two timers, so time goes on in steps until something has come of it. */
  const passUntil = async (check: () => Promise<void> | void) => {
    await patiently(async () => {
      await clock.advance(10 * MINUTE_MS);
      await check();
    });
  };

  it('takes one soon where there is none, then one an interval, and keeps the newest', async () => {
    start();
    await clock.advance(MINUTE_MS);
    await expectBackups(1);
    const [first] = await backups();
    await passUntil(async () => expect((await backups()).length).toBe(3));
    await passUntil(async () => expect(await backups()).not.toContain(first));
    expect(await backups()).toHaveLength(3);
    expect(schedule?.problem()).toBeUndefined();
  });

  it('goes on with the interval over a restart', async () => {
    start();
    await clock.advance(MINUTE_MS);
    await expectBackups(1);
    await schedule?.stop();
    start();
    for (let i = 0; i < 30; i++) await clock.advance(MINUTE_MS);
    expect(await backups()).toHaveLength(1);
    await passUntil(async () => expect(await backups()).toHaveLength(2));
  });

  it('does not wait for the time of a backup from the future, which a wrong clock has made', async () => {
    await mkdir(join(dir, 'backups'));
    await writeFile(join(dir, 'backups', 'coracle-20991231T000000Z.backup'), '');
    start();
    await clock.advance(MINUTE_MS);
    await expectBackups(2);
    await patiently(() => expect(schedule?.newestMs).toBe(clock.now()));
  });

  it('tells of a failure, tries again, and leaves foreign files alone', async () => {
    failure = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    start();
    await clock.advance(MINUTE_MS);
    await patiently(() => expect(schedule?.problem()).toMatch(/the scheduled backup failed: .*no space left/));
    expect(await backups()).toEqual([]);
    await writeFile(join(dir, 'backups', 'notes.txt'), 'mine');
    failure = undefined;
    await passUntil(async () => expect(await backups()).toHaveLength(2));
    await patiently(() => expect(schedule?.problem()).toBeUndefined());
    await passUntil(async () => expect(await backups()).toHaveLength(4));
    expect(await backups()).toContain('notes.txt');
  });
});
