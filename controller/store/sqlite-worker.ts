/** The disk thread: owns the SQLite file, so that an fsync blocks nobody else. Built as a bundle of its own where there are no sources. */
import { parentPort } from 'node:worker_threads';
import type { DiskAnswer, DiskRequest } from './disk-protocol.ts';
import { unpackRecords } from './packed-records.ts';
import { SqliteDatabase } from './sqlite-database.ts';

/** Primary result codes after which the transaction was rolled back cleanly: BUSY, NOMEM, FULL. After an I/O error nobody knows. */
const RECOVERABLE_CODES = new Set([5, 7, 13]);

if (parentPort === null) throw new Error('sqlite-worker runs as a worker thread');
const port = parentPort;
let database: SqliteDatabase | undefined;

port.on('message', (request: DiskRequest) => {
  try {
    answer(perform(request));
  } catch (err) {
    answer(failureOf(err));
  }
});

function perform(request: DiskRequest): DiskAnswer {
  switch (request.kind) {
    case 'open': {
      database = new SqliteDatabase(request.dir);
      return { kind: 'opened', ...database.reserve(request.reserveBlock) };
    }
    case 'commit':
      opened().apply({ ...request, records: unpackRecords(request.buffer, request.length) });
      return { kind: 'committed' };
    case 'close':
      opened().close(request.shownRevision);
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
