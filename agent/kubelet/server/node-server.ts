import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { https } from '#base/node-http.ts';
import { type ContainerRuntime, CriError } from '../../cri/runtime.ts';
import type { Dialer, FileSystem } from '../../host/host.ts';
import { type LogReadOptions, readLog } from '../logs/log-reader.ts';
import type { NodeAccess } from './node-access.ts';
import type { NodeReports } from './node-reports.ts';
import { type LogRequest, type NodeRoute, parseNodeRoute, type StreamRequest } from './node-routes.ts';
import { NodeApiError, type PodLookups } from './pod-lookups.ts';
import { proxyUpgrade } from './upgrade-proxy.ts';

export interface ServerTls {
  readonly key: string;
  readonly cert: string;
  /** CA that signs client certificates. */
  readonly clientCa: string;
}

export interface NodePeer {
  readonly commonName: string;
  readonly organizations: readonly string[];
}

export interface NodeServerOptions {
  readonly runtime: ContainerRuntime;
  readonly fs: FileSystem;
  readonly dialer: Dialer;
  readonly clock: Clock;
  readonly log: Logger;
  readonly tls: ServerTls;
  readonly lookups: PodLookups;
  /** Without them their paths do not exist. */
  readonly reports?: NodeReports;
  /** Who may call besides the API server, which has checked the user behind it; absent: nobody. */
  readonly access?: NodeAccess;
}

export interface NodeServer {
  /** Resolves with the port once listening; 0 asks for a free one. */
  listen(port: number, address?: string): Promise<number>;
  /** New certificates for new connections. */
  updateTls(tls: ServerTls): void;
  close(): Promise<void>;
}

/** Streams stay open for hours; only the head of a request has a time limit. */
const HEADERS_TIMEOUT_MS = 10_000;

/** The API server's client certificate, and administrators. */
function isApiServer({ commonName, organizations }: NodePeer): boolean {
  return commonName === 'kube-apiserver-kubelet-client' || organizations.includes('system:masters');
}

/** The node's HTTPS API on port 10250, as far as the API server uses it: logs, exec, attach, port-forward, pods, metrics, healthz. */
export function createNodeServer(options: NodeServerOptions): NodeServer {
  const { tls, log } = options;
  const server = https.createServer(
    {
      ...secureContext(tls),
      requestCert: true,
      rejectUnauthorized: false,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: 0,
    },
    (request, response) => void serve(options, request, response),
  );
  server.on(
    'upgrade',
    (request: IncomingMessage, socket: Duplex, head: Buffer) => void serveUpgrade(options, { request, socket, head }),
  );
  server.on('tlsClientError', (err) => log.debug('TLS handshake failed', { err: describeError(err) }));
  const sockets = trackSockets(server);
  return {
    listen: (port, address = '::') => listen(server, port, address),
    updateTls: (next) => server.setSecureContext(secureContext(next)),
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function secureContext({ key, cert, clientCa }: ServerTls) {
  return { key, cert, ca: clientCa, minVersion: 'TLSv1.2' as const };
}

/** Upgraded sockets no longer belong to the server's own list, so close() would wait for them. */
function trackSockets(server: Server): ReadonlySet<Duplex> {
  const sockets = new Set<Duplex>();
  server.on('connection', (socket: Duplex) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return sockets;
}

function listen(server: Server, port: number, address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const tryListen = (host: string) => {
      server.once('error', (err: NodeJS.ErrnoException) => {
        // A host without IPv6 has no `::`.
        if (host === '::' && err.code === 'EAFNOSUPPORT') tryListen('0.0.0.0');
        else reject(err);
      });
      server.listen(port, host, () => {
        const bound = server.address();
        resolve(typeof bound === 'object' && bound !== null ? bound.port : port);
      });
    };
    tryListen(address);
  });
}

/** The API server comes in whatever the state of the API; all others need its word. Rejects with 401, 403 or 503. */
async function checkPeer({ access }: NodeServerOptions, request: IncomingMessage): Promise<void> {
  const peer = peerOf(request);
  if (peer !== undefined && isApiServer(peer)) return;
  if (access === undefined) {
    if (peer === undefined) throw new NodeApiError(401, 'Unauthorized');
    throw new NodeApiError(403, `Forbidden (user=${peer.commonName}, verb=${request.method}, resource=nodes)`);
  }
  const [path = '/'] = (request.url ?? '/').split('?', 1);
  const bearerToken = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
  await access.check({ certificate: peer, bearerToken, method: request.method ?? 'GET', path });
}

/** The subject of a certificate that a foreign CA signed is filled in as well: `authorized` first. */
function peerOf(request: IncomingMessage): NodePeer | undefined {
  const socket = request.socket as TLSSocket;
  if (!socket.authorized) return undefined;
  const { subject } = socket.getPeerCertificate();
  return { commonName: [subject?.CN ?? ''].flat()[0] ?? '', organizations: [subject?.O ?? []].flat() };
}

async function serve(options: NodeServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    await checkPeer(options, request);
    const route = parseNodeRoute(request.url ?? '/');
    if (CHANGING_ROUTES.includes(route.kind) && request.method !== 'POST')
      throw new NodeApiError(405, '405: Method Not Allowed');
    await serveRoute(options, route, response);
  } catch (err) {
    const { statusCode, message } = toAnswer(err);
    if (statusCode >= 500) options.log.warn('request failed', { url: request.url, err: describeError(err) });
    // After the first byte only breaking off tells the client that something is missing.
    if (response.headersSent) response.destroy();
    else response.writeHead(statusCode, { 'content-type': 'text/plain; charset=utf-8' }).end(`${message}\n`);
  }
}

/** These do something, and links must not. */
const CHANGING_ROUTES: readonly NodeRoute['kind'][] = ['run', 'checkpoint'];
const TEXT = { 'content-type': 'text/plain; charset=utf-8' };
/** The version of the text format that scrapers are told. */
const METRICS_TEXT = { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' };
const JSON_TYPE = { 'content-type': 'application/json' };

async function serveRoute(options: NodeServerOptions, route: NodeRoute, response: ServerResponse): Promise<void> {
  switch (route.kind) {
    case 'healthz':
      response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' }).end('ok');
      return;
    case 'pods': {
      const list = { kind: 'PodList', apiVersion: 'v1', metadata: {}, items: options.lookups.listPods() };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(list));
      return;
    }
    case 'summary':
      return answerJson(response, await reportsOf(options).summary(route.onlyCpuAndMemory));
    case 'metrics':
      response.writeHead(200, METRICS_TEXT).end(await reportsOf(options).metrics(route.which));
      return;
    case 'configz':
      return answerJson(response, reportsOf(options).configz());
    case 'run':
      response.writeHead(200, TEXT).end(await runCommand(options, route));
      return;
    case 'checkpoint': {
      const { pod, container, timeoutSeconds } = route;
      return answerJson(response, { items: [await reportsOf(options).checkpoint(pod, container, timeoutSeconds)] });
    }
    case 'logs':
      return serveLogs(options, route.request, response);
    case 'invalid':
      throw new NodeApiError(400, route.message);
    case 'notFound':
      throw new NodeApiError(404, '404 page not found');
    default:
      throw new NodeApiError(400, 'Upgrade request required');
  }
}

function reportsOf({ reports }: NodeServerOptions): NodeReports {
  if (reports === undefined) throw new NodeApiError(404, '404 page not found');
  return reports;
}

function answerJson(response: ServerResponse, value: object): void {
  response.writeHead(200, JSON_TYPE).end(JSON.stringify(value));
}

const RUN_TIMEOUT_SECONDS = 240;

async function runCommand(
  { runtime, lookups }: NodeServerOptions,
  { pod, container, command }: Extract<NodeRoute, { kind: 'run' }>,
): Promise<Buffer> {
  const id = await lookups.findRunningContainer(pod, container);
  const { stdout, stderr, exitCode } = await runtime.execSync(id, command, RUN_TIMEOUT_SECONDS);
  const output = Buffer.concat([stdout, stderr]);
  if (exitCode !== 0)
    throw new NodeApiError(500, `command '${command.join(' ')}' exited with ${exitCode}: ${output.toString('utf8')}`);
  return output;
}

async function serveLogs(options: NodeServerOptions, request: LogRequest, response: ServerResponse): Promise<void> {
  const { lookups, fs, clock } = options;
  const { containerId, logPath } = await lookups.findLog(request.pod, request.container, request.previous);
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const source = { fs, clock, path: logPath, isRunning: () => lookups.isRunning(containerId) };
  if ((await fs.info(logPath)) === undefined) throw new NodeApiError(404, `no log file at ${logPath}`);
  response.writeHead(200, { 'content-type': 'text/plain' });
  // A follower of a silent container must not wait for its first line to learn that it is connected.
  response.flushHeaders();
  for await (const chunk of readLog(source, logOptions(request, clock.now()), gone.signal)) {
    if (!response.write(chunk)) await drained(response);
    if (gone.signal.aborted) return;
  }
  response.end();
}

function logOptions(request: LogRequest, nowMs: number): LogReadOptions {
  const { sinceSeconds, sinceTimeMs } = request;
  return {
    follow: request.follow,
    tailLines: request.tailLines,
    timestamps: request.timestamps,
    limitBytes: request.limitBytes,
    stream: request.stream,
    sinceMs: sinceTimeMs ?? (sinceSeconds === undefined ? undefined : nowMs - sinceSeconds * 1000),
  };
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    if (response.destroyed) {
      resolve();
      return;
    }
    const settle = () => {
      response.off('drain', settle);
      response.off('close', settle);
      resolve();
    };
    response.once('drain', settle);
    response.once('close', settle);
  });
}

interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Uint8Array;
}

async function serveUpgrade(options: NodeServerOptions, upgrade: Upgrade): Promise<void> {
  const { request, socket } = upgrade;
  socket.on('error', (err) => options.log.debug('stream broke', { url: request.url, err: describeError(err) }));
  try {
    await checkPeer(options, request);
    const url = await streamingUrl(options, parseNodeRoute(request.url ?? '/'));
    await proxyUpgrade(options.dialer, upgrade, new URL(url));
  } catch (err) {
    const { statusCode, message } = toAnswer(err);
    const body = `${message}\n`;
    const head = `HTTP/1.1 ${statusCode} Error\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n`;
    socket.end(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  }
}

async function streamingUrl({ runtime, lookups }: NodeServerOptions, route: NodeRoute): Promise<string> {
  switch (route.kind) {
    case 'exec':
      return execUrl(runtime, lookups, route.request);
    case 'attach': {
      const { pod, container, stdin, stdout, stderr } = route.request;
      const id = await lookups.findRunningContainer(pod, container);
      // A terminal has one stream for both; the container's own setting decides, not the caller's wish.
      const { tty } = await lookups.findStreams(pod, container);
      return runtime.attachUrl({ id, tty, stdin, stdout, stderr: stderr && !tty });
    }
    case 'portForward':
      return runtime.portForwardUrl(await lookups.findSandbox(route.pod), route.ports);
    case 'invalid':
      throw new NodeApiError(400, route.message);
    default:
      throw new NodeApiError(404, '404 page not found');
  }
}

async function execUrl(runtime: ContainerRuntime, lookups: PodLookups, request: StreamRequest): Promise<string> {
  const { pod, container, command, tty, stdin, stdout, stderr } = request;
  if (command.length === 0) throw new NodeApiError(400, 'you must specify a command');
  const id = await lookups.findRunningContainer(pod, container);
  return runtime.execUrl({ id, command, tty, stdin, stdout, stderr: stderr && !tty });
}

const CRI_NOT_FOUND = 5;

function toAnswer(err: unknown): { readonly statusCode: number; readonly message: string } {
  if (err instanceof NodeApiError) return err;
  if (err instanceof CriError && err.code === CRI_NOT_FOUND) return { statusCode: 404, message: err.message };
  if ((err as NodeJS.ErrnoException).code === 'ENOENT')
    return { statusCode: 404, message: 'the log file does not exist' };
  return { statusCode: 500, message: describeError(err) };
}
