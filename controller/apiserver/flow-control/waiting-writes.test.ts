import { expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { promotedBytes } from '#test/kit/promoted-bytes.ts';
import type { PriorityLevel } from './priority-level.ts';
import { type HandedWrite, WaitingWrites } from './waiting-writes.ts';

it('WaitingWrites lets go of writes that were answered: no full collection is needed to free their requests', () => {
  const level = { isExempt: false } as PriorityLevel;
  const writes = new WaitingWrites(new FakeClock());
  const running: HandedWrite[] = [];
  const step = (i: number) => {
    const request = new Array<number>(1_000).fill(i);
    const write: HandedWrite = { level, atMs: 0, release: () => void request.length };
    writes.add(write);
    running.push(write);
    if (running.length > 16) writes.delete(running.shift()!);
  };
  // All of the 32 MB where the set's old tables lead to the requests.
  expect(promotedBytes(4_000, step)).toBeLessThan(3_000_000);
});
