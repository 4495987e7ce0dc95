import { expect, it } from 'vitest';
import { drawMark, withMark, withoutMark } from './writer-mark.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

it('a mark is white space that JSON does not see, and comes off again', () => {
  const [one, two] = [drawMark(Math.random), drawMark(Math.random)];
  const plain = bytes('{"a":"}  "}');
  const marked = withMark(plain, one);
  expect(JSON.parse(new TextDecoder().decode(marked))).toEqual({ a: '}  ' });
  expect(withoutMark(marked)).toEqual(plain);
  expect(Buffer.compare(marked, withMark(plain, two))).not.toBe(0);
});

it.each(['', '{}', '{"a":1}\n', 'k8s\0                    ', `{}${' '.repeat(19)}`, `{}${' '.repeat(21)}`])(
  'what others wrote stays as it is: %j',
  (stored) => {
    expect(withoutMark(bytes(stored))).toEqual(bytes(stored));
  },
);
