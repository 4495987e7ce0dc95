import { describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { TermWatch } from './term-watch.ts';

describe('TermWatch', () => {
  const setUp = () => {
    const clock = new FakeClock();
    const probes: number[] = [];
    const terms = new TermWatch(clock, async () => probes.push(clock.monotonic()));
    terms.note('2');
    return { clock, probes, terms };
  };

  it('gives up what was sent before the leader changed, and nothing that was sent after', async () => {
    const { terms } = setUp();
    const before = terms.guard(new Promise<string>(() => {}));
    terms.note('2');
    terms.note('3');
    await expect(before).rejects.toMatchObject({ fault: 'unknown' });
    const { promise, resolve } = Promise.withResolvers<string>();
    const after = terms.guard(promise);
    // A member that is behind names the old term.
    terms.note('2');
    terms.note('3');
    resolve('answer');
    expect(await after).toBe('answer');
  });

  it('asks while an answer is out, and not otherwise', async () => {
    const { clock, probes, terms } = setUp();
    await terms.guard(Promise.resolve('quick'));
    await clock.advance(5_000);
    expect(probes).toEqual([]);
    const { promise, resolve } = Promise.withResolvers<string>();
    const slow = terms.guard(promise);
    await clock.advance(1_600);
    expect(probes).toEqual([5_500, 6_000, 6_500]);
    resolve('at last');
    expect(await slow).toBe('at last');
    await clock.advance(5_000);
    expect(probes).toHaveLength(3);
  });

  it('passes a failure on as it is', async () => {
    const { terms } = setUp();
    await expect(terms.guard(Promise.reject(new Error('refused')))).rejects.toThrow('refused');
  });
});
