import { mkdir } from 'node:fs/promises';
import type { CommitLog } from './commit-log.ts';
import type { DiskGate } from './disk-gate.ts';
import { DEFAULT_HISTORY_LIMITS, type HistoryEntry } from './history.ts';
import { type DamageReport, describeDamage } from './integrity/recover.ts';
import { KeyRing } from './seal/key-ring.ts';
import type { SealingPlan } from './seal/sealing-plan.ts';
import { PlannedSealer, type ValueSealer } from './seal/value-sealer.ts';
import { SqliteCommitLog, type WorkerSource } from './sqlite-commit-log.ts';
import type { OpenedDatabase } from './sqlite-database.ts';
import { SqlitePast, type SqlitePastOptions } from './sqlite-past.ts';
import { SqliteReader } from './sqlite-reader.ts';
import type { Store } from './store.ts';
import { StoreCore, type StoreOptions } from './store-core.ts';
import { StoredValue, type ValueContext } from './stored-value.ts';
import type { InitialState } from './visible-state.ts';
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
  /** Losses that were found, now or by an earlier start that nobody has put to rest. */
  readonly onDamage?: (reports: readonly DamageReport[]) => void;
  /** Work that no write waits for has failed for good: a snapshot found a page that is not what was written. */
  readonly onTrouble?: (message: string) => void;
  /** What is sealed on disk; absent: nothing. In memory all values are open. */
  readonly sealing?: SealingPlan;
  /** Given the way to have a new key seal what is written from now on. */
  readonly onSealing?: (rotate: () => void) => void;
  /** For fault tests: every fsync passes here. */
  readonly gate?: DiskGate;
  /** Stands between the store and its log: to measure it, and for fault tests. */
  readonly wrapLog?: (log: CommitLog) => CommitLog;
}

/** Opens the durable store of one machine. Rejects when another process uses it, or when the file cannot be read. */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const reserveBlock = options.pipelineLimits?.reserveBlock ?? DEFAULT_PIPELINE_LIMITS.reserveBlock;
  await mkdir(options.dir, { recursive: true, mode: 0o700 });
  const { log, ...opened } = await SqliteCommitLog.open({
    dir: options.dir,
    worker: options.worker ?? new URL('./sqlite-worker.ts', import.meta.url),
    schemaEpoch: options.schemaEpoch ?? 1,
    reserveBlock,
    gate: options.gate,
    sealing: options.sealing,
    onTrouble: ({ message, isDiskFull }) => {
      options.log.error('the disk thread could not do its chores', { reason: message });
      if (!isDiskFull) options.onTrouble?.(message);
    },
  });
  reportFindings(options, opened);
  try {
    const values: ValueContext = { classify: options.classify, freezeObjects: options.freezeObjects ?? false };
    const loading = new Loading(options, values);
    const initial = loading.load(opened);
    log.notify({ kind: 'begin-sealing' });
    options.onSealing?.(() => log.notify({ kind: 'rotate-sealing-key' }));
    return new StoreCore(options, {
      commitLog: options.wrapLog?.(log) ?? log,
      values,
      initial,
      overlaid: loading.overlaid,
      reservedRevision: opened.reservedRevision + reserveBlock,
      // After the poll phase: what came in with one turn of the loop goes into one transaction.
      defer: (fn) => {
        setImmediate(fn);
      },
    });
  } catch (err) {
    await log.abandon();
    throw err;
  }
}

function reportFindings({ log, onDamage }: SqliteStoreOptions, { findings, damage }: OpenedDatabase): void {
  if (findings.length > 0) log.warn('the store was damaged without a loss', { findings });
  for (const report of damage) log.error('the store has lost data', { reason: describeDamage(report), ...report });
  if (damage.length > 0) onDamage?.(damage);
}

/** Turns rows into the state that readers see: applies the epoch, gives overlaid objects a new revision. */
class Loading {
  /** Keys of objects that may be updated in memory. */
  readonly overlaid = new Set<string>();
  readonly #options: SqliteStoreOptions;
  readonly #values: ValueContext;
  readonly #live = new Map<string, StoredValue>();

  constructor(options: SqliteStoreOptions, values: ValueContext) {
    this.#options = options;
    this.#values = values;
  }

  load(opened: OpenedDatabase): InitialState {
    const reader = new SqliteReader(this.#options.dir);
    const openValue = this.#opener();
    let hasPast = false;
    try {
      hasPast = reader.hasHistory;
      for (const row of reader.objects()) {
        this.#live.set(row.key, openValue(row.key, row));
        if (row.overlaid) this.overlaid.add(row.key);
      }
    } finally {
      reader.close();
    }
    const past = hasPast ? { past: this.#past(opened.reservedRevision) } : {};
    const history = this.#raiseOverlaid(opened.reservedRevision);
    const revision = history.at(-1)?.event.revision ?? opened.reservedRevision;
    // SQLite sorts by bytes, the map by UTF-16 units; they differ only beyond the basic plane.
    const objects = [...this.#live.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    return { revision, objects, history, ...past, compactedRevision: opened.compactedRevision };
  }

  #past(upTo: number): SqlitePast {
    const { dir, log, historyLimits } = this.#options;
    let opener: SqlitePastOptions['openValue'] | undefined;
    return new SqlitePast({
      dir,
      log,
      values: this.#values,
      upTo,
      live: this.#live,
      maxBytes: historyLimits?.softBytes ?? DEFAULT_HISTORY_LIMITS.softBytes,
      openValue: (key, row) => {
        // Not before: values may be sealed anew, under a key that was made after the start.
        opener ??= this.#opener();
        return opener(key, row);
      },
    });
  }

  /** Volatile updates of these were lost: whoever saw them is told the durable fields again, under revisions beyond `after`. */
  #raiseOverlaid(after: number): HistoryEntry[] {
    const timeMs = this.#options.clock.now();
    return [...this.overlaid].map((key, i) => {
      const previous = this.#live.get(key)!;
      const revision = after + 1 + i;
      const object = StoredValue.rebased(previous, revision, this.#values);
      this.#live.set(key, object);
      return { event: { type: 'MODIFIED', revision, object, previous }, timeMs };
    });
  }

  #opener() {
    const { bringForward, schemaEpoch = 1, sealing } = this.#options;
    const sealer: ValueSealer | undefined =
      sealing && new PlannedSealer(sealing, new KeyRing({ path: sealing.ringPath }));
    return (key: string, row: { readonly revision: number; readonly epoch: number; readonly value: Uint8Array }) => {
      const { revision, epoch } = row;
      const value = sealer?.open(key, row.value) ?? row.value;
      const isOutdated = epoch < schemaEpoch && bringForward !== undefined;
      const bytes = isOutdated ? bringForward({ key, bytes: value, epoch }) : value;
      return StoredValue.loaded({ key, revision }, bytes, this.#values);
    };
  }
}
