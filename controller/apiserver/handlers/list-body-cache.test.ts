import { expect, test } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { ListBodyCache } from './list-body-cache.ts';

const body = (bytes: number) => new Uint8Array(bytes);

test('a list is worth keeping once it is asked for again while the store stands still', async () => {
  const clock = new FakeClock();
  const cache = new ListBodyCache(clock);
  expect(cache.isWorthKeeping('/a/', 7)).toBe(false);
  await clock.advance(10);
  expect(cache.isWorthKeeping('/a/', 7)).toBe(false);
  await clock.advance(30);
  expect(cache.isWorthKeeping('/a/', 8)).toBe(false);
  expect(cache.isWorthKeeping('/b/', 7)).toBe(false);
  await clock.advance(30);
  expect(cache.isWorthKeeping('/a/', 8)).toBe(true);
});

test('bodies are found at their revision alone, and go when nobody has asked for a while', async () => {
  const clock = new FakeClock();
  const cache = new ListBodyCache(clock);
  const kept = body(100_000);
  cache.keep('/a/', 7, kept);
  expect(cache.find('/a/', 7)).toBe(kept);
  expect(cache.find('/a/', 8)).toBeUndefined();
  expect(cache.find('/b/', 7)).toBeUndefined();
  await clock.advance(20_000);
  expect(cache.find('/a/', 7)).toBeUndefined();
});

test('small bodies are not kept, and of large ones no more than 32 MiB', () => {
  const cache = new ListBodyCache(new FakeClock());
  cache.keep('/small/', 1, body(1_000));
  for (const prefix of ['/a/', '/b/', '/c/']) cache.keep(prefix, 1, body(12 * 2 ** 20));
  expect(['/small/', '/a/', '/b/', '/c/'].map((prefix) => cache.find(prefix, 1) !== undefined)).toEqual([
    false,
    false,
    true,
    true,
  ]);
});
