import { setImmediate } from 'node:timers/promises';
import type { Clock } from '#base/clock.ts';

/** A quarter of what a request may keep the others waiting: what comes at the end of a slice is not measured by it. */
const SLICE_MS = 5;

/** Long work in slices: others have their turn between two of them. */
export class TimeSlice {
  readonly #clock: Clock;
  #endsMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#endsMs = clock.monotonic() + SLICE_MS;
  }

  /** To be awaited before the work goes on; undefined while the slice lasts, so that short work waits for nothing. */
  pause(): Promise<void> | undefined {
    return this.#clock.monotonic() < this.#endsMs ? undefined : this.#yield();
  }

  async #yield(): Promise<void> {
    await setImmediate();
    this.#endsMs = this.#clock.monotonic() + SLICE_MS;
  }
}
