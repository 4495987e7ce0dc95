import { delay, systemClock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';

/** The first value that the probe finds; what it throws is tried again, and told by the Error that ends the waiting. */
export async function waitFor<T>(what: string, probe: () => Promise<T | undefined>, timeoutMs = 120_000): Promise<T> {
  const deadlineMs = systemClock.monotonic() + timeoutMs;
  let problem = '';
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined) return value;
    } catch (err) {
      problem = describeError(err);
    }
    if (systemClock.monotonic() > deadlineMs)
      throw new Error(`${what} did not happen within ${timeoutMs / 1000} s${problem === '' ? '' : `: ${problem}`}`);
    await delay(systemClock, 200);
  }
}
