import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { CommitLog } from './commit-log.ts';
import { ExpiryQueue, type VolatilePrefix } from './expiry-queue.ts';
import { DEFAULT_HISTORY_LIMITS, type HistoryLimits } from './history.ts';
import type {
  Snapshot,
  Store,
  StoredObject,
  StoreEvent,
  Watcher,
  WatchOptions,
  WriteDecision,
  WriteOptions,
  WriteResult,
} from './store.ts';
import type { IndexDefinition } from './store-state.ts';
import type { Classifier, ValueContext } from './stored-value.ts';
import { type InitialState, VisibleState } from './visible-state.ts';
import { DEFAULT_PIPELINE_LIMITS, type PipelineLimits, WritePipeline } from './write-pipeline.ts';

/** What every backend's store is told. */
export interface StoreOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Labels and selectable fields of objects that were loaded rather than written. */
  readonly classify: Classifier;
  /** Fields and labels kept in an index; absent: none. */
  readonly indexes?: readonly IndexDefinition[];
  /** Kinds that live in memory alone (Events); absent: none. */
  readonly volatilePrefixes?: readonly VolatilePrefix[];
  readonly historyLimits?: Partial<HistoryLimits>;
  readonly pipelineLimits?: Partial<PipelineLimits>;
  /** Deep-freezes decoded objects: for tests. */
  readonly freezeObjects?: boolean;
  /** Called once when the backend is lost: reads go on, writes are refused; the process had better start again. */
  readonly onBroken?: (err: unknown) => void;
}

export interface CoreParts {
  readonly commitLog: CommitLog;
  readonly values: ValueContext;
  readonly initial: InitialState;
  /** Keys of objects whose durable form is marked as overlaid. */
  readonly overlaid: Set<string>;
  readonly reservedRevision: number;
  /** See `PipelineOptions.defer`. */
  readonly defer: (fn: () => void) => void;
}

/** The store, whatever makes it durable: reads from `VisibleState`, writes through `WritePipeline`. */
export class StoreCore implements Store {
  readonly #view: VisibleState;
  readonly #pipeline: WritePipeline;
  readonly #commitLog: CommitLog;
  readonly #expiry: readonly { readonly prefix: string; readonly queue: ExpiryQueue }[];
  #closing: Promise<void> | undefined;

  constructor(options: StoreOptions, parts: CoreParts) {
    const { clock, log, volatilePrefixes = [] } = options;
    this.#commitLog = parts.commitLog;
    this.#expiry = volatilePrefixes.map(({ prefix, ttlMs }) => ({
      prefix,
      queue: new ExpiryQueue(clock, ttlMs, (key, revision) => this.#expire(key, revision, log)),
    }));
    this.#view = new VisibleState(
      {
        clock,
        indexes: options.indexes ?? [],
        historyLimits: { ...DEFAULT_HISTORY_LIMITS, ...options.historyLimits },
        volatilePrefixes: volatilePrefixes.map(({ prefix }) => prefix),
      },
      parts.initial,
    );
    this.#pipeline = new WritePipeline({
      clock,
      log,
      commitLog: parts.commitLog,
      view: this.#view,
      values: parts.values,
      limits: { ...DEFAULT_PIPELINE_LIMITS, ...options.pipelineLimits },
      isVolatileKey: (key) => this.#expiry.some(({ prefix }) => key.startsWith(prefix)),
      overlaid: parts.overlaid,
      reservedRevision: parts.reservedRevision,
      defer: parts.defer,
      onPublished: (event) => this.#onPublished(event),
      onBroken: (err) => {
        log.error('store backend lost', { err });
        options.onBroken?.(err);
      },
    });
  }

  get revision(): number {
    return this.#view.revision;
  }

  get compactedRevision(): number {
    this.#view.readPast();
    return this.#view.compactedRevision;
  }

  snapshot(): Snapshot {
    return this.#view.snapshot();
  }

  snapshotAt(revision: number): Snapshot {
    return this.#view.snapshotAt(revision);
  }

  waitFor(revision: number, timeoutMs: number): Promise<void> {
    return this.#view.waitFor(revision, timeoutMs);
  }

  write(
    key: string,
    decide: (current: StoredObject | undefined) => WriteDecision,
    options?: WriteOptions,
  ): Promise<WriteResult> {
    return this.#pipeline.write(key, decide, options?.signal);
  }

  watch(options: WatchOptions): Watcher {
    return this.#view.watch(options);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const { queue } of this.#expiry) queue.stop();
    await this.#pipeline.drain();
    await this.#commitLog.close(this.#view.revision);
    this.#view.closeWatches();
  }

  #onPublished(event: StoreEvent): void {
    if (event.type === 'DELETED') return;
    const { key } = event.object;
    for (const { prefix, queue } of this.#expiry) if (key.startsWith(prefix)) queue.written(key, event.revision);
  }

  #expire(key: string, revision: number, log: Logger): void {
    this.write(key, (current) => ({ kind: current?.revision === revision ? 'delete' : 'unchanged' })).catch(
      (err: unknown) => log.warn('expired object stays', { key, reason: describeError(err) }),
    );
  }
}
