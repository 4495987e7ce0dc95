import { type Clock, delay } from '#base/clock.ts';

/**
 * Bounds how many pods are brought up at once, to what the host can carry. A pod that has begun goes before one that has not: with 30
 * pods at once the median starts early and the last no later, instead of all ending together.
 */
export class StartGate {
  readonly #clock: Clock;
  #width: number;
  #inUse = 0;
  /** Of the last entry or leave. */
  #lastMoveMs = Number.NEGATIVE_INFINITY;
  readonly #begun: (() => void)[] = [];
  readonly #fresh: (() => void)[] = [];
  readonly #idle: (() => void)[] = [];

  constructor(width: number, clock: Clock) {
    this.#clock = clock;
    this.#width = width;
  }

  /** Before anybody comes. */
  setWidth(width: number): void {
    this.#width = width;
  }

  /** Resolves when nobody is inside: for work that would take the processor from those who are. */
  idle(): Promise<void> {
    return this.#inUse === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Resolves when nobody is inside and nobody has come or left for so long; rejects when aborted meanwhile. */
  async calm(forMs: number, signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.idle();
      const restMs = this.#lastMoveMs + forMs - this.#clock.monotonic();
      if (restMs <= 0) return;
      await delay(this.#clock, restMs, signal);
    }
  }

  async acquire(kind: 'begun' | 'fresh'): Promise<StartSlot> {
    this.#lastMoveMs = this.#clock.monotonic();
    if (this.#inUse >= this.#width)
      await new Promise<void>((resolve) => {
        (kind === 'begun' ? this.#begun : this.#fresh).push(resolve);
      });
    else this.#inUse++;
    return new StartSlot(() => this.#release());
  }

  #release(): void {
    this.#lastMoveMs = this.#clock.monotonic();
    // The place passes on directly, so that nobody slips in between.
    const next = this.#begun.shift() ?? this.#fresh.shift();
    if (next !== undefined) {
      next();
      return;
    }
    this.#inUse--;
    // A turn later: whoever left has a status to tell first.
    if (this.#inUse === 0) for (const resolve of this.#idle.splice(0)) setImmediate(resolve);
  }
}

export class StartSlot {
  #release: (() => void) | undefined;
  constructor(release: () => void) {
    this.#release = release;
  }

  /** Idempotent. */
  release(): void {
    this.#release?.();
    this.#release = undefined;
  }
}
