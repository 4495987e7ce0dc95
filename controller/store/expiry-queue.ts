import type { Clock } from '#base/clock.ts';

/** A prefix whose objects live in memory alone and are deleted when they have not been written for `ttlMs`. */
export interface VolatilePrefix {
  /** Ends in a slash: `/registry/events/`. */
  readonly prefix: string;
  readonly ttlMs: number;
}

interface Due {
  readonly key: string;
  readonly revision: number;
  readonly dueMs: number;
}

/** A slot is given back once so many in front of it are used up. */
const COMPACT_SLOTS = 1024;

/** Objects of one prefix in the order in which they expire: since they all live equally long, that is the order of their writes. */
export class ExpiryQueue {
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #expire: (key: string, revision: number) => void;
  #queue: Due[] = [];
  #first = 0;
  #cancelTimer: (() => void) | undefined;

  /** `expire` deletes the object if it still has this revision. */
  constructor(clock: Clock, ttlMs: number, expire: (key: string, revision: number) => void) {
    this.#clock = clock;
    this.#ttlMs = ttlMs;
    this.#expire = expire;
  }

  written(key: string, revision: number): void {
    this.#queue.push({ key, revision, dueMs: this.#clock.monotonic() + this.#ttlMs });
    if (this.#cancelTimer === undefined) this.#arm(this.#ttlMs);
  }

  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#queue = [];
    this.#first = 0;
  }

  #arm(delayMs: number): void {
    this.#cancelTimer = this.#clock.after(delayMs, () => {
      this.#cancelTimer = undefined;
      this.#expireDue();
    });
  }

  #expireDue(): void {
    const nowMs = this.#clock.monotonic();
    while (this.#first < this.#queue.length && this.#queue[this.#first]!.dueMs <= nowMs) {
      const { key, revision } = this.#queue[this.#first]!;
      this.#first += 1;
      this.#expire(key, revision);
    }
    if (this.#first === this.#queue.length || this.#first > COMPACT_SLOTS) {
      this.#queue = this.#queue.slice(this.#first);
      this.#first = 0;
    }
    const next = this.#queue[this.#first];
    // A second's grace lets a burst expire in one go.
    if (next !== undefined) this.#arm(Math.max(next.dueMs - nowMs, 1000));
  }
}
