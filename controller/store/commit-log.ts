import type { StoreEventType } from './store.ts';

/** One durable write as the log keeps it. */
export interface DurableWrite {
  readonly type: StoreEventType;
  readonly key: string;
  readonly revision: number;
  /** Wall-clock ms, for the age of the history. */
  readonly timeMs: number;
  /** The object has had volatile updates: after a restart it reappears under a new revision (contract sentence 5). */
  readonly overlaid: boolean;
  /** Canonical JSON without resourceVersion; undefined for DELETED. */
  readonly value: Uint8Array | undefined;
}

/** What one transaction makes durable. */
export interface CommitBatch {
  readonly writes: readonly DurableWrite[];
  /** After a restart no revision up to this one is handed out again; undefined: as before. */
  readonly reservedRevision: number | undefined;
  /** History up to and including this revision may go, a bounded part of it with each batch. */
  readonly compactedRevision: number;
}

/**
 * Where accepted writes become durable: the one thing the backends differ in. The store core hands it one batch at a time and the next
 * one after the answer, so a log needs no queue of its own.
 */
export interface CommitLog {
  /**
   * Resolves once the whole batch would survive a power cut. Rejects when none of it is stored and none ever will be; a log that
   * cannot tell rejects with `LogBrokenError` and is not used again.
   */
  commit(batch: CommitBatch): Promise<void>;
  /** After the last commit. `shownRevision` is the newest revision that anybody has seen. */
  close(shownRevision: number): Promise<void>;
}

/** The log is gone and the fate of the last batch is unknown; only a new start, which reads what is there, can tell. */
export class LogBrokenError extends Error {
  override readonly name = 'LogBrokenError';
}

/** Nothing of the batch is stored, because the disk is full; the next one may find room again. */
export class DiskFullError extends Error {
  override readonly name = 'DiskFullError';
}
