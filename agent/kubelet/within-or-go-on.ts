import { type Clock, delay } from '#base/clock.ts';

/** Waits for `work`, but no longer than `limitMs`: then the caller goes on while the work does too. Its failure is the caller's. */
export async function withinOrGoOn(clock: Clock, work: Promise<unknown>, limitMs: number): Promise<void> {
  const timer = new AbortController();
  try {
    await Promise.race([work, delay(clock, limitMs, timer.signal)]);
  } finally {
    timer.abort();
  }
}
