import { expect, test } from 'vitest';
import { describeError } from './errors.ts';

const caused = (message: string, cause: unknown) => new Error(message, { cause });

test.each([
  ['causes are told', caused('outer', caused('middle', new Error('inner'))), 'outer: middle: inner'],
  ['a cause that repeats it is not', caused('no such image', new Error('5 NOT_FOUND: no such image')), 'no such image'],
  ['nor one that was quoted', caused('pull failed: no route', new Error('no route')), 'pull failed: no route'],
  ['what is no error', 'text', 'text'],
])('%s', (_name, err, expected) => {
  expect(describeError(err)).toBe(expected);
});
