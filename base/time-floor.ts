import type { Clock } from './clock.ts';
import { CLOCK_JUMP_MS, clockOffsetMs } from './clock-jumps.ts';
import { describeError } from './errors.ts';
import type { Logger } from './logger.ts';

/** Nothing of this version can run before it was written: a host that says so has no clock of its own and was not told the time yet. */
export const WRITTEN_MS = Date.UTC(2026, 0, 1);

/** A wall clock that is never believed below what is known for certain. */
export interface FlooredClock extends Clock {
  /** The earliest that it can be now, in ms since the epoch: what was known at the start, and the time that has passed since. */
  floor(): number;
}

/** `knownMs`: a time that has certainly been. From then on time passes at least as fast as the monotonic clock. */
export function createFlooredClock(clock: Clock, knownMs: number): FlooredClock {
  const offsetMs = Math.max(knownMs, WRITTEN_MS) - clock.monotonic();
  // Whole, as times of the host's clock are: they go into integers of databases.
  const floor = () => Math.floor(offsetMs + clock.monotonic());
  return {
    now: () => Math.max(clock.now(), floor()),
    monotonic: () => clock.monotonic(),
    after: (delayMs, fn) => clock.after(delayMs, fn),
    floor,
  };
}

export interface TimeFloorOptions {
  /** The host's own clock. */
  readonly clock: Clock;
  readonly floored: FlooredClock;
  readonly log: Logger;
  /** Makes it durable, in ms since the epoch. */
  readonly write: (floorMs: number) => Promise<void>;
}

export interface TimeFloorKeeper {
  /** The process ends: writes what it has seen. Never rejects. */
  stop(): Promise<void>;
}

const CHECK_MS = 60_000;
const DAY_MS = 24 * 3_600_000;
/**
 * A time is written down once the clock has shown it for so long without a jump: one that a bad battery shows at boot is set right within
 * minutes, and must not be believed for ever.
 */
const SETTLED_MS = 3_600_000;

/**
 * Writes down how late it is, so that a start with a wrong clock knows it: once the clock has settled, once a day from then on, so that an
 * idle process writes nothing in between, and at a clean stop. Tells of jumps.
 */
export function keepTimeFloor({ clock, floored, log, write }: TimeFloorOptions): TimeFloorKeeper {
  let lastOffsetMs = clockOffsetMs(clock);
  let settledAtMs = clock.monotonic();
  let dueAtMs = clock.monotonic() + SETTLED_MS;
  let cancel = () => {};
  if (clock.now() < floored.floor() - CLOCK_JUMP_MS)
    log.warn('the clock of this host is behind a time that has been; that one is believed', times(clock, floored));
  const look = (): void => {
    const jumpMs = clockOffsetMs(clock) - lastOffsetMs;
    lastOffsetMs = clockOffsetMs(clock);
    if (Math.abs(jumpMs) <= CLOCK_JUMP_MS) return;
    settledAtMs = clock.monotonic();
    log.warn('the clock of this host has jumped', { seconds: Math.round(jumpMs / 1000), ...times(clock, floored) });
  };
  const save = async (): Promise<void> => {
    const isSettled = clock.monotonic() - settledAtMs >= SETTLED_MS;
    // What is known for certain grows all the same, if only by the time that has passed.
    const seenMs = isSettled ? floored.now() : floored.floor();
    try {
      await write(seenMs);
      dueAtMs = clock.monotonic() + DAY_MS;
    } catch (err) {
      log.warn('the time could not be written down', { err: describeError(err) });
    }
  };
  const check = async (): Promise<void> => {
    look();
    if (clock.monotonic() >= dueAtMs) await save();
  };
  const schedule = (): void => {
    cancel = clock.after(CHECK_MS, () => void check().then(schedule));
  };
  schedule();
  return {
    async stop() {
      cancel();
      look();
      await save();
    },
  };
}

const times = (clock: Clock, floored: FlooredClock) => ({
  clock: new Date(clock.now()).toISOString(),
  believed: new Date(floored.now()).toISOString(),
});

/** The text of the file that holds it, and its meaning; undefined for what nobody of ours has written. */
export const renderTimeFloor = (floorMs: number): string => `${new Date(floorMs).toISOString()}\n`;

export function parseTimeFloor(text: string | undefined): number | undefined {
  const floorMs = Date.parse((text ?? '').trim());
  return Number.isNaN(floorMs) ? undefined : floorMs;
}
