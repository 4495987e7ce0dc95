import { describe, expect, it } from 'vitest';
import { PenaltyBox } from './penalty-box.ts';

describe('the penalty box', () => {
  let nowMs = 0;
  const box = () => {
    nowMs = 1_000_000;
    return new PenaltyBox(() => nowMs);
  };
  const offend = (penalties: PenaltyBox, times: number) => {
    for (let i = 0; i < times; i++) penalties.offend('a');
  };

  it('overlooks two offences', () => {
    const penalties = box();
    offend(penalties, 2);
    expect([penalties.admits('a'), penalties.admits('a')]).toEqual([true, true]);
  });

  it('lets an offender in once a second, and others as ever', () => {
    const penalties = box();
    offend(penalties, 3);
    expect([penalties.admits('a'), penalties.admits('b'), penalties.admits('b')]).toEqual([false, true, true]);
    nowMs += 1000;
    expect([penalties.admits('a'), penalties.admits('a')]).toEqual([true, false]);
  });

  it('forgets ten seconds after the last offence', () => {
    const penalties = box();
    offend(penalties, 3);
    nowMs += 10_000;
    penalties.offend('a');
    nowMs += 10_000;
    expect([penalties.admits('a'), penalties.admits('a')]).toEqual([true, false]);
    nowMs += 1;
    expect([penalties.admits('a'), penalties.admits('a')]).toEqual([true, true]);
    offend(penalties, 2);
    expect([penalties.admits('a'), penalties.admits('a')]).toEqual([true, true]);
  });

  it('remembers the last ten thousand offenders', () => {
    const penalties = box();
    offend(penalties, 3);
    for (let i = 0; i < 10_000; i++) penalties.offend(`other-${i}`);
    expect([penalties.admits('a'), penalties.admits('a')]).toEqual([true, true]);
  });
});
