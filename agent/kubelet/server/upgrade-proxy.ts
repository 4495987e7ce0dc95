import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { renderUpgradeRequest } from '#api/tunnel/upgrade-request.ts';
import { joinStreams } from '#base/join-streams.ts';
import type { Dialer } from '../../host/host.ts';

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
  const hop = { method: request.method ?? 'POST', path: `${target.pathname}${target.search}`, host: target.host };
  backend.write(renderUpgradeRequest(hop, request.rawHeaders));
  if (head.length > 0) backend.write(head);
  joinStreams(socket, backend);
}
