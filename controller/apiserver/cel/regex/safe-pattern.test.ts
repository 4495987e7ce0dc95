import { describe, expect, it } from 'vitest';
import { PatternError } from './pattern-syntax.ts';
import { SafePattern } from './safe-pattern.ts';

describe('SafePattern', () => {
  it.each([
    // JavaScript reads these patterns like RE2.
    ['^a(b|c)*d$', ['ad', 'abcbd', 'abe', 'xad']],
    ['a{2,3}', ['a', 'aa', 'aaaa']],
    ['[^a-c]', ['abc', 'abcd', '']],
    ['^[\\w.-]+@[\\w-]+\\.\\w{2,}$', ['a.b@example.com', 'a@b', '@']],
    ['\\bfoo\\b', ['a foo b', 'afoo', 'foo']],
    ['^(?:[0-9]{1,3}\\.){3}[0-9]{1,3}$', ['10.0.0.1', '10.0.0', '1.2.3.4.5']],
    ['^$', ['', 'a']],
    ['\x41', ['A', 'B']],
    ['x*', ['', 'y']],
    ['^.$', ['a', '\n', 'ab']],
    ['a|b|', ['c']],
    ['\\d\\D\\s\\S', ['1a b', '11 b']],
    ['a{,2}', ['a{,2}', 'aa']],
    ['[]a]', [']', 'a', 'b']],
  ])('agrees with JavaScript about %s', (pattern, texts) => {
    const reference = new RegExp(pattern.replace('[]', '[\\]'));
    for (const text of texts)
      expect([text, SafePattern.compile(pattern).test(text)]).toEqual([text, reference.test(text)]);
  });

  it.each([
    ['(?i)abc', 'xABCx', true],
    ['(?i:a)b', 'AB', false],
    ['(?s)a.b', 'a\nb', true],
    ['(?m)^b$', 'a\nb\nc', true],
    ['\\Aa\\z', 'a', true],
    ['^[[:alpha:]_]+$', 'Ab_', true],
    ['^[[:^digit:]]$', '1', false],
    ['^\\p{Lu}\\pL+$', 'Éa', true],
    ['^\\p{Greek}$', 'α', true],
    ['^\\P{Greek}$', 'α', false],
    ['^.$', '😀', true],
    ['\\Q.*\\E', 'a.*b', true],
    ['(?P<year>\\d{4})-(?<month>\\d\\d)', '2024-01', true],
    ['^(a|ab)(c|bcd)$', 'abcd', true],
    ['(a*)*b', 'aaaa', false],
    ['()*|x', 'x', true],
  ])('%s on %j is %s', (pattern, text, expected) => {
    expect(SafePattern.compile(pattern).test(text)).toBe(expected);
  });

  it.each([
    ['a+?', 'aaa', ['a', 'a', 'a']],
    ['a+', 'aaba', ['aa', 'a']],
    ['a|ab', 'ab', ['a']],
    ['(?U)a+', 'aa', ['a', 'a']],
    ['a*', 'baac', ['', 'aa', '']],
    ['', 'ab', ['', '', '']],
  ])('%s finds in %j', (pattern, text, expected) => {
    expect(SafePattern.compile(pattern).findAll(text)).toEqual(expected);
  });

  it.each([
    ['(', 'missing closing ): `(`'],
    ['a)', 'unexpected ): `a)`'],
    ['[a', 'missing closing ]: `[a`'],
    ['*a', 'missing argument to repetition operator: `*`'],
    ['a**', 'invalid nested repetition operator: `a**`'],
    ['a{1001}', 'invalid repeat count: `{1001}`'],
    ['a{2,1}', 'invalid repeat count: `{2,1}`'],
    ['(?=a)', 'invalid or unsupported Perl syntax: `(?=`'],
    ['(?<!a)', 'invalid or unsupported Perl syntax: `(?<`'],
    ['(a)\\1', 'invalid escape sequence: `\\1`'],
    ['\\y', 'invalid escape sequence: `\\y`'],
    ['[b-a]', 'invalid character class range: `b-a`'],
    ['\\p{Nope}', 'invalid character class range: `\\p{Nope}`'],
    ['a\\', 'trailing backslash at end of expression: ``'],
    ['((((a{100}){100}){100}){100})', 'expression too large'],
  ])('refuses %s', (pattern, message) => {
    expect(() => SafePattern.compile(pattern)).toThrow(PatternError);
    expect(() => SafePattern.compile(pattern)).toThrow(message);
  });

  it('takes time in proportion to the text where others take exponential time', () => {
    let steps = 0;
    const text = `${'a'.repeat(2000)}!`;
    expect(SafePattern.compile('^(a+)+$').test(text, (more) => (steps += more))).toBe(false);
    expect(steps).toBeLessThan(text.length * 20);
  });

  it('is not kept busy by counting nothing', () => {
    expect(SafePattern.compile('(((){1000}){1000}){1000}').test('')).toBe(true);
  });
});
