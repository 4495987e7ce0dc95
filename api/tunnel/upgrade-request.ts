/** Headers that the handshake of a streaming protocol consists of; the client's credentials and everything else go no further. */
const HANDSHAKE_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'upgrade',
  'x-stream-protocol-version',
  'sec-websocket-key',
  'sec-websocket-version',
  'sec-websocket-protocol',
  'sec-websocket-extensions',
]);

export interface UpgradeTarget {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly host: string;
}

/**
 * The client's own handshake as the head of an HTTP/1.1 request to the next hop, header names in the case they came in, repeats kept.
 * `rawHeaders` alternates names and values, as Node's parser leaves them.
 */
export function renderUpgradeRequest(target: UpgradeTarget, rawHeaders: readonly string[]): string {
  const lines = [`${target.method} ${target.path} HTTP/1.1`, `Host: ${target.host}`];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!;
    if (HANDSHAKE_HEADERS.has(name.toLowerCase())) lines.push(`${name}: ${rawHeaders[index + 1]}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}
