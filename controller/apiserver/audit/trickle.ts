import type { Clock } from '#base/clock.ts';

/** Lets some things through at once, and then so many a second: for what strangers can cause in any number. */
export function createTrickle(
  clock: Pick<Clock, 'monotonic'>,
  { burst, perSecond }: { readonly burst: number; readonly perSecond: number },
): () => boolean {
  let tokens = burst;
  let lastMs = clock.monotonic();
  return () => {
    const nowMs = clock.monotonic();
    tokens = Math.min(burst, tokens + ((nowMs - lastMs) * perSecond) / 1000);
    lastMs = nowMs;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  };
}
