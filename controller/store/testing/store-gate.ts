import type { StoreEventType } from '../store.ts';

/** Stands between a store and whatever makes it durable: stalls and fails on command, and counts. */
export interface StoreGate {
  /** What was sent, failed attempts included: a commit, or a transaction. */
  readonly batches: readonly { readonly writes: readonly { readonly type: StoreEventType }[] }[];
  /** Those that carried writes. */
  readonly writeBatches: StoreGate['batches'];
  /** From now on nothing that is sent is answered. */
  stall(): void;
  release(): void;
  /** The next one to be answered fails, and nothing of it is stored. */
  failNext(message: string): void;
}
