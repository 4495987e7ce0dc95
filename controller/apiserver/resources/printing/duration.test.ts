import { expect, test } from 'vitest';
import { ageOf, humanDuration } from './duration.ts';

const S = 1;
const M = 60;
const H = 60 * M;
const D = 24 * H;

test.each([
  [-2 * S, '<invalid>'],
  [-0.5 * S, '0s'],
  [0, '0s'],
  [119 * S, '119s'],
  [2 * M, '2m'],
  [2 * M + 1, '2m1s'],
  [9 * M + 59, '9m59s'],
  [10 * M + 30, '10m'],
  [179 * M, '179m'],
  [3 * H, '3h'],
  [3 * H + 7 * M, '3h7m'],
  [8 * H + 7 * M, '8h'],
  [47 * H, '47h'],
  [2 * D, '2d'],
  [7 * D + 3 * H, '7d3h'],
  [8 * D + 3 * H, '8d'],
  [729 * D, '729d'],
  [730 * D, '2y'],
  [800 * D, '2y70d'],
  [8 * 365 * D + 5 * D, '8y'],
])('%d seconds print as %s', (seconds, text) => {
  expect(humanDuration(seconds * 1000)).toBe(text);
});

test('the age of an unknown time is <unknown>', () => {
  expect([ageOf(undefined, 0), ageOf(null, 0), ageOf('', 0)]).toEqual(['<unknown>', '<unknown>', '<unknown>']);
});
