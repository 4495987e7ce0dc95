import { describe, expect, it } from 'vitest';
import { canonicalQuantity, Quantity } from './quantity.ts';

describe('a quantity in canonical form', () => {
  const cases: [string | number, string][] = [
    ['0', '0'],
    ['0Gi', '0'],
    [0.5, '500m'],
    ['100m', '100m'],
    ['1000m', '1'],
    ['1.5', '1500m'],
    ['1500', '1500'],
    ['100000', '100k'],
    ['1Gi', '1Gi'],
    ['1024Mi', '1Gi'],
    ['1.5Gi', '1536Mi'],
    ['0.1Ki', '102400m'],
    ['512Ki', '512Ki'],
    ['1023', '1023'],
    ['0.5Mi', '512Ki'],
    ['1e3', '1e3'],
    ['12E2', '1200'],
    ['1E', '1E'],
    ['1E3', '1e3'],
    ['123456789', '123456789'],
    ['1n', '1n'],
    ['0.1n', '1n'],
    ['-0.1n', '-1n'],
    ['-1.5Gi', '-1536Mi'],
    ['+5', '5'],
    ['.5', '500m'],
    ['5.', '5'],
    ['99999999999999999999', '9223372036854775807'],
  ];
  for (const [text, canonical] of cases) {
    it(`writes ${text} as ${canonical}`, () => expect(canonicalQuantity(text)).toBe(canonical));
  }
  it('caps absurd exponents without doing absurd work', () => {
    expect(Quantity.parse('1e999999999').value()).toBe(2 ** 63);
  });

  for (const text of ['', 'x', '1x', '1 Gi', ' 1', '.', '-', '1.2.3', '1Kii', '1e', 'Ki', '1e1.5', '0x10', 'NaN']) {
    it(`refuses ${JSON.stringify(text)}`, () => expect(() => Quantity.parse(text)).toThrow(/quantities must match/));
  }
});

describe('quantity arithmetic', () => {
  const q = (text: string) => Quantity.parse(text);
  it('adds and subtracts exactly, keeping the format of the first', () => {
    expect(q('1Gi').add(q('512Mi')).toString()).toBe('1536Mi');
    expect(q('0').add(q('1Gi')).toString()).toBe('1Gi');
    expect(q('100m').add(q('0.9')).toString()).toBe('1');
    expect(q('1').sub(q('1100m')).toString()).toBe('-100m');
  });
  it('rounds away from zero where a whole number is asked for', () => {
    expect([q('1m').value(), q('-1m').value(), q('1500m').value(), q('1u').milliValue()]).toEqual([1, -1, 2, 1]);
  });
  it('compares amounts, not texts', () => {
    expect(q('1Gi').compare(q('1024Mi'))).toBe(0);
    expect(q('1G').compare(q('1Gi'))).toBeLessThan(0);
    expect(q('1000m').equals(q('1'))).toBe(true);
  });
});
