import type { CommitBatch, CommitLog } from '../commit-log.ts';
import type { StoreGate } from './store-gate.ts';

/** A log whose disk stalls and fails on command; what it lets through goes to the log behind it. */
export class GatedCommitLog implements CommitLog, StoreGate {
  readonly #inner: CommitLog;
  /** Every batch that the store sent, failed ones included. */
  readonly batches: CommitBatch[] = [];
  #gate: { readonly opened: Promise<void>; readonly open: () => void } | undefined;
  #failure: Error | undefined;

  constructor(inner: CommitLog) {
    this.#inner = inner;
  }

  /** From now on commits hang, as they do while a disk does not finish its fsync. */
  stall(): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gate = { opened: promise, open: resolve };
  }

  release(): void {
    this.#gate?.open();
    this.#gate = undefined;
  }

  /** The next commit to finish fails, and nothing of it is stored. */
  failNext(message: string): void {
    this.#failure = new Error(message);
  }

  /** Batches that carried writes. */
  get writeBatches(): readonly CommitBatch[] {
    return this.batches.filter((batch) => batch.writes.length > 0);
  }

  async commit(batch: CommitBatch): Promise<void> {
    this.batches.push(batch);
    await this.#gate?.opened;
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure;
    await this.#inner.commit(batch);
  }

  close(shownRevision: number): Promise<void> {
    return this.#inner.close(shownRevision);
  }
}
