import { describe, expect, test } from 'vitest';
import { joinPieces, PieceReader } from './pieced-body.ts';

const piece = (text: string) => new TextEncoder().encode(text);
const pieces = ['', 'ab', 'c', '', 'defgh', 'i', ''].map(piece);

describe('PieceReader', () => {
  test.each([1, 2, 3, 4, 8, 9, 20])('gives the pieces in their order in buffers of %i bytes', (size) => {
    const reader = new PieceReader(pieces);
    const target = Buffer.alloc(size);
    let text = '';
    for (let bytes = reader.read(target); bytes > 0; bytes = reader.read(target)) {
      text += target.toString('latin1', 0, bytes);
    }
    expect(text).toBe('abcdefghi');
  });
});

test('joinPieces puts them together', () => {
  const body = { pieces, byteLength: 9, pause: () => undefined };
  expect(new TextDecoder().decode(joinPieces(body))).toBe('abcdefghi');
});
