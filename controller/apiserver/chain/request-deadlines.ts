import type { Clock } from '#base/clock.ts';

/** A link of the list of running requests. */
interface Waiting {
  readonly dueMs: number;
  expire: (() => void) | undefined;
  previous: Waiting | undefined;
  next: Waiting | undefined;
}

/** Deadlines are looked at this often; a request may live that much longer than it asked for. */
const SWEEP_MS = 500;

/**
 * Deadlines of all running requests with one timer between them: most requests end within a millisecond, and a timer of their own would
 * cost more than their work. A list rather than a Set: a Set whose entries come and go leaves a chain of old tables behind, and with them,
 * until the next full collection, the requests that were running when each was left (see PendingHeads). A link that is done holds nothing.
 */
export class RequestDeadlines {
  readonly #clock: Clock;
  #last: Waiting | undefined;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `expire` once the request has run for `delayMs`, unless the returned function was called before. */
  add(delayMs: number, expire: () => void): () => void {
    const entry: Waiting = {
      dueMs: this.#clock.monotonic() + delayMs,
      expire,
      previous: this.#last,
      next: undefined,
    };
    if (this.#last !== undefined) this.#last.next = entry;
    this.#last = entry;
    this.#cancel ??= this.#clock.after(SWEEP_MS, this.#sweep);
    return () => this.#remove(entry);
  }

  /** No request with a deadline runs. */
  get isIdle(): boolean {
    return this.#last === undefined;
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    while (this.#last !== undefined) this.#remove(this.#last);
  }

  #remove(entry: Waiting): void {
    // Done before: it has expired, or is told of twice.
    if (entry.expire === undefined) return;
    const { previous, next } = entry;
    if (previous !== undefined) previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    entry.expire = undefined;
    entry.previous = undefined;
    entry.next = undefined;
  }

  readonly #sweep = (): void => {
    this.#cancel = undefined;
    const nowMs = this.#clock.monotonic();
    const due: (() => void)[] = [];
    for (let entry = this.#last; entry !== undefined; ) {
      const { previous, expire } = entry;
      if (entry.dueMs <= nowMs && expire !== undefined) {
        this.#remove(entry);
        due.push(expire);
      }
      entry = previous;
    }
    for (const expire of due.reverse()) expire();
    if (this.#last !== undefined) this.#cancel ??= this.#clock.after(SWEEP_MS, this.#sweep);
  };
}
