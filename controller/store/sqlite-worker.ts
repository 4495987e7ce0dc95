/** The disk thread: owns the SQLite file, so that an fsync blocks nobody else. Built as a bundle of its own where there are no sources. */
import { fsyncSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { DiskGate } from './disk-gate.ts';
import type { DiskAnswer, DiskNotice, DiskRequest } from './disk-protocol.ts';
import { unpackRecords } from './packed-records.ts';
import { SqliteDatabase } from './sqlite-database.ts';

/** Primary result codes after which the transaction was rolled back cleanly: BUSY, NOMEM, FULL. After an I/O error nobody knows. */
const RECOVERABLE_CODES = new Set([5, 7, 13]);

const SQLITE_FULL = 13;

if (parentPort === null) throw new Error('sqlite-worker runs as a worker thread');
const port = parentPort;
let database: SqliteDatabase | undefined;
let gate: DiskGate | undefined;

/** So long after the last commit its evidence is made durable too: a busy disk is not asked twice, an idle one not at all. */
const REST_AFTER_MS = 1_000;
/** Asks no disk where nothing was written. */
const SNAPSHOT_CHECK_MS = 60_000;
/** Between two steps of sealing old values anew. */
const RESEAL_EVERY_MS = 1_000;

port.on('message', (request: DiskRequest | DiskNotice) => {
  if (request.kind === 'begin-sealing' || request.kind === 'rotate-sealing-key') {
    attempt((db) => (request.kind === 'begin-sealing' ? db.beginSealing() : db.rotateSealingKey()));
    resealSoon();
    return;
  }
  try {
    answer(perform(request));
    if (request.kind === 'commit') afterCommit();
  } catch (err) {
    answer(failureOf(err));
  }
});

// Nothing here keeps the thread alive: that is the port's.
const resting = setTimeout(() => {
  attempt((db) => db.rest());
  considerSnapshot();
}, REST_AFTER_MS).unref();
setInterval(considerSnapshot, SNAPSHOT_CHECK_MS).unref();

function considerSnapshot(): void {
  attempt((db) => db.considerSnapshot(Date.now()));
  maintain();
}

function afterCommit(): void {
  resting.refresh();
  maintain();
  resealSoon();
}

let resealing: NodeJS.Timeout | undefined;

function resealSoon(): void {
  if (resealing !== undefined || database?.isResealDue !== true) return;
  resealing = setTimeout(() => {
    resealing = undefined;
    attempt((db) => {
      gate?.pass();
      if (!db.reseal()) return;
      resting.refresh();
      maintain();
    });
    resealSoon();
  }, RESEAL_EVERY_MS).unref();
}

/** The answer is out, so that the next commit alone can be held up by this. */
function maintain(): void {
  attempt((db) => {
    if (db.maintain()) setImmediate(maintain);
  });
}

/** A full disk is told of no more often. */
const FULL_EVERY_MS = 60_000;
let toldFullMs = 0;

/** By SQLite's word or by that of the system. */
function isFull(err: unknown): boolean {
  const { errcode, code } = err as { readonly errcode?: number; readonly code?: unknown };
  return code === 'ENOSPC' || ((errcode ?? 0) & 0xff) === SQLITE_FULL;
}

function attempt(work: (db: SqliteDatabase) => void): void {
  if (database === undefined) return;
  try {
    work(database);
  } catch (err) {
    const isDiskFull = isFull(err);
    // Each commit tries again.
    if (isDiskFull && Date.now() - toldFullMs < FULL_EVERY_MS) return;
    if (isDiskFull) toldFullMs = Date.now();
    answer({ kind: 'trouble', message: err instanceof Error ? describe(err) : String(err), isDiskFull });
  }
}

function perform(request: DiskRequest): DiskAnswer {
  switch (request.kind) {
    case 'open': {
      gate = request.gate && new DiskGate(request.gate);
      database = new SqliteDatabase({
        dir: request.dir,
        nowMs: Date.now(),
        sealing: request.sealing,
        sync: (fd) => {
          gate?.pass();
          fsyncSync(fd);
        },
      });
      return { kind: 'opened' };
    }
    case 'reserve':
      return { kind: 'reserved', ...opened().reserve(request.block) };
    case 'commit':
      gate?.pass();
      opened().apply({ ...request, records: unpackRecords(request.buffer, request.length) });
      return { kind: 'committed' };
    case 'close':
      opened().close(request.shownRevision, Date.now());
      database = undefined;
      return { kind: 'closed' };
  }
}

function opened(): SqliteDatabase {
  if (database === undefined) throw new Error('the database is not open');
  return database;
}

function failureOf(err: unknown): DiskAnswer {
  const errcode = (err as { errcode?: number }).errcode;
  return {
    kind: 'failed',
    message: err instanceof Error ? describe(err) : String(err),
    errcode,
    recoverable: errcode !== undefined && RECOVERABLE_CODES.has(errcode & 0xff),
  };
}

function describe(err: Error): string {
  return err.cause instanceof Error ? `${err.message}: ${err.cause.message}` : err.message;
}

function answer(message: DiskAnswer): void {
  port.postMessage(message);
}
