import { describe, expect, it } from 'vitest';
import { promotedBytes } from '#test/kit/promoted-bytes.ts';
import { PendingHeads } from './pending-heads.ts';

const IN_FLIGHT = 16;
/** An array of so many numbers stands for the request behind a write: 8 kB. */
const WEIGHT = 1_000;

describe('PendingHeads', () => {
  it('answers the newest write of a key until that one is done', () => {
    const heads = new PendingHeads<{ n: number }>();
    const [first, second] = [{ n: 1 }, { n: 2 }];
    heads.set('a', first);
    heads.set('a', second);
    heads.forget('a', first);
    expect(heads.get('a')).toBe(second);
    heads.forget('a', second);
    expect([heads.has('a'), heads.get('a')]).toEqual([false, undefined]);
  });

  it('lets go of what is done: no full collection is needed to free it', () => {
    const heads = new PendingHeads<{ weight: number[] }>();
    const running: { key: string; write: { weight: number[] } }[] = [];
    const step = (i: number) => {
      const entry = { key: `key-${i}`, write: { weight: new Array<number>(WEIGHT).fill(i) } };
      heads.set(entry.key, entry.write);
      running.push(entry);
      if (running.length <= IN_FLIGHT) return;
      const done = running.shift()!;
      heads.forget(done.key, done.write);
    };
    // A Map in its place: about half of the 32 MB.
    expect(promotedBytes(4_000, step)).toBeLessThan(3_000_000);
  });
});
