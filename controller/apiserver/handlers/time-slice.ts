import type { Clock } from '#base/clock.ts';

/** A quarter of what requests may keep the others waiting: what comes at the end of a slice is not measured by it. */
const SLICE_MS = 5;

/**
 * What one turn of the event loop gives to the long work of all requests together. Were each to take a slice of its own in every turn, sixteen
 * lists at once would stop the loop for sixteen slices.
 */
class LoopShare {
  readonly #clock: Clock;
  readonly #waiting: (() => void)[] = [];
  /** From the first work of a turn until the loop has come round once with nothing left to do. */
  #isOpen = false;
  #endsMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isUsedUp(): boolean {
    if (this.#isOpen) return this.#clock.monotonic() >= this.#endsMs;
    this.#isOpen = true;
    this.#begin();
    return false;
  }

  nextTurn(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #begin(): void {
    this.#endsMs = this.#clock.monotonic() + SLICE_MS;
    setImmediate(this.#come);
  }

  /** After everybody else: whoever has waited longest goes on. */
  readonly #come = (): void => {
    if (this.#waiting.length === 0) {
      this.#isOpen = false;
      return;
    }
    this.#begin();
    this.#resume();
  };

  /** One after the other, while there is time: a thousand short works must not take a thousand turns. */
  readonly #resume = (): void => {
    const next = this.#waiting.shift();
    if (next === undefined) return;
    next();
    // Runs once that one has come to its next pause, or to its end.
    queueMicrotask(() => {
      if (this.#clock.monotonic() < this.#endsMs) this.#resume();
    });
  };
}

/** A thread has one loop and one clock. */
const shares = new WeakMap<Clock, LoopShare>();

function shareOf(clock: Clock): LoopShare {
  let share = shares.get(clock);
  if (share === undefined) {
    share = new LoopShare(clock);
    shares.set(clock, share);
  }
  return share;
}

/** Long work in slices: others have their turn between two of them, and long works take turns. */
export class TimeSlice {
  readonly #share: LoopShare;

  constructor(clock: Clock) {
    this.#share = shareOf(clock);
  }

  /** To be awaited before the work goes on; undefined while there is time, so that short work waits for nothing. */
  pause(): Promise<void> | undefined {
    return this.#share.isUsedUp ? this.#share.nextTurn() : undefined;
  }
}
