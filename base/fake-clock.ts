import type { Clock } from './clock.ts';

/** A clock that stands still until a test moves it. Timers fire in order of their due time, then of their creation. */
export class FakeClock implements Clock {
  #nowMs: number;
  #elapsedMs = 0;
  #nextId = 0;
  readonly #timers = new Map<number, { dueMs: number; fn: () => void }>();

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#nowMs = startMs;
  }

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#elapsedMs;
  }

  after(delayMs: number, fn: () => void): () => void {
    const id = this.#nextId++;
    this.#timers.set(id, { dueMs: this.#elapsedMs + Math.max(delayMs, 0), fn });
    return () => {
      this.#timers.delete(id);
    };
  }

  /** Timers that are waiting; lets a test wait until the code under test has gone to sleep. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  /** Moves both clocks forward, firing what falls due, and lets promise callbacks run between two timers. */
  async advance(deltaMs: number): Promise<void> {
    const targetMs = this.#elapsedMs + deltaMs;
    for (;;) {
      const next = [...this.#timers]
        .filter(([, timer]) => timer.dueMs <= targetMs)
        .sort(([idA, a], [idB, b]) => a.dueMs - b.dueMs || idA - idB)[0];
      if (next === undefined) break;
      const [id, timer] = next;
      this.#timers.delete(id);
      this.#moveTo(timer.dueMs);
      timer.fn();
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    this.#moveTo(targetMs);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }

  /** A jump of the wall clock alone, as NTP makes it. */
  jump(deltaMs: number): void {
    this.#nowMs += deltaMs;
  }

  #moveTo(elapsedMs: number): void {
    this.#nowMs += elapsedMs - this.#elapsedMs;
    this.#elapsedMs = elapsedMs;
  }
}
