import { DatabaseSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';
import { type CommitBatch, type CommitLog, DiskFullError, LogBrokenError } from './commit-log.ts';
import type { DiskGate } from './disk-gate.ts';
import type { DiskAnswer, DiskNotice, DiskRequest } from './disk-protocol.ts';
import { databasePath } from './integrity/inspect.ts';
import { packRecords } from './packed-records.ts';
import type { SealingPlan } from './seal/sealing-plan.ts';
import type { OpenedDatabase } from './sqlite-database.ts';

/** Where the disk thread's code is: a file (from sources), or the text of its bundle (single executable). */
export type WorkerSource = URL | { readonly source: string };

/** What went wrong in work that no commit waits for. */
export interface DiskTrouble {
  readonly message: string;
  /** It is tried again, and the commits tell of it. */
  readonly isDiskFull: boolean;
}

export interface SqliteLogOptions {
  /** Directory of the database; must exist. */
  readonly dir: string;
  readonly worker: WorkerSource;
  readonly schemaEpoch: number;
  readonly reserveBlock: number;
  /** Told of failures in work that no commit waits for, such as snapshots. */
  readonly onTrouble: (trouble: DiskTrouble) => void;
  readonly gate: DiskGate | undefined;
  readonly sealing: SealingPlan | undefined;
}

/** The thread keeps nothing: what it is sent lies outside its heap. */
const resourceLimits = { maxYoungGenerationSizeMb: 3 };

interface Waiter {
  readonly resolve: (answer: DiskAnswer) => void;
  readonly reject: (err: Error) => void;
}

/** The store's side of the disk thread: one request at a time, packed buffers both ways. */
export class SqliteCommitLog implements CommitLog {
  readonly #worker: Worker;
  readonly #schemaEpoch: number;
  readonly #onTrouble: (trouble: DiskTrouble) => void;
  #keeper: DatabaseSync | undefined;
  #waiter: Waiter | undefined;
  #broken: LogBrokenError | undefined;

  private constructor(options: SqliteLogOptions) {
    const { worker } = options;
    this.#schemaEpoch = options.schemaEpoch;
    this.#onTrouble = options.onTrouble;
    this.#worker =
      worker instanceof URL
        ? new Worker(worker, { name: 'disk', resourceLimits })
        : new Worker(worker.source, { name: 'disk', resourceLimits, eval: true });
    this.#worker.on('message', (answer: DiskAnswer) => this.#onAnswer(answer));
    this.#worker.on('error', (err) => this.#break('the disk thread failed', err));
    this.#worker.on('exit', (code) => this.#break(`the disk thread ended with code ${code}`));
  }

  /** Starts the thread, which takes the lock; rejects when the database cannot be opened. */
  static async open(options: SqliteLogOptions): Promise<{ readonly log: SqliteCommitLog } & OpenedDatabase> {
    const log = new SqliteCommitLog(options);
    try {
      const { dir, reserveBlock, gate, sealing } = options;
      await log.#call({ kind: 'open', dir, gate: gate?.memory, sealing });
      log.#keeper = openKeeper(dir);
      const answer = await log.#call({ kind: 'reserve', block: reserveBlock });
      if (answer.kind !== 'reserved') throw new Error(`unexpected answer ${answer.kind} of the disk thread`);
      const { kind: _, ...opened } = answer;
      return { log, ...opened };
    } catch (err) {
      await log.abandon();
      throw err;
    }
  }

  async commit(batch: CommitBatch): Promise<void> {
    const { buffer, length } = packRecords(batch.writes, this.#schemaEpoch);
    const { reservedRevision, compactedRevision } = batch;
    await this.#call(
      { kind: 'commit', buffer, length, count: batch.writes.length, reservedRevision, compactedRevision },
      [buffer],
    );
  }

  /** Tells the thread something; what becomes of it is trouble, or nothing. */
  notify(notice: DiskNotice): void {
    if (this.#broken === undefined) this.#worker.postMessage(notice);
  }

  async close(shownRevision: number): Promise<void> {
    if (this.#broken === undefined) await this.#call({ kind: 'close', shownRevision });
    this.#broken ??= new LogBrokenError('the store is closed');
    await this.abandon();
  }

  /** Ends the thread as a crash would: whatever is not committed is lost. */
  async abandon(): Promise<void> {
    await this.#worker.terminate();
    this.#keeper?.close();
    this.#keeper = undefined;
  }

  #call(request: DiskRequest, transfer: ArrayBuffer[] = []): Promise<DiskAnswer> {
    if (this.#broken !== undefined) return Promise.reject(this.#broken);
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
      this.#worker.postMessage(request, transfer);
    });
  }

  #onAnswer(answer: DiskAnswer): void {
    if (answer.kind === 'trouble') {
      this.#onTrouble(answer);
      return;
    }
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (answer.kind !== 'failed') waiter?.resolve(answer);
    else if (isFull(answer)) waiter?.reject(new DiskFullError(answer.message));
    else if (answer.recoverable) waiter?.reject(new Error(answer.message));
    else {
      this.#broken = new LogBrokenError(answer.message);
      waiter?.reject(this.#broken);
    }
  }

  #break(message: string, cause?: unknown): void {
    this.#broken ??= new LogBrokenError(message, { cause });
    this.#waiter?.reject(this.#broken);
    this.#waiter = undefined;
  }
}

const SQLITE_FULL = 13;

/** The primary result code is the lowest byte. */
const isFull = ({ errcode }: Extract<DiskAnswer, { kind: 'failed' }>) => ((errcode ?? 0) & 0xff) === SQLITE_FULL;

/**
 * A reader that never reads again. As long as it has the file open, SQLite neither folds nor deletes the WAL when the writing connection is
 * closed, which happens without our doing when its thread is ended; and whatever changes the file must first leave its evidence. Being
 * in this thread, it outlives the writer.
 */
function openKeeper(dir: string): DatabaseSync {
  const keeper = new DatabaseSync(databasePath(dir), { readOnly: true });
  keeper.exec('SELECT 1 FROM meta');
  return keeper;
}
