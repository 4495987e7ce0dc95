import { ApiError, resourceExpired } from '#api/object/api-error.ts';
import type { Clock } from '#base/clock.ts';
import { History, type HistoryEntry, type HistoryLimits, type Past } from './history.ts';
import type { StoredObject, StoreEvent, Watcher, WatchOptions } from './store.ts';
import { type IndexDefinition, StateSnapshot, StoreState } from './store-state.ts';
import { matchesField, WatchHub } from './watch-hub.ts';

/** Older snapshots kept for LISTs that go on page by page. */
const CACHED_SNAPSHOTS = 4;

/** So long after the start the past is read, if nobody has asked for it before: the first requests come first. */
const READ_PAST_AFTER_MS = 2_000;

/** What a store knows when it opens. */
export interface InitialState {
  /** Nothing above it was ever shown. */
  readonly revision: number;
  /** In key order. */
  readonly objects: readonly StoredObject[];
  /** In revision order, consistent with `objects`. */
  readonly history: readonly HistoryEntry[];
  /** What came before `history`; absent: nothing. */
  readonly past?: Past;
  readonly compactedRevision: number;
}

export interface VisibleStateOptions {
  readonly clock: Clock;
  readonly indexes: readonly IndexDefinition[];
  readonly historyLimits: HistoryLimits;
  /** Prefixes of which nothing survives a restart: a watch that began before it cannot resume. */
  readonly volatilePrefixes: readonly string[];
}

/** What everybody reads: the newest visible state, its history, the watches, and those who wait for a revision. */
export class VisibleState {
  readonly #options: VisibleStateOptions;
  readonly #hub = new WatchHub();
  #history: History;
  /** The revision at the start: older watches of volatile prefixes have lost events. */
  readonly #openedRevision: number;
  #current: StateSnapshot;
  readonly #older = new Map<number, StateSnapshot>();
  readonly #waiters = new Set<{ readonly revision: number; readonly done: () => void }>();
  /** Events that are visible but not yet handed out: not empty only while a watch's callback runs. */
  readonly #undelivered: StoreEvent[] = [];
  #delivering = false;
  #cancelReading: (() => void) | undefined;

  constructor(options: VisibleStateOptions, initial: InitialState) {
    this.#options = options;
    this.#history = new History(options.historyLimits, initial.compactedRevision, initial.past);
    if (initial.past !== undefined)
      this.#cancelReading = options.clock.after(READ_PAST_AFTER_MS, this.#readPieceOfPast);
    for (const { event, timeMs } of initial.history) this.#history.append(event, timeMs);
    this.#openedRevision = initial.revision;
    this.#current = new StateSnapshot(initial.revision, StoreState.load(initial.objects, options.indexes));
  }

  get revision(): number {
    return this.#current.revision;
  }

  /** May still grow by what is found out when the past is read. */
  get compactedRevision(): number {
    return this.#history.compactedRevision;
  }

  get(key: string): StoredObject | undefined {
    return this.#current.get(key);
  }

  snapshot(): StateSnapshot {
    return this.#current;
  }

  snapshotAt(revision: number): StateSnapshot {
    if (revision > this.revision) throw tooLargeResourceVersion(revision, this.revision);
    this.#history.reach(revision);
    if (revision < this.compactedRevision) {
      throw resourceExpired('The resourceVersion for the provided list is too old.');
    }
    if (revision === this.revision) return this.#current;
    const cached = this.#older.get(revision);
    if (cached !== undefined) return cached;
    const snapshot = new StateSnapshot(revision, this.#history.undoTo(revision, this.#current.state));
    this.#older.set(revision, snapshot);
    for (const oldest of this.#older.keys()) {
      if (this.#older.size <= CACHED_SNAPSHOTS) break;
      this.#older.delete(oldest);
    }
    return snapshot;
  }

  waitFor(revision: number, timeoutMs: number): Promise<void> {
    if (revision <= this.revision) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const waiter = {
        revision,
        done: () => {
          cancel();
          this.#waiters.delete(waiter);
          resolve();
        },
      };
      const cancel = this.#options.clock.after(timeoutMs, () => {
        this.#waiters.delete(waiter);
        reject(tooLargeResourceVersion(revision, this.revision));
      });
      this.#waiters.add(waiter);
    });
  }

  /** Replays the history before it returns. */
  watch(options: WatchOptions): Watcher {
    const { prefix, fromRevision, field } = options;
    this.#history.reach(fromRevision);
    if (fromRevision < this.#oldestResumable(prefix)) {
      throw resourceExpired(`too old resource version: ${fromRevision} (${this.#oldestResumable(prefix)})`);
    }
    const watch = this.#hub.add(options);
    for (const event of this.#history.after(fromRevision)) {
      if (watch.stopped) break;
      if (event.object.key.startsWith(prefix) && matchesField(field, event)) watch.deliver(event);
    }
    watch.seenRevision = Math.max(watch.seenRevision, this.revision);
    return watch;
  }

  /** Makes one write visible and hands its event out. Revisions must grow. */
  publish(event: StoreEvent): void {
    if (event.revision <= this.revision) throw new Error('store: revisions must grow');
    const after = event.type === 'DELETED' ? undefined : event.object;
    const state = this.#current.state.replaced(event.object.key, event.previous, after);
    this.#current = new StateSnapshot(event.revision, state);
    this.#history.append(event, this.#options.clock.now());
    this.#undelivered.push(event);
    this.#deliver();
    this.#wake();
  }

  /** Makes all writes of one revision visible at once, as a foreign transaction or an ended lease brings them. */
  publishTogether(events: readonly StoreEvent[]): void {
    const { revision } = events[0]!;
    if (revision <= this.revision) throw new Error('store: revisions must grow');
    let { state } = this.#current;
    const nowMs = this.#options.clock.now();
    for (const event of events) {
      state = state.replaced(event.object.key, event.previous, event.type === 'DELETED' ? undefined : event.object);
      this.#history.append(event, nowMs);
      this.#undelivered.push(event);
    }
    this.#current = new StateSnapshot(revision, state);
    this.#deliver();
    this.#wake();
  }

  /** Nothing has changed up to `revision`. */
  advance(revision: number): void {
    if (revision <= this.revision) return;
    this.#current = new StateSnapshot(revision, this.#current.state);
    this.#wake();
  }

  /** Begins again from a state that was read anew, perhaps an older one; watches are told that they have lost events. */
  reset(initial: InitialState): void {
    this.#history.close();
    this.#history = new History(this.#options.historyLimits, initial.compactedRevision);
    this.#current = new StateSnapshot(initial.revision, StoreState.load(initial.objects, this.#options.indexes));
    this.#older.clear();
    this.#hub.closeAll('compacted');
    this.#wake();
  }

  closeWatches(): void {
    this.#cancelReading?.();
    this.#history.close();
    this.#hub.closeAll('closed');
  }

  /** All that is left of it, at once. */
  readPast(): void {
    this.#history.reach(0);
  }

  /** Piece by piece, between requests. */
  readonly #readPieceOfPast = (): void => {
    this.#cancelReading = this.#history.readPast() ? undefined : this.#options.clock.after(0, this.#readPieceOfPast);
  };

  /** A callback may write; what that makes visible at once waits until the event at hand has reached everybody. */
  #deliver(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    try {
      for (let event = this.#undelivered.shift(); event !== undefined; event = this.#undelivered.shift()) {
        this.#hub.dispatch(event);
      }
    } finally {
      this.#delivering = false;
    }
  }

  #wake(): void {
    if (this.#waiters.size === 0) return;
    for (const waiter of [...this.#waiters]) if (waiter.revision <= this.revision) waiter.done();
  }

  #oldestResumable(prefix: string): number {
    const loses = this.#options.volatilePrefixes.some((lost) => lost.startsWith(prefix) || prefix.startsWith(lost));
    return loses ? Math.max(this.compactedRevision, this.#openedRevision) : this.compactedRevision;
  }
}

/** Kubernetes' answer to a read from a revision that has not happened. */
function tooLargeResourceVersion(revision: number, current: number): ApiError {
  return new ApiError(504, 'Timeout', `Timeout: Too large resource version: ${revision}, current: ${current}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  });
}
