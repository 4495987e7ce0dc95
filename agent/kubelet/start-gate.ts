/**
 * Bounds how many pods are brought up at once, to what the host can carry. A pod that has begun goes before one that has not: with 30
 * pods at once the median starts early and the last no later, instead of all ending together.
 */
export class StartGate {
  readonly #width: number;
  #inUse = 0;
  readonly #begun: (() => void)[] = [];
  readonly #fresh: (() => void)[] = [];

  constructor(width: number) {
    this.#width = width;
  }

  async acquire(kind: 'begun' | 'fresh'): Promise<StartSlot> {
    if (this.#inUse >= this.#width)
      await new Promise<void>((resolve) => {
        (kind === 'begun' ? this.#begun : this.#fresh).push(resolve);
      });
    else this.#inUse++;
    return new StartSlot(() => this.#release());
  }

  #release(): void {
    // The place passes on directly, so that nobody slips in between.
    const next = this.#begun.shift() ?? this.#fresh.shift();
    if (next === undefined) this.#inUse--;
    else next();
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
