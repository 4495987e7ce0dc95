/** The newest values up to a sum of sizes; older ones are let go, first come first gone. A value is added once until it was let go. */
export class RecentValues<T> {
  readonly #maxSize: number;
  readonly #letGo: (value: T) => void;
  readonly #sizes = new Map<T, number>();
  #size = 0;

  constructor(maxSize: number, letGo: (value: T) => void) {
    this.#maxSize = maxSize;
    this.#letGo = letGo;
  }

  /** A value larger than all that may be kept is let go at once. */
  add(value: T, size: number): void {
    this.#sizes.set(value, size);
    this.#size += size;
    for (const [oldest, oldSize] of this.#sizes) {
      if (this.#size <= this.#maxSize) return;
      this.#sizes.delete(oldest);
      this.#size -= oldSize;
      this.#letGo(oldest);
    }
  }
}
