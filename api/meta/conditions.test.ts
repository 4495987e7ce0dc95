import { describe, expect, it } from 'vitest';
import { type Condition, setCondition } from './conditions.ts';

describe('setCondition', () => {
  const old: Condition[] = [{ type: 'Ready', status: 'True', reason: 'A', lastTransitionTime: 't1' }];
  it('moves lastTransitionTime only with the status', () => {
    expect(setCondition(old, { type: 'Ready', status: 'True', reason: 'B' }, 't2')[0]).toMatchObject({
      lastTransitionTime: 't1',
    });
    expect(setCondition(old, { type: 'Ready', status: 'False', reason: 'B' }, 't2')[0]).toMatchObject({
      lastTransitionTime: 't2',
    });
  });
  it('returns the same list when nothing changed', () => {
    expect(setCondition(old, { type: 'Ready', status: 'True', reason: 'A' }, 't2')).toBe(old);
  });
});
