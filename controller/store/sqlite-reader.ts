import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { databasePath } from './integrity/inspect.ts';
import type { StoreEventType } from './store.ts';

export interface ObjectRow {
  readonly key: string;
  readonly revision: number;
  readonly overlaid: boolean;
  readonly epoch: number;
  readonly value: Uint8Array;
}

export interface HistoryRow {
  readonly type: StoreEventType;
  readonly key: string;
  readonly revision: number;
  readonly timeMs: number;
  /** What the write replaced; undefined for ADDED. */
  readonly previous: { readonly revision: number; readonly epoch: number; readonly value: Uint8Array } | undefined;
}

/** Rows fetched in one go: fetched one by one they take twice as long, all at once they would lie in memory twice. */
const PAGE_ROWS = 2000;

type ObjectTuple = [string, number, number, number, Uint8Array];
type HistoryTuple = [number, StoreEventType, string, number, number, number, Uint8Array | null];

/**
 * Reads the file at start, in the thread that will serve it, while the disk thread holds the lock: sending 10,000 objects between threads
 * takes longer than reading them here (70-100 ms) and leaves 20 MB more behind in the allocator.
 */
export class SqliteReader {
  readonly #db: DatabaseSync;

  constructor(dir: string) {
    this.#db = new DatabaseSync(databasePath(dir), { readOnly: true });
  }

  /** All live objects in key order. */
  *objects(): Generator<ObjectRow, void, undefined> {
    const columns = 'key, revision, overlaid, epoch, value';
    const page = this.#prepare(`SELECT ${columns} FROM objects WHERE key > ? ORDER BY key LIMIT ${PAGE_ROWS}`);
    for (let rows = pageAfter<ObjectTuple>(page, ''); rows.length > 0; rows = pageAfter(page, rows.at(-1)![0])) {
      for (const row of rows) {
        yield { key: row[0], revision: row[1], overlaid: row[2] === 1, epoch: row[3], value: row[4] };
      }
    }
  }

  get hasHistory(): boolean {
    return this.#db.prepare('SELECT 1 FROM history LIMIT 1').get() !== undefined;
  }

  /** Those up to a revision, newest first. */
  *history(upTo: number): Generator<HistoryRow, void, undefined> {
    const columns = 'revision, type, key, time_ms, previous_revision, epoch, previous';
    const page = this.#prepare(
      `SELECT ${columns} FROM history WHERE revision < ? ORDER BY revision DESC LIMIT ${PAGE_ROWS}`,
    );
    const first = pageAfter<HistoryTuple>(page, upTo + 1);
    for (let rows = first; rows.length > 0; rows = pageAfter(page, rows.at(-1)![0])) {
      for (const [revision, type, key, timeMs, previousRevision, epoch, value] of rows) {
        const previous = value === null ? undefined : { revision: previousRevision, epoch, value };
        yield { type, key, revision, timeMs, previous };
      }
    }
  }

  close(): void {
    this.#db.close();
  }

  /** Rows as arrays: a third of the time of objects, which is part of every start. */
  #prepare(sql: string): StatementSync {
    const statement = this.#db.prepare(sql);
    statement.setReturnArrays(true);
    return statement;
  }
}

function pageAfter<Tuple>(statement: StatementSync, last: string | number): Tuple[] {
  return statement.all(last) as unknown[] as Tuple[];
}
