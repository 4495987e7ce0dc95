import type { StoreEvent } from './store.ts';
import type { StoreState } from './store-state.ts';
import { StoredValue } from './stored-value.ts';

/** How far back a watch may resume (contract sentence 6), and what that may cost. */
export interface HistoryLimits {
  /** Younger events stay. */
  readonly maxAgeMs: number;
  /** So many newest events stay, however old. */
  readonly minEvents: number;
  /** Above this, only `minEvents` events stay, however young. */
  readonly softBytes: number;
  /** Above this, the oldest go in any case: memory is finite. */
  readonly hardBytes: number;
}

export const DEFAULT_HISTORY_LIMITS: HistoryLimits = {
  maxAgeMs: 10 * 60_000,
  minEvents: 10_000,
  softBytes: 32 * 2 ** 20,
  hardBytes: 96 * 2 ** 20,
};

export interface HistoryEntry {
  readonly event: StoreEvent;
  /** Wall-clock ms. */
  readonly timeMs: number;
}

/** Events from before the start, which are read when somebody asks for them, or once there is time. */
export interface Past {
  /** None of them is newer. */
  readonly upTo: number;
  /** A bounded piece of the reading. Answers them all, in revision order, once they are read. */
  read(): RememberedPast | undefined;
  /** They are not wanted any more. */
  close(): void;
}

export interface RememberedPast {
  readonly entries: readonly HistoryEntry[];
  /** Watches from here on are complete; 0 where nothing was left out. */
  readonly compactedRevision: number;
}

/** What an event costs besides its object's bytes: objects, array slots, labels; an estimate. */
const EVENT_OVERHEAD_BYTES = 400;

/** Removed slots are given back once they are this many and half of the array. */
const COMPACT_SLOTS = 1024;

const costOf = ({ object }: StoreEvent) =>
  (object instanceof StoredValue ? object.size : object.bytes.length) + EVENT_OVERHEAD_BYTES;

/** The newest events in revision order: watches resume from them, and older snapshots are found by undoing them. */
export class History {
  readonly #limits: HistoryLimits;
  #events: (StoreEvent | undefined)[] = [];
  /** Wall-clock ms of each event. */
  #times: number[] = [];
  #first = 0;
  #bytes = 0;
  #compactedRevision: number;
  #past: Past | undefined;

  constructor(limits: HistoryLimits, compactedRevision: number, past?: Past) {
    this.#limits = limits;
    this.#compactedRevision = compactedRevision;
    this.#past = past;
  }

  /** Revision of the newest event that is gone: watches from here on are complete. */
  get compactedRevision(): number {
    return this.#compactedRevision;
  }

  get length(): number {
    return this.#events.length - this.#first;
  }

  append(event: StoreEvent, timeMs: number): void {
    this.#events.push(event);
    this.#times.push(timeMs);
    this.#bytes += costOf(event);
    this.#compact(timeMs);
  }

  /** Makes sure that what came after `revision` is here, as far as it is kept. */
  reach(revision: number): void {
    if (this.#past === undefined || revision >= this.#past.upTo) return;
    while (!this.readPast());
  }

  /** Reads a piece of the past; true once there is no more. */
  readPast(): boolean {
    if (this.#past === undefined) return true;
    const read = this.#past.read();
    if (read === undefined) return false;
    this.#past = undefined;
    const { entries, compactedRevision } = read;
    this.#events = [...entries.map(({ event }) => event), ...this.#events];
    this.#times = [...entries.map(({ timeMs }) => timeMs), ...this.#times];
    for (const { event } of entries) this.#bytes += costOf(event);
    this.#compactedRevision = Math.max(this.#compactedRevision, compactedRevision);
    const newest = this.#times.at(-1);
    if (newest !== undefined) this.#compact(newest);
    return true;
  }

  close(): void {
    this.#past?.close();
    this.#past = undefined;
  }

  /** Events after `revision`, oldest first. The caller has reached for them. */
  *after(revision: number): Generator<StoreEvent, void, undefined> {
    // The bound is taken once: events that arrive while the caller is busy reach it as live ones.
    const events = this.#events;
    const end = events.length;
    for (let at = this.#indexAfter(revision); at < end; at++) yield events[at]!;
  }

  /** `state` with everything after `revision` undone. */
  undoTo(revision: number, state: StoreState): StoreState {
    let undone = state;
    for (let at = this.#events.length - 1; at >= this.#first; at--) {
      const event = this.#events[at]!;
      if (event.revision <= revision) break;
      const after = event.type === 'DELETED' ? undefined : event.object;
      undone = undone.replaced(event.object.key, after, event.previous);
    }
    return undone;
  }

  #indexAfter(revision: number): number {
    let low = this.#first;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#events[middle]!.revision <= revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #compact(nowMs: number): void {
    // The oldest are not here yet.
    if (this.#past !== undefined) return;
    while (this.length > 1 && this.#isOldestDue(nowMs)) {
      const oldest = this.#events[this.#first]!;
      this.#events[this.#first] = undefined;
      this.#first += 1;
      this.#bytes -= costOf(oldest);
      this.#compactedRevision = oldest.revision;
    }
    if (this.#first > COMPACT_SLOTS && this.#first * 2 > this.#events.length) {
      this.#events = this.#events.slice(this.#first);
      this.#times = this.#times.slice(this.#first);
      this.#first = 0;
    }
  }

  #isOldestDue(nowMs: number): boolean {
    const { maxAgeMs, minEvents, softBytes, hardBytes } = this.#limits;
    if (this.#bytes > hardBytes) return true;
    if (this.length <= minEvents) return false;
    return this.#bytes > softBytes || nowMs - this.#times[this.#first]! > maxAgeMs;
  }
}
