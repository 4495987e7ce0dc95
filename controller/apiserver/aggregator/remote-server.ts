import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Agent } from 'node:https';
import type { Duplex, Readable } from 'node:stream';
import { getCACertificates } from 'node:tls';
import { https } from '#base/node-http.ts';
import type { ClusterDialer } from '../../tunnel/dialer.ts';
import { tlsOverStream } from '../../tunnel/tls-over-stream.ts';
import { REMOTE_EXTRA_PREFIX, REMOTE_GROUP, REMOTE_UID, REMOTE_USER } from '../authenticate/request-header.ts';
import type { UserInfo } from '../chain/request-context.ts';
import type { RemoteApi } from './api-service-index.ts';

export interface ProxyCertificate {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

export interface RemoteRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly user: UserInfo;
  /** A stream is passed on as fast as the server takes it. */
  readonly body?: Uint8Array | Readable;
  readonly signal?: AbortSignal;
}

/** The server behind an APIService, reached through the dialer under the front-proxy certificate. */
export interface RemoteServers {
  /** Resolves with the head of the answer; rejects with Node's and the dialer's errors. */
  fetch(remote: RemoteApi, request: RemoteRequest): Promise<IncomingMessage>;
  /** A connection of one's own, for upgrades. */
  connect(remote: RemoteApi, signal?: AbortSignal): Promise<Duplex>;
  /** Closes idle connections. */
  close(): void;
}

export interface RemoteServersOptions {
  readonly dialer: ClusterDialer;
  /** Read for every new connection: the certificate is renewed while we run. */
  readonly certificate: () => ProxyCertificate;
}

const IDLE_MS = 60_000;
const MAX_IDLE_SOCKETS = 8;

export function createRemoteServers(options: RemoteServersOptions): RemoteServers {
  const agents = new Map<string, Agent>();
  const agentOf = (remote: RemoteApi): Agent => {
    const key = JSON.stringify([remote.service, remote.caBundle, remote.insecureSkipTlsVerify]);
    const known = agents.get(key);
    if (known !== undefined) return known;
    const agent = new https.Agent({ keepAlive: true, maxFreeSockets: MAX_IDLE_SOCKETS, timeout: IDLE_MS });
    // Node's own seam for connections that come later; its types know the synchronous form alone.
    agent.createConnection = (_options, done) => {
      dial(options, remote).then(
        (connection) => done?.(null, connection),
        (err: Error) => done?.(err, undefined as unknown as Duplex),
      );
      return undefined;
    };
    agents.set(key, agent);
    return agent;
  };
  return {
    fetch: (remote, request) => fetchRemote(agentOf(remote), remote, request),
    connect: (remote, signal) => dial(options, remote, signal),
    close() {
      for (const agent of agents.values()) agent.destroy();
      agents.clear();
    },
  };
}

export const serverNameOf = ({ service }: RemoteApi): string => `${service.name}.${service.namespace}.svc`;

async function dial({ dialer, certificate }: RemoteServersOptions, remote: RemoteApi, signal?: AbortSignal) {
  const { namespace, name, port } = remote.service;
  const raw = await dialer.dial({ kind: 'service', namespace, name, port }, signal);
  const { certificatePem, privateKeyPem } = certificate();
  const { caBundle } = remote;
  const ca = caBundle === undefined ? getCACertificates('system') : [Buffer.from(caBundle, 'base64').toString('utf8')];
  const serverName = serverNameOf(remote);
  return tlsOverStream(raw, {
    host: serverName,
    servername: serverName,
    cert: certificatePem,
    key: privateKeyPem,
    rejectUnauthorized: !remote.insecureSkipTlsVerify,
    ALPNProtocols: ['http/1.1'],
    ...(ca.length === 0 ? {} : { ca }),
  });
}

function fetchRemote(agent: Agent, remote: RemoteApi, request: RemoteRequest): Promise<IncomingMessage> {
  const attempt = () =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing: ClientRequest = https.request({
        method: request.method,
        path: request.path,
        headers: { host: serverNameOf(remote), ...request.headers, ...userHeaders(request.user) } as Record<
          string,
          string | string[]
        >,
        agent,
        ...(request.signal === undefined ? {} : { signal: request.signal }),
      });
      outgoing.once('response', resolve);
      outgoing.once('error', (err) => reject(Object.assign(err, { isReused: outgoing.reusedSocket })));
      const { body } = request;
      if (body === undefined || body instanceof Uint8Array) outgoing.end(body);
      else {
        body.pipe(outgoing);
        body.once('error', (err) => outgoing.destroy(err));
      }
    });
  // A server closes idle connections when it likes; a request that crossed the closing was not read and is sent anew.
  return attempt().catch((err: { code?: string; isReused?: boolean }) => {
    const canRepeat = request.body === undefined || request.body instanceof Uint8Array;
    if (canRepeat && err.isReused && (err.code === 'ECONNRESET' || err.code === 'EPIPE')) return attempt();
    throw err;
  });
}

/** The user as a front proxy tells it. Header names know few characters, so the keys of `extra` are percent-encoded. */
export function userHeaders({ name, uid, groups, extra = {} }: UserInfo): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = { [REMOTE_USER]: name, [REMOTE_GROUP]: [...groups] };
  if (uid) headers[REMOTE_UID] = uid;
  for (const [key, values] of Object.entries(extra)) {
    headers[`${REMOTE_EXTRA_PREFIX}${encodeURIComponent(key)}`] = [...values];
  }
  return headers;
}
