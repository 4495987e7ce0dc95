import { describe, expect, test } from 'vitest';
import type { Clock } from '#base/clock.ts';
import { TimeSlice } from './time-slice.ts';

const SLICE_MS = 5;
const WORK_MS = 40;

/** Work costs time by this clock, looking at it does not. */
function workingClock() {
  let nowMs = 0;
  const clock: Clock = { now: () => nowMs, monotonic: () => nowMs, after: () => () => {} };
  const work = async (name: string, done: string[]) => {
    const slice = new TimeSlice(clock);
    for (let ms = 0; ms < WORK_MS; ms++) {
      const pause = slice.pause();
      if (pause !== undefined) await pause;
      nowMs += 1;
    }
    done.push(name);
  };
  return { clock, work };
}

/** The longest time between two turns of the loop until the works are done. */
async function longestTurn(clock: Clock, works: Promise<unknown>[]): Promise<number> {
  let isDone = false;
  const all = Promise.all(works).finally(() => {
    isDone = true;
  });
  let longestMs = clock.monotonic();
  while (!isDone) {
    const fromMs = clock.monotonic();
    await new Promise((resolve) => setImmediate(resolve));
    longestMs = Math.max(longestMs, clock.monotonic() - fromMs);
  }
  await all;
  return longestMs;
}

describe('TimeSlice', () => {
  test.each([1, 2, 16])('%i long works together keep the loop no longer than one slice', async (count) => {
    const { clock, work } = workingClock();
    const done: string[] = [];
    const works = Array.from({ length: count }, (_, i) => work(String(i), done));
    expect(await longestTurn(clock, works)).toBeLessThanOrEqual(SLICE_MS);
    expect(done).toHaveLength(count);
    expect(clock.monotonic()).toBe(count * WORK_MS);
  });

  test('long works take turns: one that comes later need not wait for the end of another', async () => {
    const { work } = workingClock();
    const done: string[] = [];
    const first = work('first', done).then(() => work('first again', done));
    const second = work('second', done);
    await Promise.all([first, second]);
    expect(done).toEqual(['first', 'second', 'first again']);
  });

  test('short works that wait go on together', async () => {
    const { clock, work } = workingClock();
    const done: string[] = [];
    // Uses up the slice of this turn.
    const long = work('long', done);
    const short = Array.from({ length: 100 }, async (_, i) => {
      const pause = new TimeSlice(clock).pause();
      if (pause !== undefined) await pause;
      done.push(String(i));
    });
    expect(done).toEqual([]);
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    expect(done).toHaveLength(100);
    await Promise.all([long, ...short]);
  });

  test('short work after a quiet time waits for nothing', async () => {
    const { clock, work } = workingClock();
    await work('long', []);
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    expect(new TimeSlice(clock).pause()).toBeUndefined();
  });
});
