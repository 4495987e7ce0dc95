const NEWLINE = 0x0a;

/**
 * Splits a stream of UTF-8 chunks at line feeds; empty lines are skipped, a last line without a line feed is dropped: it was cut off. Lines that
 * came together are handed on together: each step of a generator costs as much as decoding a small object.
 */
export async function* readLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<readonly string[], void, void> {
  /** Pieces of the line under way; joined once, so that a huge line over many chunks costs linear time. */
  let pieces: Uint8Array[] = [];
  for await (const bytes of chunks) {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const lines: string[] = [];
    let start = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, start)) {
      const line = pieces.length === 0 ? chunk.toString('utf8', start, at) : endLine(pieces, chunk.subarray(start, at));
      pieces = [];
      start = at + 1;
      if (line.trim() !== '') lines.push(line);
    }
    if (lines.length > 0) yield lines;
    if (start < chunk.byteLength) pieces.push(chunk.subarray(start));
  }
}

function endLine(pieces: readonly Uint8Array[], last: Uint8Array): string {
  return Buffer.concat([...pieces, last]).toString('utf8');
}
