import { isStillAhead } from '#base/clock-jumps.ts';
import type { CrashBackoff } from './ledger-record.ts';

const CRASH_BACKOFF_INITIAL_MS = 10_000;
const CRASH_BACKOFF_MAX_MS = 300_000;
/** A container that ran this long since its last restart starts over with the initial delay (2 x the maximum, as in Kubernetes). */
const CRASH_BACKOFF_RESET_MS = 2 * CRASH_BACKOFF_MAX_MS;

const hasExpired = (entry: CrashBackoff, endedAtMs: number) => endedAtMs - entry.updatedAtMs > CRASH_BACKOFF_RESET_MS;

/** Epoch ms before which the container may not restart; undefined = now. `endedAtMs` is when its last instance ended. */
export function backoffUntilMs(
  entry: CrashBackoff | undefined,
  endedAtMs: number | undefined,
  nowMs: number,
): number | undefined {
  if (entry === undefined || endedAtMs === undefined || hasExpired(entry, endedAtMs)) return undefined;
  const untilMs = endedAtMs + entry.delayMs;
  return isStillAhead(untilMs, nowMs, entry.delayMs) ? untilMs : undefined;
}

/** The entry after a restart at `nowMs`: 10 s, then doubling to 300 s. The first restart is free: no entry, no delay. */
export function nextBackoff(entry: CrashBackoff | undefined, endedAtMs: number, nowMs: number): CrashBackoff {
  const delayMs =
    entry === undefined || hasExpired(entry, endedAtMs)
      ? CRASH_BACKOFF_INITIAL_MS
      : Math.min(entry.delayMs * 2, CRASH_BACKOFF_MAX_MS);
  return { delayMs, updatedAtMs: nowMs };
}
