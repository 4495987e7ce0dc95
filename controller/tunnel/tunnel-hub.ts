import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { TUNNEL_PROTOCOL, TUNNEL_SERVER_HEADER, type TunnelTarget } from '#api/tunnel/frames.ts';
import { pingPeer } from '#api/tunnel/ping-peer.ts';
import { TunnelSession } from '#api/tunnel/tunnel-session.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';

export interface TunnelHubOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Of this process: tells an agent that two addresses lead to one server. */
  readonly serverId: string;
}

export interface TunnelUpgrade {
  readonly socket: Duplex;
  readonly head: Uint8Array;
  readonly incoming: IncomingMessage;
}

interface NodeSession {
  readonly session: TunnelSession;
  readonly socket: WebSocket;
  readonly address: string;
}

const MAX_MESSAGE_BYTES = 1024 * 1024;

/** The tunnels of all nodes that are connected to this API server. */
export class TunnelHub {
  readonly #options: TunnelHubOptions;
  readonly #server: WebSocketServer;
  /** Oldest first; usually one each. */
  readonly #sessions = new Map<string, NodeSession[]>();

  constructor(options: TunnelHubOptions) {
    this.#options = options;
    this.#server = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false,
      maxPayload: MAX_MESSAGE_BYTES,
      handleProtocols: (offered) => (offered.has(TUNNEL_PROTOCOL) ? TUNNEL_PROTOCOL : false),
    });
    this.#server.on('headers', (headers) => headers.push(`${TUNNEL_SERVER_HEADER}: ${options.serverId}`));
  }

  /** Takes over the upgraded connection of a node; the caller has verified that it is that node's. */
  accept(nodeName: string, { socket, head, incoming }: TunnelUpgrade): void {
    this.#server.handleUpgrade(incoming, socket, Buffer.from(head), (webSocket) =>
      this.#addSession(nodeName, webSocket, incoming.socket.remoteAddress ?? ''),
    );
  }

  isConnected(nodeName: string): boolean {
    return this.#sessions.has(nodeName);
  }

  /** Streams open or opening over all tunnels; for metrics. */
  get streamCount(): number {
    return [...this.#sessions.values()].flat().reduce((sum, { session }) => sum + session.streamCount, 0);
  }

  /** A stream through the node's newest tunnel; rejects with the agent's reason, or when the node has no tunnel here. */
  open(nodeName: string, target: TunnelTarget, signal?: AbortSignal): Promise<Duplex> {
    const newest = this.#sessions.get(nodeName)?.at(-1);
    if (newest === undefined) return Promise.reject(new Error(`node ${nodeName} has no tunnel`));
    return newest.session.open(target, signal);
  }

  close(): void {
    for (const sessions of this.#sessions.values())
      for (const { socket } of sessions) socket.close(1001, 'controller is stopping');
    this.#server.close();
  }

  #addSession(nodeName: string, socket: WebSocket, address: string): void {
    const { log, clock } = this.#options;
    const session = new TunnelSession({ send: (message, sent) => socket.send(message, sent) });
    const entry: NodeSession = { session, socket, address };
    const others = this.#sessions.get(nodeName) ?? [];
    this.#sessions.set(nodeName, [...others, entry]);
    if (others.length > 0) this.#warnOfTwins(nodeName, others, address);
    log.info('tunnel is up', { node: nodeName, address });
    const stopPing = pingPeer(socket, clock);
    socket.on('message', (data: Buffer) => {
      try {
        session.receive(data);
      } catch (err) {
        log.warn('tunnel broke the protocol', { node: nodeName, err: describeError(err) });
        socket.close(1002, 'protocol error');
      }
    });
    socket.on('error', (err) => log.debug('tunnel failed', { node: nodeName, err: describeError(err) }));
    socket.on('close', () => {
      stopPing();
      this.#removeSession(nodeName, entry);
      session.close(new Error(`tunnel to node ${nodeName} is down`));
      log.info('tunnel is down', { node: nodeName, address });
    });
  }

  /**
   * A node that reconnects before its old connection was found dead looks the same for a while, from the same address; two machines with
   * one identity (a cloned SD card) stay. Both are kept: closing one would make them throw each other out for ever.
   */
  #warnOfTwins(nodeName: string, others: readonly NodeSession[], address: string): void {
    if (others.every((other) => other.address === address)) return;
    this.#options.log.warn(
      'two machines are connected with the identity of one node: give the clone an identity of its own (delete its data directory and join it again)',
      {
        node: nodeName,
        addresses: [...new Set([...others.map((other) => other.address), address])],
      },
    );
  }

  #removeSession(nodeName: string, entry: NodeSession): void {
    const rest = (this.#sessions.get(nodeName) ?? []).filter((other) => other !== entry);
    if (rest.length === 0) this.#sessions.delete(nodeName);
    else this.#sessions.set(nodeName, rest);
  }
}
