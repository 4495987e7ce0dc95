const NEWLINE = 0x0a;

/** Splits a stream of UTF-8 chunks at line feeds; empty lines are skipped, a last line without a line feed is dropped: it was cut off. */
export async function* readLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, void> {
  /** Pieces of the line under way; joined once, so that a huge line over many chunks costs linear time. */
  let pieces: Uint8Array[] = [];
  for await (const chunk of chunks) {
    let start = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, start)) {
      pieces.push(chunk.subarray(start, at));
      const line = Buffer.concat(pieces).toString('utf8');
      pieces = [];
      start = at + 1;
      if (line.trim() !== '') yield line;
    }
    if (start < chunk.byteLength) pieces.push(chunk.subarray(start));
  }
}
