import { delay, systemClock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';

const TIMEOUT_MS = 120_000;

/** The first value that the probe finds; what it throws is tried again, and told by the Error that ends the waiting. */
export async function waitFor<T>(what: string, probe: () => Promise<T | undefined>): Promise<T> {
  const deadlineMs = systemClock.monotonic() + TIMEOUT_MS;
  let problem = '';
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined) return value;
    } catch (err) {
      problem = describeError(err);
    }
    if (systemClock.monotonic() > deadlineMs)
      throw new Error(`${what} did not happen within ${TIMEOUT_MS / 1000} s${problem === '' ? '' : `: ${problem}`}`);
    await delay(systemClock, 200);
  }
}
