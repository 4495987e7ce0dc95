import { WebSocket } from 'ws';
import { TUNNEL_PROTOCOL, tunnelPath } from '#api/tunnel/frames.ts';
import { pingPeer } from '#api/tunnel/ping-peer.ts';
import { TunnelSession } from '#api/tunnel/tunnel-session.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Dialer } from '../host/host.ts';
import { type AllowedTargetsOptions, resolveTunnelTarget } from './allowed-targets.ts';

export interface TunnelTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface TunnelClientOptions {
  readonly nodeName: string;
  /** `https://10.0.0.1:6443`; asked at each attempt, so that it may move. */
  readonly server: () => string;
  /** The node's identity; asked at each attempt, so that a renewed certificate is used. */
  readonly tls: () => TunnelTls;
  readonly targets: AllowedTargetsOptions;
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
    const reason = await runSession(options, signal);
    if (signal.aborted) return;
    failures = clock.monotonic() - startMs > SETTLED_MS ? 1 : failures + 1;
    const delayMs = backoffDelayMs(failures, { ...RECONNECT, ...(random === undefined ? {} : { random }) });
    log.warn('tunnel is down', { reason, retryInMs: Math.round(delayMs) });
    await delay(clock, delayMs, signal).catch(() => {});
  }
}

/** One connection from its handshake to its end; resolves with the reason of the end. */
function runSession(options: TunnelClientOptions, signal: AbortSignal): Promise<string> {
  const { nodeName, clock, log } = options;
  return new Promise((resolve) => {
    const url = new URL(tunnelPath(nodeName), options.server());
    url.protocol = 'wss:';
    const socket = new WebSocket(url, TUNNEL_PROTOCOL, {
      ...options.tls(),
      perMessageDeflate: false,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      maxPayload: MAX_MESSAGE_BYTES,
    });
    socket.binaryType = 'nodebuffer';
    const session = new TunnelSession({
      send: (message, sent) => socket.send(message, sent),
      connect: (target, abort) => connectTarget(options, target, abort),
    });
    let reason = 'closed by the controller';
    let cancelPing = () => {};
    let cancelTerminate = () => {};
    const onAbort = () => {
      socket.close(1001, 'agent is stopping');
      cancelTerminate = clock.after(GOODBYE_MS, () => socket.terminate());
    };
    signal.addEventListener('abort', onAbort, { once: true });
    socket.on('open', () => {
      log.info('tunnel is up', { server: url.host });
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
    socket.on('error', (err) => {
      reason = describeError(err);
    });
    socket.on('close', (_code, text: Buffer) => {
      cancelPing();
      cancelTerminate();
      signal.removeEventListener('abort', onAbort);
      session.close(new Error('tunnel to the controller is down'));
      resolve(text.length > 0 ? text.toString() : reason);
    });
    if (signal.aborted) onAbort();
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
