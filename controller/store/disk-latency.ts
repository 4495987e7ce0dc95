import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import { type CommitLog, DiskFullError } from './commit-log.ts';

/** A commit that takes longer is worth a condition. An SD card at its worst needs some 100 ms. */
const SLOW_MS = 1_000;
/** So long the condition outlasts the last slow commit, so that it can be seen. */
const REMEMBERED_MS = 60_000;

export interface DiskLatencyOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Told how long each commit took, in seconds, also of those that failed. */
  readonly onCommit: (seconds: number) => void;
}

/** How long the disk takes for its commits, as a metric and as a condition; and whether it is full. */
export class DiskLatency {
  readonly #options: DiskLatencyOptions;
  #inFlightSinceMs: number | undefined;
  #slowestMs = 0;
  #isFull = false;
  #lastSlowMs = Number.NEGATIVE_INFINITY;

  constructor(options: DiskLatencyOptions) {
    this.#options = options;
  }

  measure(inner: CommitLog): CommitLog {
    return {
      commit: async (batch) => {
        this.#inFlightSinceMs = this.#options.clock.monotonic();
        try {
          await inner.commit(batch);
          this.#isFullNow(false);
        } catch (err) {
          if (err instanceof DiskFullError) this.#isFullNow(true);
          throw err;
        } finally {
          this.#finished();
        }
      },
      close: (shownRevision) => inner.close(shownRevision),
    };
  }

  /** What is wrong with the disk now; undefined: nothing. */
  problem(): string | undefined {
    if (this.#isFull) return 'the disk is full: writes are refused until there is room on it';
    const nowMs = this.#options.clock.monotonic();
    const waitedMs = this.#inFlightSinceMs === undefined ? 0 : nowMs - this.#inFlightSinceMs;
    if (waitedMs > SLOW_MS) return `the disk has been busy with one commit for ${seconds(waitedMs)}`;
    if (nowMs - this.#lastSlowMs > REMEMBERED_MS) return undefined;
    return `the disk is slow: within the last minute a commit took ${seconds(this.#slowestMs)}`;
  }

  #isFullNow(isFull: boolean): void {
    if (isFull === this.#isFull) return;
    this.#isFull = isFull;
    const { log } = this.#options;
    if (isFull) log.error('the disk is full: writes are refused until there is room on it');
    else log.info('the disk has room again');
  }

  #finished(): void {
    const { clock, log, onCommit } = this.#options;
    const nowMs = clock.monotonic();
    const elapsedMs = nowMs - (this.#inFlightSinceMs ?? nowMs);
    this.#inFlightSinceMs = undefined;
    onCommit(elapsedMs / 1000);
    if (elapsedMs <= SLOW_MS) return;
    const isNews = nowMs - this.#lastSlowMs > REMEMBERED_MS;
    this.#slowestMs = isNews ? elapsedMs : Math.max(this.#slowestMs, elapsedMs);
    this.#lastSlowMs = nowMs;
    if (isNews) log.warn('the disk is slow', { elapsedMs: Math.round(elapsedMs) });
  }
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
