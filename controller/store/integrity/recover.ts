import {
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { markPath } from './commit-mark.ts';
import { databasePath, inspect } from './inspect.ts';
import { type Evidence, type Judgement, judge } from './judge.ts';
import { sumsPath } from './page-sums.ts';
import { newestVerifiedSnapshot, type SnapshotFile, syncFolder } from './snapshots.ts';
import { markAsNew } from './witness.ts';

/** Revisions jump by at least this over a loss, so that none that anybody may have seen is given out again. */
export const REVISION_LEAP = 1_000_000_000;

/** What a start found to be lost. Kept beside the files until somebody deletes the folder. */
export interface DamageReport {
  readonly findings: readonly string[];
  /** Writes with revisions in (lostAfter, lostUpTo] may be gone; null where the upper end is not known. */
  readonly lostAfter: number;
  readonly lostUpTo: number | null;
  /** What is served instead, in words. */
  readonly served: string;
  /** Revisions begin again behind this one; whatever is older answers 410. */
  readonly raisedTo: number;
  /** Folder with the files as they were found. */
  readonly evidence: string;
  /** ISO 8601. */
  readonly time: string;
}

/** Thrown where nothing trustworthy is left: starting empty would be worse. */
export class StoreDestroyedError extends Error {
  override readonly name = 'StoreDestroyedError';
}

/** How to go on after `prepareFiles`. */
export interface Prepared {
  readonly evidence: Evidence;
  readonly judgement: Judgement;
  /** `fold`: sums and mark are in force. `adopt`: the file is to be taken as it is. */
  readonly next: 'fold' | 'adopt';
  /** What was done about a loss; undefined where there is none. */
  readonly recovery: { readonly served: string; readonly folder: string } | undefined;
}

/** Verifies the files of a store and brings them into a state that SQLite may open. Nobody may have them open; may be cut off at any point. */
export function prepareFiles(dir: string, nowMs: number): Prepared {
  const evidence = inspect(dir);
  const judgement = judge(evidence);
  const { condition } = judgement;
  if (condition === 'empty' || condition === 'unmarked') {
    markAsNew(dir, evidence.marks);
    return { evidence: inspect(dir), judgement, next: 'adopt', recovery: undefined };
  }
  if (condition === 'sound') {
    if (judgement.dropWal) dropWal(dir);
    return { evidence, judgement, next: 'fold', recovery: undefined };
  }
  if (condition === 'destroyed') soundSnapshot(dir, judgement);
  const folder = setAside(dir, { nowMs, isNeeded: condition === 'unsure' });
  const isKept =
    condition === 'cut'
      ? !isEmptied(folder, judgement)
      : condition === 'unsure' && passesOwnChecks(folder, evidence, judgement);
  const served = isKept ? 'what is left of it' : restoreSnapshot(dir, { judgement, folder });
  if (judgement.dropWal && isKept) dropWal(dir);
  return { evidence, judgement, next: 'adopt', recovery: { served, folder } };
}

/** All losses that were found and not yet put to rest by deleting their folder; oldest first. */
export function listDamage(dir: string): readonly DamageReport[] {
  return readdirSync(dir)
    .filter((name) => name.startsWith('damaged-'))
    .toSorted()
    .flatMap((name) => {
      const path = join(dir, name, 'report.json');
      return existsSync(path) ? [JSON.parse(readFileSync(path, 'utf8')) as DamageReport] : [];
    });
}

export function writeReport(report: DamageReport): void {
  writeFileSync(join(report.evidence, 'report.json'), `${JSON.stringify(report, null, 2)}\n`, {
    mode: 0o600,
    flush: true,
  });
}

/** One line for a person. */
export function describeDamage({ findings, lostAfter, lostUpTo, served, evidence }: DamageReport): string {
  const lost =
    lostUpTo === null
      ? `Writes after revision ${lostAfter} may be lost`
      : lostUpTo > lostAfter
        ? `Writes with revisions ${lostAfter + 1} to ${lostUpTo} are lost`
        : 'The newest acknowledged write is there';
  return `${findings.join('; ')}. ${lost}; served is ${served}. The files as found: ${evidence}`;
}

function dropWal(dir: string): void {
  rmSync(`${databasePath(dir)}-wal`, { force: true });
  syncFolder(dir);
}

/** Copies the files for whoever wants to save more from them. Where the disk is full and nothing else needs the copy, there is none. */
function setAside(dir: string, { nowMs, isNeeded }: { readonly nowMs: number; readonly isNeeded: boolean }): string {
  const stamp = new Date(nowMs).toISOString().replaceAll(/[-:]|\.\d+/g, '');
  let folder = join(dir, `damaged-${stamp}`);
  for (let count = 2; existsSync(folder); count++) folder = join(dir, `damaged-${stamp}-${count}`);
  mkdirSync(folder, { mode: 0o700 });
  const db = databasePath(dir);
  try {
    for (const path of [db, `${db}-wal`, markPath(dir), sumsPath(dir, 0), sumsPath(dir, 1)]) {
      if (existsSync(path)) copyFileSync(path, join(folder, basename(path)));
    }
  } catch (err) {
    if (isNeeded || (err as NodeJS.ErrnoException).code !== 'ENOSPC') throw err;
    for (const name of readdirSync(folder)) rmSync(join(folder, name));
  }
  return folder;
}

/** Whether a start would find nothing in what is left of a store that was cut. Changes nothing. */
export function leavesNothing(dir: string, judgement: Judgement): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'coracle-store-'));
  try {
    const db = databasePath(dir);
    for (const path of [db, `${db}-wal`]) if (existsSync(path)) copyFileSync(path, join(folder, basename(path)));
    return isEmptied(folder, judgement);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** On a copy. A store that has promised something and holds nothing was not cut but lost: an empty cluster would be served. */
function isEmptied(folder: string, judgement: Judgement): boolean {
  // There was no room for the copy.
  if (!existsSync(databasePath(folder))) return false;
  setWalAside(folder, judgement);
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(databasePath(folder), { readOnly: true });
    return db.prepare('SELECT 1 FROM objects LIMIT 1').get() === undefined;
  } catch {
    // Not even tables.
    return true;
  } finally {
    db?.close();
  }
}

function setWalAside(folder: string, { dropWal }: Judgement): void {
  const wal = `${databasePath(folder)}-wal`;
  if (dropWal && existsSync(wal)) renameSync(wal, `${wal}.dropped`);
}

/** On the copy. The newest revision tells whether another program has folded the WAL. */
function passesOwnChecks(folder: string, { marks }: Evidence, judgement: Judgement): boolean {
  setWalAside(folder, judgement);
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(databasePath(folder), { readOnly: true });
    if (db.prepare('PRAGMA integrity_check').get()?.integrity_check !== 'ok') return false;
    // A sealed value (k8s:enc:) carries its own proof, which the loading asks for.
    const broken = db
      .prepare(
        "SELECT count(*) AS count FROM objects WHERE NOT json_valid(CAST(value AS TEXT)) AND substr(value, 1, 8) <> CAST('k8s:enc:' AS BLOB)",
      )
      .get();
    return broken?.count === 0 && newestRevision(db) >= (marks.mark?.revision ?? 0);
  } catch {
    // Not a database any more, which is an answer too.
    return false;
  } finally {
    db?.close();
  }
}

/** Newest revision of anything in the file; 0 where it is empty. */
export function newestRevision(db: DatabaseSync): number {
  const row = db
    .prepare(
      'SELECT max((SELECT ifnull(max(revision), 0) FROM objects), (SELECT ifnull(max(revision), 0) FROM history)) AS newest',
    )
    .get();
  return row?.newest as number;
}

function soundSnapshot(dir: string, { findings }: Judgement): SnapshotFile {
  const snapshot = newestVerifiedSnapshot(dir);
  if (snapshot !== undefined) return snapshot;
  throw new StoreDestroyedError(
    `the store in ${dir} is damaged and there is no sound snapshot of it: ${findings.join('; ')}. ` +
      '"coracle doctor store" tells more; restore a backup, or move the folder away to begin anew',
  );
}

/** The WAL of what it replaces goes first: nothing may ever be replayed over a snapshot. */
function restoreSnapshot(dir: string, { judgement, folder }: { judgement: Judgement; folder: string }): string {
  let snapshot: SnapshotFile;
  try {
    snapshot = soundSnapshot(dir, judgement);
  } catch (err) {
    // Nothing is changed, so there is nothing to set aside; a supervisor tries again and again.
    rmSync(folder, { recursive: true });
    throw err;
  }
  dropWal(dir);
  const temporary = `${databasePath(dir)}.restored`;
  copyFileSync(snapshot.path, temporary);
  const fd = openSync(temporary, 'r+');
  fsyncSync(fd);
  closeSync(fd);
  renameSync(temporary, databasePath(dir));
  syncFolder(dir);
  return `the snapshot of ${new Date(snapshot.takenMs).toISOString()} (revision ${snapshot.revision})`;
}
