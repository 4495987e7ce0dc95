import type { IncomingMessage } from 'node:http';
import http2 from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { ApiRequest, ApiResponse, HeaderMap, ResponseStream } from './api-request.ts';
import { closedStream, NodeApiRequest, NodeApiResponse, type NodeRequest, type NodeResponse } from './http-exchange.ts';
import { peerOf, type TrustedCas } from './peer-facts.ts';
import { PenaltyBox } from './penalty-box.ts';
import { SessionActivity } from './session-activity.ts';

export interface TlsMaterial extends TrustedCas {
  /** PEM. */
  readonly key: string;
  /** PEM, the chain after the leaf. */
  readonly cert: string;
}

export interface HttpsOptions {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly tls: TlsMaterial;
  /** Never rejects. */
  readonly handler: (request: ApiRequest, response: ApiResponse) => Promise<void>;
  readonly log: Logger;
  readonly limits?: ConnectionLimits;
}

export interface HttpsServer {
  readonly address: string;
  readonly port: number;
  /** New connections use the new material; established ones go on. */
  updateTls(tls: TlsMaterial): void;
  /**
   * Stops listening, says goodbye on every connection, and destroys what is still open after `graceMs` (default 0) or once `drained`
   * resolves.
   */
  close(graceMs?: number, drained?: Promise<void>): Promise<void>;
}

/** Node's default of 10 MB per session resets every new request of a client whose watches are slow. */
const MAX_SESSION_MEMORY_MB = 64;
/** Node advertises 2^32-1 by default; client-go opens as many as it is offered. */
const MAX_CONCURRENT_STREAMS = 1000;
/**
 * Requests that a session may take back: so many at once, then so many a second. Whoever takes back more loses the connection (RFC 9113,
 * 10.5). Clients that cancel their watches stay far below it.
 */
const RESET_BURST = 100;
const RESETS_PER_SECOND = 20;
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Of a request's line and headers together. Long selectors and large tokens fit; Kubernetes takes 1 MiB, which is a gift to floods. */
const MAX_HEAD_BYTES = 64 * 1024;

/** What one client may use up before it is sent away. */
export interface ConnectionLimits {
  /** A request's head has to arrive within this; also the first one of a connection. */
  readonly headersTimeoutMs: number;
  /** A connection without a request is closed after this; 90 s in Kubernetes. */
  readonly idleTimeoutMs: number;
  /** How often connections are looked at: they may live so much longer. */
  readonly sweepMs: number;
  /** Connections beyond this are refused: each holds a descriptor and some 50 kB. */
  readonly maxConnections: number;
}

const DEFAULT_LIMITS: ConnectionLimits = {
  headersTimeoutMs: 20_000,
  idleTimeoutMs: 90_000,
  sweepMs: 5_000,
  maxConnections: 10_000,
};
/** A peer that vanished without a FIN is noticed by an unanswered ping: two periods at most. */
const PING_INTERVAL_MS = 30_000;

/** One TLS port for HTTP/2 and HTTP/1.1. Rejects when the address cannot be bound. */
export async function listenHttps(options: HttpsOptions): Promise<HttpsServer> {
  const { log, limits = DEFAULT_LIMITS } = options;
  // The CAs may be rotated; a connection is judged by those in force at its first request.
  let material = options.tls;
  const server = http2.createSecureServer({
    ...secureContext(options.tls),
    allowHTTP1: true,
    // Of a request that announces no body nobody waits for the end: see `NodeApiRequest`.
    optimizeEmptyRequests: true,
    requestCert: true,
    // Clients without a certificate (tokens) must come in; the authenticator looks at `authorized`.
    rejectUnauthorized: false,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    headersTimeout: limits.headersTimeoutMs,
    connectionsCheckingInterval: limits.sweepMs,
    maxHeaderSize: MAX_HEAD_BYTES,
    // Bodies may be slow, and watches have none: the chain has its own deadline.
    requestTimeout: 0,
    keepAliveTimeout: limits.idleTimeoutMs,
    maxSessionMemory: MAX_SESSION_MEMORY_MB,
    streamResetBurst: RESET_BURST,
    streamResetRate: RESETS_PER_SECOND,
    settings: {
      maxConcurrentStreams: MAX_CONCURRENT_STREAMS,
      maxHeaderListSize: MAX_HEAD_BYTES,
      enableConnectProtocol: false,
    },
  } as http2.SecureServerOptions);
  server.maxConnections = limits.maxConnections;
  const penalties = new PenaltyBox(() => performance.now());
  refusePenalized(server, penalties);
  const activity = new SessionActivity();
  const connections = trackConnections(server, activity, limits);
  let isClosing = false;
  server.on('request', (incoming: NodeRequest, outgoing: NodeResponse) => {
    // HTTP/1.1 has no goodbye but this.
    if (isClosing && 'shouldKeepAlive' in outgoing) outgoing.shouldKeepAlive = false;
    const request = new NodeApiRequest(incoming, peerOf(incoming, material));
    const begin = () => void options.handler(request, new NodeApiResponse(incoming, outgoing));
    const stream = 'stream' in incoming ? incoming.stream : undefined;
    const session = stream?.session;
    // `on`, although it comes once: the wrapper of `once` would be made for every request.
    outgoing.on('close', () => {
      if (!outgoing.writableFinished) request.onGone();
      if (session !== undefined) activity.onRequestEnd(session);
    });
    if (stream === undefined || session === undefined) begin();
    else activity.onRequest(session, { begin, isGone: () => stream.closed });
  });
  server.on('upgrade', (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
    void serveUpgrade({ ...options, tls: material }, incoming, socket, head);
  });
  server.on('tlsClientError', (err) => log.debug('TLS handshake failed', { reason: describeError(err) }));
  server.on('clientError', (err: Error, socket: Duplex) => {
    log.debug('malformed request', { reason: describeError(err) });
    answerMalformed(err, socket);
  });
  server.on('sessionError', (err, session) => {
    log.debug('HTTP/2 session failed', { reason: describeError(err) });
    if (isFlood(err)) penalties.offend(addressOf.get(session) ?? '');
  });
  await listen(server, options.host, options.port);
  const bound = server.address() as AddressInfo;
  return {
    address: bound.address,
    port: bound.port,
    updateTls(tls) {
      material = tls;
      server.setSecureContext(secureContext(tls));
    },
    close: (graceMs = 0, drained?: Promise<void>) => {
      isClosing = true;
      return closeServer(server, connections, { graceMs, drained });
    },
  };
}

function secureContext(tls: TlsMaterial) {
  const ca = tls.frontProxyCa === undefined ? tls.ca : [tls.ca, tls.frontProxyCa];
  return { key: tls.key, cert: tls.cert, ca, minVersion: 'TLSv1.2' as const };
}

function listen(server: http2.Http2SecureServer, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

interface Connections {
  readonly sessions: Set<http2.ServerHttp2Session>;
  readonly sockets: Set<Socket>;
}

/** Errors of sessions that sent more than any client has reason to. One request that is too large is answered instead. */
const FLOODS = new Set(['ERR_HTTP2_ERROR', 'ERR_HTTP2_TOO_MANY_INVALID_FRAMES']);

const isFlood = (err: Error) => FLOODS.has((err as { code?: string }).code ?? '');

/** Of sessions: when one has failed, its socket can no longer tell. */
const addressOf = new WeakMap<http2.Http2Session, string>();

/** Refused before the handshake, which is what a connection costs most. */
function refusePenalized(server: http2.Http2SecureServer, penalties: PenaltyBox): void {
  const listeners = server.listeners('connection');
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    if (!penalties.admits(socket.remoteAddress ?? '')) {
      socket.resetAndDestroy();
      return;
    }
    for (const listener of listeners) listener.call(server, socket);
  });
}

/** The secure HTTP/2 server has no closeAllConnections, so we remember what is open. */
function trackConnections(
  server: http2.Http2SecureServer,
  activity: SessionActivity,
  limits: ConnectionLimits,
): Connections {
  const sessions = new Set<http2.ServerHttp2Session>();
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    // HTTP/1.1 has no pings: a peer that vanished is noticed by the kernel.
    socket.setKeepAlive(true, PING_INTERVAL_MS);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('session', (session: http2.ServerHttp2Session) => {
    sessions.add(session);
    addressOf.set(session, session.socket.remoteAddress ?? '');
    activity.add(session);
    const stopPings = pingPeer(session);
    session.once('close', () => {
      stopPings();
      activity.remove(session);
      sessions.delete(session);
    });
  });
  const sweep = setInterval(() => activity.closeIdle(limits.idleTimeoutMs), limits.sweepMs);
  sweep.unref();
  server.once('close', () => clearInterval(sweep));
  return { sessions, sockets };
}

function pingPeer(session: http2.ServerHttp2Session): () => void {
  let answered = true;
  const timer = setInterval(() => {
    if (!answered) {
      session.destroy();
      return;
    }
    answered = false;
    session.ping(() => {
      answered = true;
    });
  }, PING_INTERVAL_MS);
  timer.unref();
  return () => clearInterval(timer);
}

interface Closing {
  readonly graceMs: number;
  readonly drained: Promise<void> | undefined;
}

async function closeServer(
  server: http2.Http2SecureServer,
  { sessions, sockets }: Connections,
  { graceMs, drained }: Closing,
): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const session of sessions) session.close();
  const destroyAll = () => {
    for (const session of sessions) session.destroy();
    for (const socket of sockets) socket.destroy();
  };
  if (graceMs === 0) destroyAll();
  const timer = setTimeout(destroyAll, graceMs);
  void drained?.then(destroyAll);
  await closed;
  clearTimeout(timer);
}

/** Exec, attach, port-forward and tunnels: the handler may take the socket; if it answers instead, the answer is written as HTTP/1.1. */
async function serveUpgrade(options: HttpsOptions, incoming: IncomingMessage, socket: Duplex, head: Buffer) {
  let taken = false;
  const request = new NodeApiRequest(incoming, peerOf(incoming, options.tls), () => {
    taken = true;
    return { socket, head, incoming };
  });
  socket.on('error', (err) => options.log.debug('upgraded connection failed', { reason: describeError(err) }));
  socket.once('close', () => request.onGone());
  const response = new RawSocketResponse(socket, () => taken);
  await options.handler(request, response);
  if (!taken && !response.started) socket.destroy();
}

/** Answers on a socket that asked for an upgrade and did not get it. */
class RawSocketResponse implements ApiResponse {
  readonly #socket: Duplex;
  readonly #isTaken: () => boolean;
  #sent = false;

  constructor(socket: Duplex, isTaken: () => boolean) {
    this.#socket = socket;
    this.#isTaken = isTaken;
  }

  get started(): boolean {
    return this.#sent || this.#isTaken();
  }

  send(status: number, headers: HeaderMap, body: Uint8Array): void {
    if (this.started) return;
    this.#sent = true;
    this.#socket.write(
      renderHead(status, { ...headers, 'content-length': String(body.byteLength), connection: 'close' }),
    );
    this.#socket.end(body);
  }

  stream(status: number, headers: HeaderMap): ResponseStream {
    if (this.started) return closedStream;
    this.#sent = true;
    const socket = this.#socket;
    socket.write(renderHead(status, { ...headers, connection: 'close' }));
    return {
      write: (chunk) => socket.write(chunk),
      get pendingBytes() {
        return socket.writableLength;
      },
      drained: () =>
        socket.writableNeedDrain
          ? new Promise((resolve) => socket.once('drain', resolve).once('close', resolve))
          : Promise.resolve(),
      end: () => void socket.end(),
      onClose: (fn) => void socket.once('close', fn),
    };
  }
}

function renderHead(status: number, headers: HeaderMap): string {
  const lines = Object.entries(headers).flatMap(([name, value]) => [value].flat().map((one) => `${name}: ${one}`));
  return `HTTP/1.1 ${status} \r\n${lines.join('\r\n')}\r\n\r\n`;
}

/** So long what a client goes on sending is read and dropped: bytes left unread would reset the connection and take the answer along. */
const LINGER_MS = 500;
const answered = new WeakSet<Duplex>();

function answerMalformed(err: Error, socket: Duplex): void {
  // The parser complains about every piece that follows.
  if (answered.has(socket)) return;
  const code = (err as { code?: string }).code;
  if (!socket.writable || code === 'ECONNRESET' || code === 'ERR_SSL_HTTP_REQUEST') {
    socket.destroy();
    return;
  }
  answered.add(socket);
  const status = code === 'HPE_HEADER_OVERFLOW' ? 431 : code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
  socket.end(renderHead(status, { connection: 'close', 'content-length': '0' }));
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}
