import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { HistoryEntry, Past, RememberedPast } from './history.ts';
import { type HistoryRow, SqliteReader } from './sqlite-reader.ts';
import type { StoreEvent } from './store.ts';
import { StoredValue, type ValueContext } from './stored-value.ts';

/** Rows that are read in one go: some 5 ms. */
const ROWS_AT_ONCE = 1_000;

export interface SqlitePastOptions {
  readonly dir: string;
  readonly log: Logger;
  readonly values: ValueContext;
  /** Nothing newer had been written when the store was opened. */
  readonly upTo: number;
  /** All objects as they were then. */
  readonly live: ReadonlyMap<string, StoredValue>;
  /** Older values beyond this many bytes are left out. */
  readonly maxBytes: number;
  /** Turns what a row holds into an object. */
  readonly openValue: (key: string, row: NonNullable<HistoryRow['previous']>) => StoredValue;
}

/**
 * The events of the history table. A start need not wait for them: nobody asks for what was before the restart until a client comes back to its
 * watch. What is written meanwhile is newer, and compaction takes only what is compacted already.
 */
export class SqlitePast implements Past {
  readonly #options: SqlitePastOptions;
  readonly #newestFirst: HistoryEntry[] = [];
  #rows: Generator<HistoryRow, void, undefined> | undefined;
  #reader: SqliteReader | undefined;
  /** Goes backwards, row by row. */
  readonly #state: Map<string, StoredValue>;
  #bytes = 0;

  constructor(options: SqlitePastOptions) {
    this.#options = options;
    this.#state = new Map(options.live);
  }

  get upTo(): number {
    return this.#options.upTo;
  }

  read(): RememberedPast | undefined {
    try {
      this.#reader ??= new SqliteReader(this.#options.dir);
      this.#rows ??= this.#reader.history(this.upTo);
      for (let count = 0; count < ROWS_AT_ONCE; count++) {
        const { value: row } = this.#rows.next();
        if (row === undefined) return this.#end(0);
        if (!this.#undo(row)) return this.#end(row.revision);
      }
      return undefined;
    } catch (err) {
      // Watches from before answer 410, and their clients list again.
      this.#options.log.error('the history before the start cannot be read', { reason: describeError(err) });
      this.#newestFirst.length = 0;
      return this.#end(this.upTo);
    }
  }

  close(): void {
    this.#reader?.close();
    this.#reader = undefined;
    this.#state.clear();
  }

  #end(compactedRevision: number): RememberedPast {
    this.close();
    return { entries: this.#newestFirst.reverse(), compactedRevision };
  }

  /** False where the row, and all before it, are of no use. */
  #undo(row: HistoryRow): boolean {
    const { key, revision, timeMs } = row;
    this.#bytes += row.previous?.value.length ?? 0;
    const event = this.#bytes > this.#options.maxBytes ? undefined : this.#eventOf(row, this.#state.get(key));
    if (event === undefined) {
      this.#options.log.warn('older history is not used', { key, revision, bytes: this.#bytes });
      return false;
    }
    this.#newestFirst.push({ event, timeMs });
    if (event.previous === undefined) this.#state.delete(key);
    else this.#state.set(key, event.previous as StoredValue);
    return true;
  }

  /** undefined where the row does not fit the state after it. */
  #eventOf(row: HistoryRow, after: StoredValue | undefined): StoreEvent | undefined {
    const { openValue, values } = this.#options;
    const { type, revision } = row;
    const previous = row.previous === undefined ? undefined : openValue(row.key, row.previous);
    if ((previous === undefined) !== (type === 'ADDED')) return undefined;
    if (type === 'DELETED') {
      if (after !== undefined || previous === undefined) return undefined;
      return { type, revision, object: StoredValue.rebased(previous, revision, values), previous };
    }
    return after?.revision === revision ? { type, revision, object: after, previous } : undefined;
  }
}
