import { ApiError, tooManyRequests } from '#api/object/api-error.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { type CommitLog, DiskFullError, type DurableWrite, LogBrokenError } from './commit-log.ts';
import { PendingHeads } from './pending-heads.ts';
import type { NewValue, StoredObject, StoreEvent, StoreEventType, WriteDecision, WriteResult } from './store.ts';
import { StoredValue, type ValueContext } from './stored-value.ts';
import type { VisibleState } from './visible-state.ts';
import { WriteAttempt } from './write-attempt.ts';

export interface PipelineLimits {
  /** Writes, and refusals that wait for one, which may be on their way to the disk at a time. */
  readonly maxQueuedWrites: number;
  readonly maxQueuedBytes: number;
  readonly maxObjectBytes: number;
  /**
   * Revisions left free before each batch, for the volatile writes that go on while it is written: a batch must carry its final
   * revisions to the disk, and events must grow. 1,000 nodes renew and report 6,000 times in 30 s; at 1,000 batches a second and
   * 10,000 each, 2^53 is reached after 28 years. Where the gap is used up, volatile writes wait for the batch.
   */
  readonly volatileGap: number;
  /** Revisions reserved ahead on disk, so that none shown by a volatile write is given out again after a restart. */
  readonly reserveBlock: number;
}

export const DEFAULT_PIPELINE_LIMITS: PipelineLimits = {
  maxQueuedWrites: 5_000,
  maxQueuedBytes: 48 * 2 ** 20,
  maxObjectBytes: 1.5 * 2 ** 20,
  volatileGap: 10_000,
  reserveBlock: 1_000_000,
};

export interface PipelineOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly commitLog: CommitLog;
  readonly view: VisibleState;
  readonly values: ValueContext;
  readonly limits: PipelineLimits;
  /** True for keys of kinds that live in memory alone. */
  readonly isVolatileKey: (key: string) => boolean;
  /** Objects that may be updated in memory: their durable form says so (see `DurableWrite.overlaid`). */
  readonly overlaid: Set<string>;
  /** Durable promise: no revision up to this one is given out after a restart. */
  readonly reservedRevision: number;
  /** Runs `fn` soon, when what arrived together has been accepted. */
  readonly defer: (fn: () => void) => void;
  /** After an event became visible. */
  readonly onPublished: (event: StoreEvent) => void;
  /** The log broke: nothing can be written until the process starts again. */
  readonly onBroken: (err: unknown) => void;
}

/** An accepted write that is not visible yet. */
interface PendingWrite {
  readonly attempt: WriteAttempt;
  readonly type: StoreEventType;
  readonly revision: number;
  readonly before: StoredObject | undefined;
  /** undefined: deleted. */
  readonly after: StoredObject | undefined;
  /** For the event and the answer: `after`, or the last state with the deletion's revision. */
  readonly shown: StoredObject;
  readonly value: NewValue | undefined;
  /** False: only waits for its turn, nothing of it goes to the log. */
  readonly durable: boolean;
  readonly overlaid: boolean;
  /** Answers that depend on this write: given when it is durable, decided again when it fails. */
  readonly followers: { readonly attempt: WriteAttempt; readonly settle: () => void }[];
}

/**
 * From decision to visibility. Accepted writes form a batch; one batch at a time is in flight to the log; when it is durable its writes
 * become visible in revision order. Decisions run against the *pending head* of their key: the newest accepted write, visible or not.
 *
 * Invariants: revisions in flight < revisions forming; every visible revision < every pending one; `#pending` maps a key to its newest
 * pending write, whose `before` is the one before it.
 */
export class WritePipeline {
  readonly #options: PipelineOptions;
  readonly #pending = new PendingHeads<PendingWrite>();
  #forming: PendingWrite[] = [];
  /** The batch at the log or being made visible; its first element is the next to become visible. */
  #flight: PendingWrite[] = [];
  #isFlying = false;
  #lastAssigned: number;
  #reserved: number;
  #queuedWrites = 0;
  #queuedBytes = 0;
  #flushScheduled = false;
  #closed: ApiError | undefined;
  readonly #idleWaiters: (() => void)[] = [];

  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#lastAssigned = options.view.revision;
    this.#reserved = options.reservedRevision;
  }

  write(
    key: string,
    decide: (current: StoredObject | undefined) => WriteDecision,
    signal?: AbortSignal,
  ): Promise<WriteResult> {
    return new Promise((resolve, reject) => {
      const attempt = new WriteAttempt({ key, decide, resolve, reject, signal });
      if (this.#closed !== undefined) attempt.reject(this.#closed);
      else if (!attempt.settled) this.#run(attempt);
    });
  }

  /** Refuses new writes and resolves when nothing is on its way any more. */
  async drain(): Promise<void> {
    this.#closed ??= new ApiError(503, 'ServiceUnavailable', 'the store is closing');
    if (this.#isFlying || this.#forming.length > 0)
      await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  #run(attempt: WriteAttempt): void {
    const head = this.#pending.get(attempt.key);
    const current = head === undefined ? this.#options.view.get(attempt.key) : head.after;
    let decision: WriteDecision;
    try {
      decision = attempt.decide(current);
    } catch (err) {
      this.#settleAfter(head, attempt, () => attempt.reject(err));
      return;
    }
    if (decision.kind === 'unchanged' || (decision.kind === 'delete' && current === undefined)) {
      const revision = current?.revision ?? this.#options.view.revision;
      this.#settleAfter(head, attempt, () => attempt.resolve({ revision, object: current, changed: false }));
      return;
    }
    if (decision.kind === 'delete') this.#accept(attempt, current, undefined);
    else if (decision.value.bytes.length > this.#options.limits.maxObjectBytes)
      attempt.reject(this.#tooLarge(decision.value));
    else this.#accept(attempt, current, decision.value);
  }

  #accept(attempt: WriteAttempt, before: StoredObject | undefined, value: NewValue | undefined): void {
    const { key } = attempt;
    const marked = this.#options.overlaid.has(key);
    const wantsOverlay = value?.durability === 'volatile';
    const isVolatile = this.#options.isVolatileKey(key) || (wantsOverlay && marked);
    const immediate = isVolatile && !this.#pending.has(key) ? this.#takeVolatileRevision() : undefined;
    const size = value?.bytes.length ?? 0;
    if (immediate === undefined && !this.#hasRoom(size)) {
      attempt.reject(tooManyRequests('the write queue is full, please try again later', 1));
      return;
    }
    const revision = immediate ?? this.#takeRevision();
    const { values } = this.#options;
    const after = value === undefined ? undefined : StoredValue.written({ key, revision }, value, values);
    const pending: PendingWrite = {
      attempt,
      type: after === undefined ? 'DELETED' : before === undefined ? 'ADDED' : 'MODIFIED',
      revision,
      before,
      after,
      shown: after ?? StoredValue.rebased(before!, revision, values),
      value,
      durable: !isVolatile,
      overlaid: marked || wantsOverlay,
      followers: [],
    };
    if (immediate !== undefined) {
      this.#publish(pending);
      return;
    }
    this.#queuedWrites += 1;
    this.#queuedBytes += size;
    this.#pending.set(key, pending);
    this.#forming.push(pending);
    this.#scheduleFlush();
  }

  /** An answer that was found against `head` may be given once that is durable. */
  #settleAfter(head: PendingWrite | undefined, attempt: WriteAttempt, settle: () => void): void {
    if (head === undefined) settle();
    else if (!this.#hasRoom(0)) attempt.reject(tooManyRequests('the write queue is full, please try again later', 1));
    else {
      this.#queuedWrites += 1;
      head.followers.push({ attempt, settle });
    }
  }

  #hasRoom(size: number): boolean {
    const { maxQueuedWrites, maxQueuedBytes } = this.#options.limits;
    return this.#queuedWrites < maxQueuedWrites && this.#queuedBytes + size <= maxQueuedBytes;
  }

  /** A revision below everything pending, or undefined where none is free: then the write waits its turn. */
  #takeVolatileRevision(): number | undefined {
    const next = this.#options.view.revision + 1;
    const firstPending = (this.#flight[0] ?? this.#forming[0])?.revision ?? Number.POSITIVE_INFINITY;
    if (next + this.#options.limits.reserveBlock / 2 > this.#reserved) this.#scheduleFlush();
    if (next >= firstPending || next > this.#reserved) return undefined;
    this.#lastAssigned = Math.max(this.#lastAssigned, next);
    return next;
  }

  #takeRevision(): number {
    const gap = this.#forming.length === 0 ? this.#options.limits.volatileGap : 0;
    this.#lastAssigned += 1 + gap;
    return this.#lastAssigned;
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#isFlying) return;
    this.#flushScheduled = true;
    this.#options.defer(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#isFlying) return;
    const reservedRevision = this.#reservationDue();
    if (this.#forming.length === 0 && reservedRevision === undefined) {
      for (const resolve of this.#idleWaiters.splice(0)) resolve();
      return;
    }
    this.#flight = this.#forming;
    this.#forming = [];
    this.#isFlying = true;
    const writes = this.#flight.filter((write) => write.durable).map((write) => this.#durableForm(write));
    if (writes.length === 0 && reservedRevision === undefined) {
      this.#onCommitted();
      return;
    }
    const { commitLog, view } = this.#options;
    commitLog.commit({ writes, reservedRevision, compactedRevision: view.compactedRevision }).then(
      () => {
        this.#reserved = reservedRevision ?? this.#reserved;
        this.#onCommitted();
      },
      (err: unknown) => this.#onFailed(err),
    );
  }

  #reservationDue(): number | undefined {
    const { reserveBlock } = this.#options.limits;
    return this.#lastAssigned + reserveBlock / 2 > this.#reserved ? this.#lastAssigned + reserveBlock : undefined;
  }

  #durableForm(write: PendingWrite): DurableWrite {
    return {
      type: write.type,
      key: write.attempt.key,
      revision: write.revision,
      timeMs: this.#options.clock.now(),
      overlaid: write.overlaid,
      value: write.value?.bytes,
    };
  }

  #onCommitted(): void {
    const batch = this.#flight;
    for (let at = 0; at < batch.length; at++) {
      const write = batch[at]!;
      this.#flight = batch.slice(at + 1, at + 2);
      this.#forget(write);
      this.#publish(write);
      for (const follower of write.followers) follower.settle();
    }
    this.#isFlying = false;
    this.#flush();
  }

  #forget(write: PendingWrite): void {
    this.#pending.forget(write.attempt.key, write);
    this.#queuedWrites -= 1 + write.followers.length;
    this.#queuedBytes -= write.value?.bytes.length ?? 0;
  }

  #publish(write: PendingWrite): void {
    const { view, overlaid, onPublished } = this.#options;
    const { attempt, type, revision, before, shown } = write;
    if (type === 'DELETED') overlaid.delete(attempt.key);
    else if (write.overlaid) overlaid.add(attempt.key);
    const event: StoreEvent = { type, revision, object: shown, previous: before };
    view.publish(event);
    onPublished(event);
    attempt.resolve({ revision, object: shown, changed: true });
  }

  /** Fails the batch, and decides again whatever was decided on top of it. */
  #onFailed(err: unknown): void {
    const failed = this.#flight;
    const forming = this.#forming;
    this.#flight = [];
    this.#forming = [];
    this.#isFlying = false;
    this.#pending.clear();
    this.#queuedWrites = 0;
    this.#queuedBytes = 0;
    if (err instanceof LogBrokenError) {
      this.#breakDown(err, [...failed, ...forming]);
      return;
    }
    // A full disk fails every write: whoever measures the log tells of it once.
    if (!(err instanceof DiskFullError)) this.#options.log.error('commit failed', { err, writes: failed.length });
    const refusal = refusalFor(err);
    for (const write of failed) write.attempt.reject(refusal);
    const again = failed.flatMap((write) => write.followers.map((follower) => follower.attempt));
    for (const write of forming)
      if (!this.#keep(write)) again.push(write.attempt, ...write.followers.map((f) => f.attempt));
    again.sort((a, b) => a.order - b.order);
    for (const attempt of again) if (!attempt.settled) this.#run(attempt);
    this.#scheduleFlush();
  }

  /** Keeps a forming write whose base still stands after a failure. */
  #keep(write: PendingWrite): boolean {
    const { key } = write.attempt;
    const head = this.#pending.get(key);
    const current = head === undefined ? this.#options.view.get(key) : head.after;
    if (current !== write.before) return false;
    this.#pending.set(key, write);
    this.#forming.push(write);
    this.#queuedWrites += 1 + write.followers.length;
    this.#queuedBytes += write.value?.bytes.length ?? 0;
    return true;
  }

  #breakDown(err: LogBrokenError, lost: readonly PendingWrite[]): void {
    this.#closed = new ApiError(
      503,
      'ServiceUnavailable',
      'the store has failed and must be started again',
      undefined,
      { cause: err },
    );
    const unknown = new ApiError(
      504,
      'Timeout',
      'the store failed while it wrote: the fate of this write is unknown',
      undefined,
      { cause: err },
    );
    for (const write of lost) {
      write.attempt.reject(unknown);
      for (const follower of write.followers) follower.attempt.reject(unknown);
    }
    for (const resolve of this.#idleWaiters.splice(0)) resolve();
    this.#options.onBroken(err);
  }

  #tooLarge(value: NewValue): ApiError {
    const limit = this.#options.limits.maxObjectBytes;
    return new ApiError(
      413,
      'RequestEntityTooLarge',
      `the object is too large: ${value.bytes.length} bytes, the limit is ${limit}`,
    );
  }
}

/** Nothing was stored. */
function refusalFor(err: unknown): ApiError {
  const options = { cause: err };
  if (err instanceof DiskFullError) {
    const message =
      'the disk of the controller is full: nothing was stored. Reads go on; writes do once there is room on it';
    return new ApiError(507, 'InsufficientStorage', message, undefined, options);
  }
  const message = `Internal error occurred: the write was not stored: ${describeError(err)}`;
  return new ApiError(500, 'InternalError', message, undefined, options);
}
