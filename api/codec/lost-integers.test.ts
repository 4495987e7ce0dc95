import { describe, expect, it } from 'vitest';
import { findLostIntegers, holdsHugeNumber, renderSteps } from './lost-integers.ts';

describe('integers that a double changes', () => {
  it.each<[name: string, text: string, lost: string[]]>([
    ['one above 2^53', '{"a":{"b":[0,9007199254740993]}}', ['a.b[1]=9007199254740993']],
    ['the smallest int64', '{"j":-9223372036854775808}', ['j=-9223372036854775808']],
    ['2^53-1', '{"i":9007199254740991}', []],
    ['2^53, which a double holds and writes', '{"i":9007199254740992}', []],
    ['a float', '{"i":1.5e300}', []],
    ['an integer as a double writes it', '{"i":-9223372036854776000}', []],
    ['10^21', '{"i":1000000000000000000000}', []],
    ['more than any double', '{"i":1e999}', ['i=1e999']],
    ['a string', '{"i":"9007199254740993"}', []],
  ])('finds %s', (_, text, lost) => {
    const found = findLostIntegers(text, 'json').map(({ steps, digits }) => `${renderSteps(steps)}=${digits}`);
    expect(found).toEqual(lost);
    if (lost.length > 0) expect(holdsHugeNumber(JSON.parse(text))).toBe(true);
  });

  it.each([
    ['block', 'a:\n- b: 9007199254740993\n  c: 0x20000000000001\n'],
    ['flow', '{a: [{b: 1, b: 9007199254740993, c: 9007199254740993}]}'],
    ['JSON', '{"a": [{"b": 9007199254740993, "c": 9007199254740993}]}'],
  ])('finds them in YAML written as %s', (_, text) => {
    const found = findLostIntegers(text, 'yaml').map(({ steps, digits }) => `${renderSteps(steps)}=${digits}`);
    expect(found).toEqual(['a[0].b=9007199254740993', 'a[0].c=9007199254740993']);
  });
});
