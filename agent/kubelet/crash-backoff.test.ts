import { expect, it } from 'vitest';
import { backoffUntilMs } from './crash-backoff.ts';

const YEAR_MS = 365 * 86_400_000;
const ENDED_MS = 3 * YEAR_MS;

it.each<[string, number, number | undefined]>([
  ['just ended', 0, ENDED_MS + 40_000],
  ['half-way', 20_000, ENDED_MS + 40_000],
  ['at the end of its back-off', 40_000, undefined],
  ['that ended in a year, by a clock that was put back since', -YEAR_MS, undefined],
])('a container %s', (_, passedMs, untilMs) => {
  const entry = { delayMs: 40_000, updatedAtMs: ENDED_MS - 1_000 };
  expect(backoffUntilMs(entry, ENDED_MS, ENDED_MS + passedMs)).toBe(untilMs);
});
