import { expect, test } from 'vitest';
import { envFileValue } from './env-file.ts';

const TEXT = `# a comment
A='1'

  B='two words' # what follows the quote is passed over
LONG='first
second'
A='last wins'
EMPTY=''
`;

test.each([
  ['A', 'last wins'],
  ['B', 'two words'],
  ['LONG', 'first\nsecond'],
  ['EMPTY', ''],
  ['ABSENT', undefined],
])('the value of %s', (key, value) => {
  expect(envFileValue(TEXT, key)).toBe(value);
});

test.each(['A=1', 'A="1"', "A = '1'", 'export A', "A='open"])('refuses %s', (text) => {
  expect(() => envFileValue(text, 'A')).toThrow(/invalid environment variable format|unterminated/);
});
