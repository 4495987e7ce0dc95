import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { apiVersionOfBytes } from '#api/codec/resource-version.ts';
import { takeFileLock } from './file-lock.ts';
import { databasePath } from './integrity/inspect.ts';
import {
  type DamageReport,
  listDamage,
  newestRevision,
  type Prepared,
  prepareFiles,
  REVISION_LEAP,
  writeReport,
} from './integrity/recover.ts';
import { SnapshotSchedule } from './integrity/snapshot-schedule.ts';
import { clearLeftovers } from './integrity/snapshots.ts';
import { type Progress, Witness } from './integrity/witness.ts';
import type { PackedRecord } from './packed-records.ts';
import { RowSealing } from './seal/row-sealing.ts';
import type { SealingPlan } from './seal/sealing-plan.ts';

/** Layout of the file; a file with another one is refused rather than misread. */
const LAYOUT_VERSION = 1;

/** A WAL is cut back to this once it was checkpointed. */
const WAL_LIMIT_BYTES = 4 * 2 ** 20;

/** Free pages beyond this share of the file (and beyond MIN_FREE_PAGES) are given back, VACUUM_PAGES with each commit. */
const MAX_FREE_SHARE = 0.2;
const MIN_FREE_PAGES = 64;
const VACUUM_PAGES = 256;

/** Each commit removes at most this many history rows, and twice as many as it adds. */
const COMPACT_MIN_ROWS = 32;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS objects (
    key TEXT PRIMARY KEY, revision INTEGER NOT NULL, overlaid INTEGER NOT NULL,
    storage_version TEXT NOT NULL, epoch INTEGER NOT NULL, value BLOB NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS history (
    revision INTEGER PRIMARY KEY, type TEXT NOT NULL, key TEXT NOT NULL, time_ms INTEGER NOT NULL,
    previous_revision INTEGER NOT NULL, epoch INTEGER NOT NULL, previous BLOB
  ) STRICT;
`;

type MetaName = 'layout' | 'reserved' | 'compacted';

export interface AppliedBatch {
  readonly records: Iterable<PackedRecord>;
  /** Number of records. */
  readonly count: number;
  readonly reservedRevision: number | undefined;
  readonly compactedRevision: number;
}

/** An object of a backup or of another backend. */
export interface ImportedObject {
  readonly key: string;
  readonly revision: number;
  /** Of the schema that wrote the value. */
  readonly epoch: number;
  /** Canonical JSON without resourceVersion, open. */
  readonly value: Uint8Array;
}

export interface OpenedDatabase {
  /** Nothing above it was ever shown. */
  readonly reservedRevision: number;
  readonly compactedRevision: number;
  /** What was found in the files and did no harm. */
  readonly findings: readonly string[];
  /** Losses, those of earlier starts included, until somebody puts them to rest. */
  readonly damage: readonly DamageReport[];
}

export interface DatabaseOptions {
  readonly dir: string;
  /** Makes a file durable; tests put a slow disk in its place. */
  readonly sync?: (fd: number) => void;
  readonly nowMs: number;
  /** What is sealed in the file; undefined: nothing. */
  readonly sealing?: SealingPlan | undefined;
}

/**
 * The file behind the SQLite store. `objects` holds the live values; `history` is an undo log: each row keeps the value that its write
 * replaced, so that a value is on disk once and older states are found by going backwards. Synchronous: for the disk thread only.
 */
export class SqliteDatabase {
  readonly #db: DatabaseSync;
  readonly #lock: { close(): void };
  readonly #dir: string;
  readonly #statements: Statements;
  readonly #witness: Witness;
  readonly #findings: readonly string[];
  readonly #sealing: RowSealing | undefined;
  /** Nothing at or below it is left in the history. */
  #compacted: number;
  /** Newest durable revision. */
  #revision: number;
  #reserved: number;
  readonly #snapshots: SnapshotSchedule;

  /** Opens or creates `<dir>/state.db`, verified and where need be recovered; the WAL is empty then. Throws when another process holds it, or when it is not ours. */
  constructor({ dir, sync, nowMs, sealing }: DatabaseOptions) {
    const path = databasePath(dir);
    this.#dir = dir;
    this.#lock = takeFileLock(`${path}.lock`, 'the store');
    const prepared = prepareFiles(dir, nowMs);
    this.#findings = prepared.recovery === undefined ? prepared.judgement.findings : [];
    this.#db = new DatabaseSync(path);
    // auto_vacuum is ignored once a table exists, so it comes first. The WAL is folded by the witness alone.
    this.#db.exec('PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
    this.#db.exec(`PRAGMA journal_size_limit = ${WAL_LIMIT_BYTES}; PRAGMA wal_autocheckpoint = 0`);
    this.#db.exec(SCHEMA);
    this.#statements = prepareStatements(this.#db);
    this.#sealing = sealing && new RowSealing(this.#db, sealing, sync);
    this.#checkLayout();
    this.#compacted = this.#meta('compacted') ?? 0;
    this.#reserved = this.#meta('reserved') ?? 1;
    const { evidence, next } = prepared;
    this.#revision = next === 'fold' ? (evidence.marks.mark?.revision ?? 0) : newestRevision(this.#db);
    const { marks } = evidence;
    const sums = next === 'fold' ? evidence.sums : undefined;
    this.#witness = new Witness({ dir, db: this.#db, marks, sums, ...(sync === undefined ? {} : { sync }) });
    this.#snapshots = new SnapshotSchedule(dir, this.#witness);
    clearLeftovers(dir);
    if (next === 'fold') this.#witness.fold(this.#progress, 'truncate');
    else this.#adopt(prepared, nowMs);
  }

  /** Reserves `block` revisions beyond all that may have been shown, durably, and tells where they start. */
  reserve(block: number): OpenedDatabase {
    const reservedRevision = this.#reserved;
    this.#setMeta('reserved', reservedRevision + block);
    this.#reserved = reservedRevision + block;
    this.#witness.committed(this.#progress);
    const compactedRevision = this.#compacted;
    return { reservedRevision, compactedRevision, findings: this.#findings, damage: listDamage(this.#dir) };
  }

  /** One transaction. When it throws, it was rolled back. */
  apply(batch: AppliedBatch): void {
    let revision = 0;
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      for (const record of batch.records) {
        this.#applyRecord(record);
        revision = record.revision;
      }
      if (batch.reservedRevision !== undefined) this.#setMeta('reserved', batch.reservedRevision);
      this.#compact(batch.compactedRevision, batch.count);
      this.#shrink();
      this.#db.exec('COMMIT');
      this.#revision = Math.max(this.#revision, revision);
      this.#reserved = batch.reservedRevision ?? this.#reserved;
      this.#witness.committed(this.#progress);
    } catch (err) {
      // A full disk has already rolled back.
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      this.#compacted = this.#meta('compacted') ?? 0;
      throw err;
    }
  }

  /** Puts objects into a new store as they are, in one transaction: no history, revisions of their own. `raiseRevision` comes last. */
  importObjects(objects: Iterable<ImportedObject>): void {
    const { put } = this.#statements;
    this.#db.exec('BEGIN IMMEDIATE');
    for (const { key, revision, epoch, value } of objects) {
      put.run(key, revision, 0, apiVersionOfBytes(value), epoch, this.#sealing?.seal(key, value) ?? value);
    }
    this.#db.exec('COMMIT');
    this.#witness.committed(this.#progress);
    if (this.#witness.isFoldDue) this.#witness.fold(this.#progress);
  }

  countObjects(): number {
    return this.#db.prepare('SELECT count(*) AS count FROM objects').get()?.count as number;
  }

  /** Revisions go on behind this one, and everything older is compacted. */
  raiseRevision(raisedTo: number): void {
    this.#raise(raisedTo);
    this.#witness.committed(this.#progress);
  }

  /** Folds the WAL into the file and lets the lock go. */
  close(shownRevision: number, nowMs: number): void {
    try {
      this.#setMeta('reserved', shownRevision);
      this.#reserved = shownRevision;
      this.#snapshots.finish();
      this.#witness.fold(this.#progress, 'truncate');
      // A stop must not take as long as a large file takes to copy.
      if (this.#snapshots.isSmall) this.considerSnapshot(nowMs);
      this.#snapshots.finish();
      this.#sealing?.close();
    } finally {
      this.#db.close();
      this.#witness.close();
      this.#lock.close();
    }
  }

  /** A bounded piece of work that nobody waits for; true where more is left. Between commits. */
  maintain(): boolean {
    if (this.#snapshots.isCopying) this.#snapshots.step();
    else if (this.#witness.isFoldDue) this.#witness.fold(this.#progress);
    return this.#snapshots.isCopying;
  }

  /** After the values were found to open: from now on rows that are not sealed as they would be today are `isResealDue`. */
  beginSealing(): void {
    this.#sealing?.begin();
  }

  /** What is written from now on is sealed under a new key. */
  rotateSealingKey(): void {
    this.#sealing?.rotate();
  }

  get isResealDue(): boolean {
    return this.#sealing?.isDue ?? false;
  }

  /** A bounded number of rows, in one transaction; true where it wrote. */
  reseal(): boolean {
    const wrote = this.#sealing?.step() ?? false;
    if (wrote) this.#witness.committed(this.#progress);
    return wrote;
  }

  /** For quiet moments: makes the evidence of the last commits durable. */
  rest(): void {
    this.#witness.rest();
  }

  /** Begins a snapshot where one is due; `maintain` goes on with it. */
  considerSnapshot(nowMs: number): void {
    this.#snapshots.consider(this.#progress, nowMs);
  }

  get #progress(): Progress {
    return { revision: this.#revision, reserved: this.#reserved };
  }

  /** The file as it is from now on; after a loss, under revisions that nobody has seen, and without history. */
  #adopt({ evidence, judgement, recovery }: Prepared, nowMs: number): void {
    if (recovery === undefined) {
      this.#witness.adopt(this.#progress);
      return;
    }
    const { mark } = evidence.marks;
    const lostAfter = this.#revision;
    const raisedTo = Math.max(this.#reserved, mark?.reserved ?? 0, mark?.revision ?? 0, lostAfter) + REVISION_LEAP;
    writeReport({
      findings: judgement.findings,
      lostAfter,
      lostUpTo: mark?.revision ?? null,
      served: recovery.served,
      raisedTo,
      evidence: recovery.folder,
      time: new Date(nowMs).toISOString(),
    });
    this.#raise(raisedTo);
    this.#witness.adopt(this.#progress);
  }

  /** Whatever was told before is history that nobody has. */
  #raise(raisedTo: number): void {
    this.#db.exec('BEGIN IMMEDIATE; DELETE FROM history');
    this.#setMeta('compacted', raisedTo);
    this.#setMeta('reserved', raisedTo);
    this.#db.exec('COMMIT');
    this.#compacted = raisedTo;
    this.#reserved = raisedTo;
    this.#revision = raisedTo;
  }

  #applyRecord(record: PackedRecord): void {
    const { key, revision, value } = record;
    const { recordReplaced, recordCreated, put, remove } = this.#statements;
    if (record.type === 'ADDED') recordCreated.run(revision, key, record.timeMs, record.epoch);
    else recordReplaced.run(revision, record.type, record.timeMs, key);
    if (value === undefined) remove.run(key);
    else {
      const stored = this.#sealing === undefined ? value : this.#sealing.seal(key, value);
      put.run(key, revision, record.overlaid ? 1 : 0, apiVersionOfBytes(value), record.epoch, stored);
    }
  }

  /** Bounded work: a history that became too long at once goes over the next commits. */
  #compact(upTo: number, added: number): void {
    if (upTo <= this.#compacted) return;
    const { lastToCompact, compact } = this.#statements;
    const last = lastToCompact.get(upTo, added * 2 + COMPACT_MIN_ROWS)?.revision as number | null | undefined;
    if (last === null || last === undefined) return;
    compact.run(last);
    this.#setMeta('compacted', last);
    this.#compacted = last;
  }

  #shrink(): void {
    const free = this.#pragma('freelist_count');
    if (free > MIN_FREE_PAGES && free > this.#pragma('page_count') * MAX_FREE_SHARE) {
      // exec, because a prepared incremental_vacuum frees one page for each step.
      this.#db.exec(`PRAGMA incremental_vacuum(${VACUUM_PAGES})`);
    }
  }

  #pragma(name: 'freelist_count' | 'page_count'): number {
    const statement = name === 'page_count' ? this.#statements.pageCount : this.#statements.freePages;
    return statement.get()?.[name] as number;
  }

  #checkLayout(): void {
    const layout = this.#meta('layout');
    if (layout === undefined) this.#setMeta('layout', LAYOUT_VERSION);
    else if (layout !== LAYOUT_VERSION)
      throw new Error(`state.db has layout ${layout}, this build reads ${LAYOUT_VERSION}`);
  }

  #meta(name: MetaName): number | undefined {
    return this.#statements.selectMeta.get(name)?.value as number | undefined;
  }

  #setMeta(name: MetaName, value: number): void {
    this.#statements.putMeta.run(name, value);
  }
}

type Statements = ReturnType<typeof prepareStatements>;

function prepareStatements(db: DatabaseSync) {
  const prepare = (sql: string): StatementSync => db.prepare(sql);
  return {
    selectMeta: prepare('SELECT value FROM meta WHERE name = ?'),
    putMeta: prepare(
      'INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
    ),
    recordCreated: prepare(
      "INSERT INTO history (revision, type, key, time_ms, previous_revision, epoch) VALUES (?, 'ADDED', ?, ?, 0, ?)",
    ),
    recordReplaced: prepare(
      `INSERT INTO history (revision, type, key, time_ms, previous_revision, epoch, previous)
       SELECT ?, ?, key, ?, revision, epoch, value FROM objects WHERE key = ?`,
    ),
    put: prepare(
      `INSERT INTO objects (key, revision, overlaid, storage_version, epoch, value) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, overlaid = excluded.overlaid,
         storage_version = excluded.storage_version, epoch = excluded.epoch, value = excluded.value`,
    ),
    remove: prepare('DELETE FROM objects WHERE key = ?'),
    lastToCompact: prepare(
      'SELECT max(revision) AS revision FROM (SELECT revision FROM history WHERE revision <= ? ORDER BY revision LIMIT ?)',
    ),
    compact: prepare('DELETE FROM history WHERE revision <= ?'),
    freePages: prepare('PRAGMA freelist_count'),
    pageCount: prepare('PRAGMA page_count'),
  };
}
