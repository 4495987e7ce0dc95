import type { Clock } from './clock.ts';

/** Clocks that drift are set within a few seconds; more is a jump. */
export const CLOCK_JUMP_MS = 30_000;

const LOOK_MS = 3_000;

/** How far the wall clock is ahead of the monotonic one: the same for as long as nobody sets it. */
export const clockOffsetMs = (clock: Clock): number => clock.now() - clock.monotonic();

/** Whether the wall clock was set since `offsetMs` was read. */
export const hasJumped = (clock: Clock, offsetMs: number): boolean =>
  Math.abs(clockOffsetMs(clock) - offsetMs) > CLOCK_JUMP_MS;

/** Tells, within seconds, when the wall clock was set, until the returned function is called. */
export function watchClockJumps(clock: Clock, onJump: () => void): () => void {
  let offsetMs = clockOffsetMs(clock);
  let cancel = () => {};
  const schedule = (): void => {
    cancel = clock.after(LOOK_MS, () => {
      schedule();
      if (!hasJumped(clock, offsetMs)) return;
      offsetMs = clockOffsetMs(clock);
      onJump();
    });
  };
  schedule();
  return () => cancel();
}

/**
 * Whether a moment that was set at most `longestMs` before it is still to come. One that is further ahead was set before the wall clock was
 * put back, and counts as come: nothing waits for a year because the clock was wrong for a minute.
 */
export const isStillAhead = (atMs: number, nowMs: number, longestMs: number): boolean =>
  atMs > nowMs && atMs - nowMs <= longestMs;
