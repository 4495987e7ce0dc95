import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { joinStreams } from '#base/join-streams.ts';
import type { Dialer } from '../../host/host.ts';

/** Headers that a streaming protocol's handshake consists of; everything else stays between the caller and us. */
const HANDSHAKE_HEADERS = new Set([
  'connection',
  'upgrade',
  'x-stream-protocol-version',
  'sec-websocket-key',
  'sec-websocket-version',
  'sec-websocket-protocol',
  'sec-websocket-extensions',
]);

/** The upgrade request that goes to the runtime's streaming server, header names in the case they came in, repeats kept. */
export function renderUpgradeRequest(method: string, url: URL, rawHeaders: readonly string[]): string {
  const lines = [`${method} ${url.pathname}${url.search} HTTP/1.1`, `Host: ${url.host}`];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!;
    if (HANDSHAKE_HEADERS.has(name.toLowerCase())) lines.push(`${name}: ${rawHeaders[index + 1]}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}

/**
 * Hands the caller's upgraded connection to the runtime's streaming server byte by byte: neither the answer's head nor SPDY or WebSocket
 * frames are read here. Back-pressure is that of the two sockets.
 */
export async function proxyUpgrade(
  dialer: Dialer,
  incoming: { readonly request: IncomingMessage; readonly socket: Duplex; readonly head: Uint8Array },
  target: URL,
): Promise<void> {
  const { request, socket, head } = incoming;
  const backend = await dialer.tcp(target.hostname, Number(target.port || 80));
  if (socket.destroyed) {
    backend.destroy();
    return;
  }
  backend.write(renderUpgradeRequest(request.method ?? 'POST', target, request.rawHeaders));
  if (head.length > 0) backend.write(head);
  joinStreams(socket, backend);
}
