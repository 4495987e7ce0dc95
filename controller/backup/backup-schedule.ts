import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { writeBackupFile } from './backup-file.ts';

export interface BackupScheduleOptions {
  readonly dir: string;
  readonly intervalMs: number;
  /** So many newest files stay. */
  readonly retain: number;
  readonly passphrase: () => Promise<string>;
  /** Records of a backup; see backup-content.ts. */
  readonly content: () => AsyncIterable<Uint8Array>;
  readonly clock: Clock;
  readonly log: Logger;
  /** See `encrypt`. */
  readonly scryptCost?: number;
}

export interface BackupSchedule {
  /** Why the newest backup is older than it should be; undefined: it is not. */
  problem(): string | undefined;
  /** Wall-clock ms of the last backup that this process has taken or found; undefined: none yet. */
  readonly newestMs: number | undefined;
  /** Resolves once a backup that is being written is finished: what it reads is about to be closed. */
  stop(): Promise<void>;
}

/** The first look, so that a start is not held up, and a new cluster has something worth keeping. */
const FIRST_AFTER_MS = 60_000;
/** After a failure: a full disk or an unmounted share is perhaps mended soon. */
const RETRY_MS = 10 * 60_000;
const NAME = /^coracle-(\d{8}T\d{6}Z)\.backup$/;
/** What a process that was killed while it wrote left behind. */
const LEFTOVER = /^coracle-\d{8}T\d{6}Z\.backup\.\d+\.tmp$/;

/** Takes a backup whenever the newest in the folder is older than the interval, over restarts too, and removes those beyond `retain`. */
export function startBackupSchedule(options: BackupScheduleOptions): BackupSchedule {
  const { dir, intervalMs, clock, log } = options;
  let problem: string | undefined;
  let takenMs: number | undefined;
  let isStopped = false;
  let cancel: (() => void) | undefined;
  let running: Promise<void> = Promise.resolve();

  const plan = (delayMs: number): void => {
    if (!isStopped)
      cancel = clock.after(delayMs, () => {
        running = run();
      });
  };
  const run = async (): Promise<void> => {
    try {
      const newest = await newestMs(dir);
      const nowMs = clock.now();
      const dueMs = newest + intervalMs - nowMs;
      // One from the future tells of a clock that was wrong, and nothing of its age.
      if (newest <= nowMs && dueMs > 0) {
        takenMs = newest;
        plan(dueMs);
        return;
      }
      const { path, bytes } = await takeBackup(options);
      problem = undefined;
      takenMs = nowMs;
      log.info('took a backup', { path, bytes });
      plan(intervalMs);
    } catch (err) {
      problem = `the scheduled backup failed: ${describeError(err)}`;
      log.error('a scheduled backup failed, trying again later', { reason: describeError(err), dir });
      plan(Math.min(RETRY_MS, intervalMs));
    }
  };
  plan(FIRST_AFTER_MS);
  return {
    problem: () => problem,
    get newestMs() {
      return takenMs;
    },
    stop() {
      isStopped = true;
      cancel?.();
      return running;
    },
  };
}

async function takeBackup(options: BackupScheduleOptions): Promise<{ readonly path: string; readonly bytes: number }> {
  const { dir, retain, content, clock, scryptCost } = options;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const nowMs = clock.now();
  const path = join(dir, `coracle-${new Date(nowMs).toISOString().replaceAll(/[-:]|\.\d+/g, '')}.backup`);
  const passphrase = await options.passphrase();
  const bytes = await writeBackupFile(content(), {
    path,
    passphrase,
    nowMs,
    ...(scryptCost === undefined ? {} : { scryptCost }),
  });
  await prune(dir, retain);
  return { path, bytes };
}

/** By name, which says the time: copying a file changes its own. */
async function prune(dir: string, retain: number): Promise<void> {
  const names = await readdir(dir);
  const superfluous = names
    .filter((name) => NAME.test(name))
    .toSorted()
    .slice(0, -retain);
  const leftovers: string[] = [];
  for (const name of names.filter((candidate) => LEFTOVER.test(candidate))) {
    // One of another controller that writes into the same folder is at work.
    const { mtimeMs } = await stat(join(dir, name));
    if (Date.now() - mtimeMs > 24 * 3_600_000) leftovers.push(name);
  }
  for (const name of [...superfluous, ...leftovers]) await rm(join(dir, name), { force: true });
}

/** Time of the newest backup, from its name; 0 where there is none. */
async function newestMs(dir: string): Promise<number> {
  let names: readonly string[];
  try {
    names = await readdir(dir);
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw err;
  }
  const stamps = names.flatMap((name) => NAME.exec(name)?.[1] ?? []).toSorted();
  const newest = stamps.at(-1);
  if (newest === undefined) return 0;
  return Date.parse(newest.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z'));
}
