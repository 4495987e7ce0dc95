import type { IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import { expiredPeer } from '#api/client/peer-expiry.ts';
import { API_SERVER_NAME } from '#api/client/server-addresses.ts';
import { TUNNEL_AGENT_HEADER, TUNNEL_PROTOCOL, TUNNEL_SERVER_HEADER, tunnelPath } from '#api/tunnel/frames.ts';
import { isPacketSent } from '#api/tunnel/packet-limits.ts';
import { pingPeer } from '#api/tunnel/ping-peer.ts';
import { TunnelSession } from '#api/tunnel/tunnel-session.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Dialer } from '../host/host.ts';
import { type AllowedTargetsOptions, resolveTunnelTarget } from './allowed-targets.ts';
import type { TunnelVerdict } from './copy-guard.ts';
import type { PacketLink, PacketLinks } from './packet-links.ts';
import type { TunnelClaims } from './tunnel-claims.ts';

export interface TunnelTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface TunnelClientOptions {
  readonly nodeName: string;
  /** `https://10.0.0.1:6443`. */
  readonly server: string;
  /** Shared by the tunnels of a node; absent: this is the only one. */
  readonly claims?: TunnelClaims;
  /** The node's identity; asked at each attempt, so that a renewed certificate is used. */
  readonly tls: () => TunnelTls;
  /** Of this process, so that a server knows a second host with the same identity. */
  readonly agentId?: string;
  readonly onVerdict?: (server: string, verdict: TunnelVerdict) => void;
  readonly targets: AllowedTargetsOptions;
  /** Where datagrams of other nodes go; absent: they are dropped. */
  readonly packets?: PacketLinks;
  readonly dialer: Dialer;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random?: () => number;
}

/** The first retry comes soon, for a controller that restarts; a fleet does not come back in step after an outage. */
const RECONNECT = { initialMs: 500, maxMs: 30_000, jitter: 1 };
const HANDSHAKE_TIMEOUT_MS = 15_000;
/** A session that lived this long was good: the next break starts the back-off anew. */
const SETTLED_MS = 10_000;
/** How long a stopping agent waits for a controller that may be gone. */
const GOODBYE_MS = 1000;
const MAX_MESSAGE_BYTES = 1024 * 1024;

/** Keeps the tunnel to the controller up until aborted: connects outwards, so that it works behind NAT, and reconnects for ever. */
export async function runTunnelClient(options: TunnelClientOptions, signal: AbortSignal): Promise<void> {
  const { clock, log, random } = options;
  let failures = 0;
  while (!signal.aborted) {
    const startMs = clock.monotonic();
    const { reason, until, isCopy } = await runSession(options, signal);
    if (signal.aborted) {
      // What a server said that is asked no more holds nobody.
      options.onVerdict?.(options.server, { kind: 'down' });
      return;
    }
    if (until === undefined)
      options.onVerdict?.(options.server, isCopy ? { kind: 'copy', message: reason } : { kind: 'down' });
    if (until !== undefined) {
      log.debug('this address leads to a server that has a tunnel', { server: options.server });
      await untilSettledOrAborted(until, signal);
      continue;
    }
    failures = clock.monotonic() - startMs > SETTLED_MS ? 1 : failures + 1;
    const delayMs = backoffDelayMs(failures, { ...RECONNECT, ...(random === undefined ? {} : { random }) });
    // Once: an address that this node cannot reach, beside others that it can, is nobody's alarm for ever.
    const tell = failures === 1 ? log.warn : log.debug;
    tell.call(log, 'tunnel is down', { server: options.server, reason, retryInMs: Math.round(delayMs) });
    await delay(clock, delayMs, signal).catch(() => {});
  }
  options.onVerdict?.(options.server, { kind: 'down' });
}

interface SessionEnd {
  readonly reason: string;
  /** Another address leads to the same server: a second tunnel is of no use before this. */
  readonly until: Promise<void> | undefined;
  /** The server knows another host with the identity of this one. */
  readonly isCopy: boolean;
}

/** One connection from its handshake to its end. */
function runSession(options: TunnelClientOptions, signal: AbortSignal): Promise<SessionEnd> {
  const { nodeName, clock, log } = options;
  return new Promise((resolve) => {
    const url = new URL(tunnelPath(nodeName), options.server);
    url.protocol = 'wss:';
    const tls = { ...options.tls(), servername: API_SERVER_NAME };
    const socket = new WebSocket(url, TUNNEL_PROTOCOL, {
      ...tls,
      ...(options.agentId === undefined ? {} : { headers: { [TUNNEL_AGENT_HEADER]: options.agentId } }),
      perMessageDeflate: false,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      maxPayload: MAX_MESSAGE_BYTES,
    });
    socket.binaryType = 'nodebuffer';
    const session = new TunnelSession({
      send: (message, sent) => socket.send(message, sent),
      connect: (target, abort) => connectTarget(options, target, abort),
      onPacket: (node, bytes) => options.packets?.receive(link, node, bytes),
    });
    const link: PacketLink = {
      send(node, bytes) {
        if (isPacketSent(bytes, socket.bufferedAmount)) session.sendPacket(node, bytes);
      },
    };
    let reason = 'closed by the controller';
    let cancelPing = () => {};
    let cancelTerminate = () => {};
    let release = () => {};
    let until: Promise<void> | undefined;
    let expired: Error | undefined;
    let refusal: Refusal | undefined;
    const onAbort = () => {
      socket.close(1001, 'agent is stopping');
      cancelTerminate = clock.after(GOODBYE_MS, () => socket.terminate());
    };
    signal.addEventListener('abort', onAbort, { once: true });
    socket.on('upgrade', ({ headers, socket: connection }) => {
      expired = expiredPeer(connection, clock);
      if (expired !== undefined) {
        socket.terminate();
        return;
      }
      const serverId = headers[TUNNEL_SERVER_HEADER];
      if (typeof serverId !== 'string' || options.claims === undefined) return;
      const claim = options.claims.claim(serverId);
      if ('release' in claim) release = claim.release;
      else until = claim.taken;
    });
    socket.on('open', () => {
      if (until !== undefined) {
        socket.close(1000, 'this server has a tunnel');
        return;
      }
      options.onVerdict?.(options.server, { kind: 'open' });
      log.info('tunnel is up', { server: url.host });
      options.packets?.add(link);
      cancelPing = pingPeer(socket, clock);
    });
    socket.on('message', (data: Buffer) => {
      try {
        session.receive(data);
      } catch (err) {
        reason = describeError(err);
        socket.close(1002, 'protocol error');
      }
    });
    socket.on('unexpected-response', (_request, response) => {
      void readRefusal(response).then((read) => {
        refusal = read;
        socket.terminate();
      });
    });
    socket.on('error', (err) => {
      reason = describeError(expired ?? err);
    });
    socket.on('close', (_code, text: Buffer) => {
      cancelPing();
      cancelTerminate();
      signal.removeEventListener('abort', onAbort);
      options.packets?.remove(link);
      session.close(new Error('tunnel to the controller is down'));
      release();
      const why = refusal?.message ?? (text.length > 0 ? text.toString() : reason);
      resolve({ reason: why, until, isCopy: refusal?.code === 409 });
    });
    if (signal.aborted) onAbort();
  });
}

interface Refusal {
  readonly code: number;
  readonly message: string;
}

/** A Status of Kubernetes, or whatever else stands in the way. */
async function readRefusal(response: IncomingMessage): Promise<Refusal> {
  const code = response.statusCode ?? 0;
  let message = `the server answered ${code}`;
  try {
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const status = JSON.parse(Buffer.concat(chunks).toString()) as { message?: unknown };
    if (typeof status.message === 'string' && status.message !== '') message = status.message;
  } catch {
    // No Status, or cut off: the code says enough.
  }
  return { code, message };
}

function untilSettledOrAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
    void promise.then(resolve);
    if (signal.aborted) resolve();
  });
}

async function connectTarget(
  { targets, dialer }: TunnelClientOptions,
  target: { readonly host: string; readonly port: number },
  signal: AbortSignal,
) {
  const allowed = resolveTunnelTarget(target, targets);
  if (allowed === undefined)
    throw new Error(`${target.host || 'node'}:${target.port} is not reachable through this tunnel`);
  return dialer.tcp(allowed.host, allowed.port, { signal });
}
