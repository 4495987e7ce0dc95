import type { Clock } from '#base/clock.ts';

interface Waiting {
  readonly dueMs: number;
  readonly expire: () => void;
}

/** Deadlines are looked at this often; a request may live that much longer than it asked for. */
const SWEEP_MS = 500;

/**
 * Deadlines of all running requests with one timer between them: most requests end within a millisecond, and a timer of their own would
 * cost more than their work.
 */
export class RequestDeadlines {
  readonly #clock: Clock;
  readonly #waiting = new Set<Waiting>();
  #cancel: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `expire` once the request has run for `delayMs`, unless the returned function was called before. */
  add(delayMs: number, expire: () => void): () => void {
    const entry: Waiting = { dueMs: this.#clock.monotonic() + delayMs, expire };
    this.#waiting.add(entry);
    this.#cancel ??= this.#clock.after(SWEEP_MS, this.#sweep);
    return () => {
      this.#waiting.delete(entry);
    };
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#waiting.clear();
  }

  readonly #sweep = (): void => {
    this.#cancel = undefined;
    const nowMs = this.#clock.monotonic();
    for (const entry of this.#waiting) {
      if (entry.dueMs > nowMs) continue;
      this.#waiting.delete(entry);
      entry.expire();
    }
    if (this.#waiting.size > 0) this.#cancel = this.#clock.after(SWEEP_MS, this.#sweep);
  };
}
