/**
 * Work that many ask for at once is done for all of them together, by a round that begins after each of them asked: one that is under way
 * may already have looked.
 */
export class SharedRound<T> {
  readonly #work: () => Promise<T>;
  #running: Promise<unknown> | undefined;
  #next: Promise<T> | undefined;

  constructor(work: () => Promise<T>) {
    this.#work = work;
  }

  join(): Promise<T> {
    this.#next ??= this.#start();
    return this.#next;
  }

  async #start(): Promise<T> {
    // A failure belongs to those who joined that round.
    await this.#running?.catch(() => {});
    const round = this.#work();
    this.#running = round;
    this.#next = undefined;
    return round;
  }
}
