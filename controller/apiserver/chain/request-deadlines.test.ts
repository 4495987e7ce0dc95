import { describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { promotedBytes } from '#test/kit/promoted-bytes.ts';
import { RequestDeadlines } from './request-deadlines.ts';

describe('RequestDeadlines', () => {
  it('expires what is due, oldest first, and nothing that ended before', async () => {
    const clock = new FakeClock();
    const deadlines = new RequestDeadlines(clock);
    const expired: string[] = [];
    deadlines.add(1_000, () => expired.push('a'));
    const endB = deadlines.add(1_000, () => expired.push('b'));
    deadlines.add(5_000, () => expired.push('c'));
    const endD = deadlines.add(1_000, () => expired.push('d'));
    endB();
    endB();
    await clock.advance(2_000);
    endD();
    expect(expired).toEqual(['a', 'd']);
    await clock.advance(4_000);
    expect(expired).toEqual(['a', 'd', 'c']);
    deadlines.add(1_000, () => expired.push('e'));
    deadlines.stop();
    await clock.advance(2_000);
    expect(expired).toEqual(['a', 'd', 'c']);
  });

  it('lets go of requests that ended: no full collection is needed to free them', () => {
    const deadlines = new RequestDeadlines(new FakeClock());
    const running: (() => void)[] = [];
    const step = (i: number) => {
      const weight = new Array<number>(1_000).fill(i);
      running.push(deadlines.add(60_000, () => weight.length));
      if (running.length > 16) running.shift()!();
    };
    // A Set in place of the list: a tenth of the 32 MB and more.
    expect(promotedBytes(4_000, step)).toBeLessThan(1_500_000);
    deadlines.stop();
  });
});
