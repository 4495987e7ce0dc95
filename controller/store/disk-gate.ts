/**
 * A disk that takes its time, for tests: the disk thread passes the gate before each fsync (SQLite's own included, one for each commit).
 * Shared memory, because the thread that waits cannot hear messages.
 */
export class DiskGate {
  /** [0]: 1 while closed. [1]: what each passage takes, in ms. [2]: threads at the gate. */
  readonly #words: Int32Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(12)) {
    this.#words = new Int32Array(memory);
  }

  get memory(): SharedArrayBuffer {
    return this.#words.buffer as SharedArrayBuffer;
  }

  /** Somebody waits for the disk. */
  get isBusy(): boolean {
    return Atomics.load(this.#words, 2) > 0;
  }

  /** From now on no fsync comes back. */
  close(): void {
    Atomics.store(this.#words, 0, 1);
  }

  open(): void {
    Atomics.store(this.#words, 0, 0);
    Atomics.notify(this.#words, 0);
  }

  delay(ms: number): void {
    Atomics.store(this.#words, 1, ms);
  }

  /** Blocks the thread. */
  pass(): void {
    Atomics.add(this.#words, 2, 1);
    const delayMs = Atomics.load(this.#words, 1);
    if (delayMs > 0) Atomics.wait(this.#words, 0, Atomics.load(this.#words, 0), delayMs);
    while (Atomics.load(this.#words, 0) === 1) Atomics.wait(this.#words, 0, 1);
    Atomics.sub(this.#words, 2, 1);
  }
}
