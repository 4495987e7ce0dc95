/**
 * Bounds how many pods are brought up at once, to what the host can carry. A pod that has begun goes before one that has not: with 30
 * pods at once the median starts early and the last no later, instead of all ending together.
 */
export class StartGate {
  #width: number;
  #inUse = 0;
  readonly #begun: (() => void)[] = [];
  readonly #fresh: (() => void)[] = [];
  readonly #idle: (() => void)[] = [];

  constructor(width: number) {
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
