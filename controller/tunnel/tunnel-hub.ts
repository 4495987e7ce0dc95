import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { TUNNEL_AGENT_HEADER, TUNNEL_PROTOCOL, TUNNEL_SERVER_HEADER, type TunnelTarget } from '#api/tunnel/frames.ts';
import { isPacketSent } from '#api/tunnel/packet-limits.ts';
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
  readonly onTwin?: (report: TwinReport) => void;
}

/** Two hosts have the identity of one node. */
export interface TwinReport {
  readonly nodeName: string;
  /** Of the one at work. */
  readonly address: string;
  /** Of the one that was refused. */
  readonly refusedAddress: string;
  readonly message: string;
}

export interface Newcomer {
  /** Of the agent's process; undefined where the agent tells none. */
  readonly agentId: string | undefined;
  readonly address: string;
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
  readonly agentId: string | undefined;
}

/** A connection that does not answer a ping for so long is that of a host that was switched off, and gives way. */
const TWIN_PATIENCE_MS = 3_000;
const MAX_MESSAGE_BYTES = 1024 * 1024;
const NOT_HERE = new Uint8Array();

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

  /**
   * Why this newcomer may not have the tunnel of the node, or undefined when it may: another process of an agent holds one and answers. One
   * that does not answer is cut off: the node has started anew.
   */
  async twinProblem(nodeName: string, { agentId, address }: Newcomer): Promise<string | undefined> {
    if (agentId === undefined) return undefined;
    const isOther = (held: NodeSession) => held.agentId !== undefined && held.agentId !== agentId;
    const others = (this.#sessions.get(nodeName) ?? []).filter(isOther);
    const alive = await Promise.all(others.map((held) => this.#answers(held.socket)));
    for (const [at, held] of others.entries()) if (!alive[at]) held.socket.terminate();
    const other = others[alive.indexOf(true)];
    if (other === undefined) return undefined;
    const message =
      `node ${nodeName} is at work at ${plainAddress(other.address)} with the identity of this host, so one of the two is a copy (of an SD card, say): ` +
      'delete the data directory of the agent here and join it under a name of its own, with a token of `coracle token create`';
    this.#options.log.warn('refused a second host with the identity of a node', {
      node: nodeName,
      atWork: other.address,
      refused: address,
    });
    this.#options.onTwin?.({
      nodeName,
      address: plainAddress(other.address),
      refusedAddress: plainAddress(address),
      message,
    });
    return message;
  }

  #answers(socket: WebSocket): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (answer: boolean) => {
        cancel();
        socket.off('pong', onPong);
        socket.off('close', onClose);
        resolve(answer);
      };
      const onPong = () => settle(true);
      const onClose = () => settle(false);
      const cancel = this.#options.clock.after(TWIN_PATIENCE_MS, onClose);
      socket.on('pong', onPong);
      socket.on('close', onClose);
      if (socket.readyState === socket.OPEN) socket.ping();
      else settle(false);
    });
  }

  /** Takes over the upgraded connection of a node; the caller has verified that it is that node's. */
  accept(nodeName: string, { socket, head, incoming }: TunnelUpgrade): void {
    this.#server.handleUpgrade(incoming, socket, Buffer.from(head), (webSocket) =>
      this.#addSession(nodeName, webSocket, incoming),
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

  #addSession(
    nodeName: string,
    socket: WebSocket,
    { headers, socket: { remoteAddress: address = '' } }: IncomingMessage,
  ): void {
    const agentId = [headers[TUNNEL_AGENT_HEADER]].flat()[0];
    const { log, clock } = this.#options;
    const session = new TunnelSession({
      send: (message, sent) => socket.send(message, sent),
      onPacket: (to, bytes) => this.#relay(entry, nodeName, to, bytes),
    });
    const entry: NodeSession = { session, socket, address, agentId };
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

  /** From one node to another that it cannot reach by itself. */
  #relay(sender: NodeSession, from: string, to: string, bytes: Uint8Array): void {
    const newest = this.#sessions.get(to)?.at(-1);
    if (newest === undefined) {
      if (isPacketSent(NOT_HERE, sender.socket.bufferedAmount)) sender.session.sendPacket(to, NOT_HERE);
    } else if (bytes.length > 0 && isPacketSent(bytes, newest.socket.bufferedAmount))
      newest.session.sendPacket(from, bytes);
  }

  /** Agents that tell no id of their process are kept, both: closing one would make them throw each other out for ever. */
  #warnOfTwins(nodeName: string, others: readonly NodeSession[], address: string): void {
    if (others.every((other) => other.agentId !== undefined || other.address === address)) return;
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

/** IPv4 as people write it, where the socket speaks both. */
const plainAddress = (address: string): string => address.replace(/^::ffff:/, '');
