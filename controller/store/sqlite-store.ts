import { mkdir } from 'node:fs/promises';
import type { Logger } from '#base/logger.ts';
import type { CommitLog } from './commit-log.ts';
import { DEFAULT_HISTORY_LIMITS } from './history.ts';
import type { PackedRecord } from './packed-records.ts';
import { type LoadedRows, SqliteCommitLog, type WorkerSource } from './sqlite-commit-log.ts';
import type { Store, StoreEvent } from './store.ts';
import { StoreCore, type StoreOptions } from './store-core.ts';
import { StoredValue, type ValueContext } from './stored-value.ts';
import type { HistoryEntry, InitialState } from './visible-state.ts';
import { DEFAULT_PIPELINE_LIMITS } from './write-pipeline.ts';

/** A stored value whose schema epoch is older than ours. */
export interface OutdatedValue {
  readonly key: string;
  /** Canonical JSON of that epoch, without resourceVersion. */
  readonly bytes: Uint8Array;
  readonly epoch: number;
}

export interface SqliteStoreOptions extends StoreOptions {
  /** Directory of the database, made with mode 0700 where absent. */
  readonly dir: string;
  /** Code of the disk thread; absent: the source file beside this one. A bundle must hand it in. */
  readonly worker?: WorkerSource;
  /** Epoch of the schema that canonical bytes are written in; rows carry it. Default 1. */
  readonly schemaEpoch?: number;
  /** Brings an older value to the current canonical form; absent: older values are taken as they are. */
  readonly bringForward?: (value: OutdatedValue) => Uint8Array;
  /** For fault tests: stands between the store and its log. */
  readonly wrapLog?: (log: CommitLog) => CommitLog;
}

/** Opens the durable store of one machine. Rejects when another process uses it, or when the file cannot be read. */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const reserveBlock = options.pipelineLimits?.reserveBlock ?? DEFAULT_PIPELINE_LIMITS.reserveBlock;
  await mkdir(options.dir, { recursive: true, mode: 0o700 });
  const { log, rows } = await SqliteCommitLog.open({
    dir: options.dir,
    worker: options.worker ?? new URL('./sqlite-worker.ts', import.meta.url),
    schemaEpoch: options.schemaEpoch ?? 1,
    reserveBlock,
    maxHistoryBytes: options.historyLimits?.softBytes ?? DEFAULT_HISTORY_LIMITS.softBytes,
  });
  const values: ValueContext = { classify: options.classify, freezeObjects: options.freezeObjects ?? false };
  const loaded = new Loading(options, values).load(rows);
  return new StoreCore(options, {
    commitLog: options.wrapLog?.(log) ?? log,
    values,
    initial: loaded.initial,
    overlaid: loaded.overlaid,
    reservedRevision: rows.reservedRevision + reserveBlock,
    // After the poll phase: what came in with one turn of the loop goes into one transaction.
    defer: (fn) => {
      setImmediate(fn);
    },
  });
}

/** Turns rows into the state that readers see: applies the epoch, rebuilds the events, gives overlaid objects a new revision. */
class Loading {
  readonly #options: SqliteStoreOptions;
  readonly #values: ValueContext;
  readonly #log: Logger;

  constructor(options: SqliteStoreOptions, values: ValueContext) {
    this.#options = options;
    this.#values = values;
    this.#log = options.log;
  }

  load(rows: LoadedRows): { readonly initial: InitialState; readonly overlaid: Set<string> } {
    const live = new Map<string, StoredValue>();
    for (const row of rows.objects) live.set(row.key, this.#value(row, row.revision));
    const { history, compactedRevision } = this.#rebuildHistory(rows, new Map(live));
    const overlaid = new Set(rows.objects.filter((row) => row.overlaid).map((row) => row.key));
    const revision = this.#raiseOverlaid({ live, overlaid, history, after: rows.reservedRevision });
    // SQLite sorts by bytes, the map by UTF-16 units; they differ only beyond the basic plane.
    const objects = [...live.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    return { initial: { revision, objects, history, compactedRevision }, overlaid };
  }

  /** Goes from the live state backwards, undoing row by row, and collects the events on the way. */
  #rebuildHistory(
    rows: LoadedRows,
    state: Map<string, StoredValue>,
  ): { readonly history: HistoryEntry[]; readonly compactedRevision: number } {
    const history: HistoryEntry[] = [];
    let compactedRevision = rows.compactedRevision;
    for (const row of rows.history) {
      const event = this.#eventOf(row, state.get(row.key));
      if (event === undefined) {
        this.#log.error('history does not fit the objects; older watches must list again', {
          key: row.key,
          revision: row.revision,
        });
        compactedRevision = Math.max(compactedRevision, row.revision);
        break;
      }
      history.push({ event, timeMs: row.timeMs });
      if (event.previous === undefined) state.delete(row.key);
      else state.set(row.key, event.previous as StoredValue);
    }
    return { history: history.reverse(), compactedRevision };
  }

  #eventOf(row: PackedRecord, after: StoredValue | undefined): StoreEvent | undefined {
    const { type, revision } = row;
    const previous = row.value === undefined ? undefined : this.#value(row, row.previousRevision);
    if ((previous === undefined) !== (type === 'ADDED')) return undefined;
    if (type === 'DELETED') {
      if (after !== undefined || previous === undefined) return undefined;
      return { type, revision, object: StoredValue.rebased(previous, revision, this.#values), previous };
    }
    return after?.revision === revision ? { type, revision, object: after, previous } : undefined;
  }

  /** Volatile updates of these were lost: whoever saw them is told the durable fields again. Returns the newest revision. */
  #raiseOverlaid(context: {
    readonly live: Map<string, StoredValue>;
    readonly overlaid: ReadonlySet<string>;
    readonly history: HistoryEntry[];
    readonly after: number;
  }): number {
    let revision = context.after;
    const timeMs = this.#options.clock.now();
    for (const key of context.overlaid) {
      const previous = context.live.get(key)!;
      revision += 1;
      const object = StoredValue.rebased(previous, revision, this.#values);
      context.live.set(key, object);
      context.history.push({ event: { type: 'MODIFIED', revision, object, previous }, timeMs });
    }
    return revision;
  }

  #value(row: PackedRecord, revision: number): StoredValue {
    const { key, epoch } = row;
    const { bringForward, schemaEpoch = 1 } = this.#options;
    const stored = row.value!;
    const bytes =
      epoch < schemaEpoch && bringForward !== undefined ? bringForward({ key, bytes: stored, epoch }) : stored;
    return StoredValue.loaded({ key, revision }, bytes, this.#values);
  }
}
