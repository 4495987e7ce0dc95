import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeDurableFile } from '../pki/durable-file.ts';
import { type Backend, writeBackendNote } from '../state-backend.ts';
import { takeFileLock } from '../store/file-lock.ts';
import { inspect } from '../store/integrity/inspect.ts';
import { syncFolder } from '../store/integrity/snapshots.ts';
import { BackupError } from './backup-error.ts';

/** What a restore replaces in the data directory. */
export const RESTORED_FOLDERS = ['store', 'pki', 'seal', 'config'] as const;

const MARKER = 'restore-unfinished';

/** Locks a data directory against the controller and against others of our kind; makes it where absent. */
export async function lockDataFolder(dataDir: string): Promise<{ close(): void }> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  try {
    return takeFileLock(join(dataDir, 'controller.lock'), 'this data directory');
  } catch (err) {
    if (!/another process/.test((err as Error).message)) throw err;
    throw new BackupError(`a controller runs on ${dataDir}: stop it first (systemctl stop coracle-controller)`, {
      cause: err,
    });
  }
}

/** Throws where a restore was cut off while it put the new files in place: half of each is worse than neither. */
export function refuseUnfinishedRestore(dataDir: string): void {
  if (!existsSync(join(dataDir, MARKER))) return;
  throw new BackupError(
    `a restore into ${dataDir} was cut off: run "coracle restore" again with --force; what was there before is in before-restore-*`,
  );
}

/** Folders of a cluster's state that are there. */
export async function presentFolders(dataDir: string): Promise<readonly string[]> {
  const names = await readdir(dataDir);
  return RESTORED_FOLDERS.filter((name) => names.includes(name));
}

/** Newest revision that the store there may have shown; 0 where there is none, or it cannot tell. */
export function knownRevision(dataDir: string): number {
  const dir = join(dataDir, 'store');
  if (!existsSync(dir)) return 0;
  const { mark } = inspect(dir).marks;
  return Math.max(mark?.reserved ?? 0, mark?.revision ?? 0);
}

/**
 * Puts the folders that lie in `staged` into the data directory, and what stood there into a folder of its own, whose path it answers. When
 * it is cut off, `refuseUnfinishedRestore` notices.
 */
export async function replaceFolders(
  dataDir: string,
  {
    staged,
    nowMs,
    replaced,
    backend,
  }: {
    readonly staged: string;
    readonly nowMs: number;
    /** Set aside, also where nothing new comes in their place; those not named stay. */
    readonly replaced: readonly string[];
    /** Which has the state from now on. */
    readonly backend: Backend;
  },
): Promise<string | undefined> {
  const marker = join(dataDir, MARKER);
  const names = await readdir(staged);
  await writeDurableFile(marker, 'A restore or a migration is under way, or was cut off.\n');
  syncFolder(staged);
  const old = (await presentFolders(dataDir)).filter((name) => replaced.includes(name));
  const aside = old.length === 0 ? undefined : await newAside(dataDir, nowMs);
  for (const name of old) await rename(join(dataDir, name), join(aside!, name));
  for (const name of names) await rename(join(staged, name), join(dataDir, name));
  if (aside !== undefined) syncFolder(aside);
  await writeBackendNote(dataDir, backend);
  syncFolder(dataDir);
  await rm(marker);
  await rm(staged, { recursive: true });
  syncFolder(dataDir);
  return aside;
}

async function newAside(dataDir: string, nowMs: number): Promise<string> {
  const stamp = new Date(nowMs).toISOString().replaceAll(/[-:]|\.\d+/g, '');
  let path = join(dataDir, `before-restore-${stamp}`);
  for (let count = 2; existsSync(path); count++) path = join(dataDir, `before-restore-${stamp}-${count}`);
  await mkdir(path, { mode: 0o700 });
  return path;
}
