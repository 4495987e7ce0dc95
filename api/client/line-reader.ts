const NEWLINE = 0x0a;

/** Splits a stream of UTF-8 chunks at line feeds; empty lines are skipped, a last line without a line feed is dropped: it was cut off. */
export async function* readLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, void> {
  /** Pieces of the line under way; joined once, so that a huge line over many chunks costs linear time. */
  let pieces: Uint8Array[] = [];
  for await (const bytes of chunks) {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let start = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, start)) {
      const line = pieces.length === 0 ? chunk.toString('utf8', start, at) : endLine(pieces, chunk.subarray(start, at));
      pieces = [];
      start = at + 1;
      if (line.trim() !== '') yield line;
    }
    if (start < chunk.byteLength) pieces.push(chunk.subarray(start));
  }
}

function endLine(pieces: readonly Uint8Array[], last: Uint8Array): string {
  return Buffer.concat([...pieces, last]).toString('utf8');
}
