import { backoffDelayMs } from './backoff.ts';
import { type Clock, delay } from './clock.ts';
import { describeError } from './errors.ts';
import type { Logger } from './logger.ts';

export interface ListeningOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Runs a program that writes lines until it ends or is aborted. */
  readonly listen: (onLine: (line: string) => void, signal: AbortSignal) => Promise<unknown>;
  /** Whether a line tells of something that matters. */
  readonly isChange: (line: string) => boolean;
  /** Lines come in crowds: one call for all within this time. */
  readonly gatherMs: number;
  /** Something changed, or may have changed while nobody listened: look. */
  readonly onChange: () => void;
}

const RESTART_MS = 700;
/** One that cannot do its work (a kernel without what it asks for) ends at once, however often it is started. */
const FUTILE = { initialMs: RESTART_MS, maxMs: 60_000 };
/** What ends it early may also be what it should tell of. */
const EARLY_ENDS = 5;
/** By then the program listens; what happened before it did is known to nobody. */
const STARTED_MS = 300;

/** Follows what a program tells, and starts it again whenever it ends, until the signal. */
export async function listenForChanges(options: ListeningOptions, signal: AbortSignal): Promise<void> {
  const { clock, log, listen, isChange, gatherMs } = options;
  let isGathering = false;
  const touch = () => {
    if (isGathering) return;
    isGathering = true;
    clock.after(gatherMs, () => {
      isGathering = false;
      if (!signal.aborted) options.onChange();
    });
  };
  for (let earlyEnds = 0; !signal.aborted; ) {
    const startedMs = clock.monotonic();
    const cancel = clock.after(STARTED_MS, touch);
    try {
      await listen((line) => isChange(line) && touch(), signal);
    } catch (err) {
      log.debug('a program that tells of changes cannot run', { err: describeError(err) });
    }
    cancel();
    if (signal.aborted) return;
    touch();
    earlyEnds = clock.monotonic() - startedMs < STARTED_MS ? earlyEnds + 1 : 0;
    const pauseMs = earlyEnds <= EARLY_ENDS ? RESTART_MS : backoffDelayMs(earlyEnds - EARLY_ENDS + 1, FUTILE);
    await delay(clock, pauseMs, signal).catch(() => {});
  }
}
