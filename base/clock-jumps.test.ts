import { expect, it } from 'vitest';
import { isStillAhead, watchClockJumps } from './clock-jumps.ts';
import { FakeClock } from './fake-clock.ts';

const YEAR_MS = 365 * 86_400_000;

it('tells of each jump once, of none that is a correction, and of none after its end', async () => {
  const clock = new FakeClock();
  let jumps = 0;
  const stop = watchClockJumps(clock, () => jumps++);
  await clock.advance(3_600_000);
  clock.jump(5_000);
  await clock.advance(60_000);
  expect(jumps).toBe(0);
  clock.jump(YEAR_MS);
  await clock.advance(60_000);
  expect(jumps).toBe(1);
  clock.jump(-YEAR_MS);
  await clock.advance(60_000);
  expect(jumps).toBe(2);
  stop();
  clock.jump(YEAR_MS);
  await clock.advance(60_000);
  expect(jumps).toBe(2);
});

it.each([
  ['to come', 10_000, true],
  ['now', 0, false],
  ['past', -1, false],
  ['as far ahead as can be', 300_000, true],
  ['from before the clock was put back', YEAR_MS, false],
])('a moment that is %s', (_, inMs, expected) => {
  expect(isStillAhead(YEAR_MS * 3 + inMs, YEAR_MS * 3, 300_000)).toBe(expected);
});
