import { beforeEach, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { type CopyGuard, createCopyGuard } from './copy-guard.ts';

const COPY = { kind: 'copy', message: 'node a is at work elsewhere' } as const;
const abort = new AbortController();
let clock: FakeClock;
let guard: CopyGuard;
let late: string[];
let hasBegun: boolean;

beforeEach(() => {
  clock = new FakeClock();
  late = [];
  hasBegun = false;
  guard = createCopyGuard({ clock, log: silentLogger, onLate: (message) => late.push(message) });
  void guard.mayBegin(abort.signal).then(() => {
    hasBegun = true;
  });
});

it.each(['open', 'down'] as const)('a host whose tunnel is %s begins at once', async (kind) => {
  guard.onVerdict('s', { kind });
  await clock.advance(200);
  expect(hasBegun).toBe(true);
});

it('a host that hears nothing begins soon', async () => {
  await clock.advance(2_900);
  expect(hasBegun).toBe(false);
  await clock.advance(200);
  expect(hasBegun).toBe(true);
});

it('a copy is held for as long as any server says so', async () => {
  guard.onVerdict('s', COPY);
  guard.onVerdict('t', { kind: 'open' });
  await clock.advance(3_600_000);
  expect(hasBegun).toBe(false);
  guard.onVerdict('s', { kind: 'open' });
  await clock.advance(200);
  expect(hasBegun).toBe(true);
  expect(late).toEqual([]);
});

it('a host that worked offline and is told late ends its work', async () => {
  guard.onVerdict('s', { kind: 'down' });
  await clock.advance(200);
  guard.onVerdict('s', COPY);
  expect(late).toEqual([COPY.message]);
});
