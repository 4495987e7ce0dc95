const MAX_SECONDS = 32;

/**
 * How long refused clients are asked to stay away: doubled while many are refused, shortened by a second when few are. The history
 * is counts per second.
 */
export class RetryAfter {
  #seconds = 1;
  #raisedAt = Number.NEGATIVE_INFINITY;
  #second = Number.NEGATIVE_INFINITY;
  #count = 0;
  #history: { readonly second: number; readonly count: number }[] = [];

  get seconds(): number {
    return this.#seconds;
  }

  recordRefusal(nowMs: number): void {
    const second = Math.floor(nowMs / 1000);
    if (second === this.#second) {
      this.#count++;
      return;
    }
    if (this.#count > 0) this.#history.push({ second: this.#second, count: this.#count });
    this.#history = this.#history.filter((entry) => second - entry.second <= MAX_SECONDS);
    this.#second = second;
    this.#count = 1;
    this.#adjust(second);
  }

  #adjust(now: number): void {
    const refused = this.#history
      .filter(({ second }) => now - second <= this.#seconds)
      .reduce((sum, { count }) => sum + count, 0);
    if (now - this.#raisedAt >= this.#seconds && refused >= 3 * this.#seconds) {
      this.#seconds = Math.min(MAX_SECONDS, this.#seconds * 2);
      this.#raisedAt = now;
    } else if (refused < this.#seconds && this.#seconds > 1) this.#seconds--;
  }
}
