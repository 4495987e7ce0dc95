import { ApiError } from '#api/object/api-error.ts';
import { joinStreams } from '#base/join-streams.ts';
import { isRemoteUserHeader } from '../authenticate/request-header.ts';
import type { RequestContext } from '../chain/request-context.ts';
import { copyBody } from '../connect/pod-log.ts';
import { takeOver } from '../connect/upgrade-request.ts';
import { describeNetworkError } from '../webhooks/network-error.ts';
import type { RemoteApi } from './api-service-index.ts';
import { type RemoteServers, serverNameOf, userHeaders } from './remote-server.ts';

/** A request body is read before it is sent on. */
const MAX_BODY_BYTES = 16 * 1024 * 1024;

/** Headers that belong to one connection, and credentials that were meant for this server alone. */
const NOT_FORWARDED: ReadonlySet<string> = new Set([
  'authorization',
  'connection',
  'content-length',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Passes a request on to the server that answers its group and version, in the name of its user. */
export async function proxyToRemote(servers: RemoteServers, remote: RemoteApi, context: RequestContext): Promise<void> {
  if (!remote.isAvailable) throw new ApiError(503, 'ServiceUnavailable', 'service unavailable');
  const { request } = context;
  const path = request.query === '' ? request.path : `${request.path}?${request.query}`;
  if (request.upgrade !== undefined) return upgradeThrough(servers, remote, { context, path });
  const hasBody = request.method !== 'GET' && request.method !== 'HEAD';
  const body = hasBody ? await request.readBody(MAX_BODY_BYTES) : undefined;
  const headers = forwardedHeaders(context);
  if (body !== undefined) headers['content-length'] = String(body.byteLength);
  const answer = await servers
    .fetch(remote, {
      method: request.method,
      path,
      headers,
      user: context.user,
      signal: request.signal,
      ...(body === undefined ? {} : { body }),
    })
    .catch((err) => Promise.reject(unreachable(err)));
  const stream = context.response.stream(answer.statusCode ?? 502, returnedHeaders(answer.headers));
  await copyBody(answer, stream);
}

const unreachable = (err: unknown): ApiError =>
  new ApiError(503, 'ServiceUnavailable', `error trying to reach service: ${describeNetworkError(err)}`, undefined, {
    cause: err,
  });

function forwardedHeaders({ request, auditId }: RequestContext): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  for (const name of request.headerNames?.() ?? []) {
    const value = request.header(name);
    if (value !== undefined && isForwarded(name)) headers[name] = value;
  }
  headers['audit-id'] = auditId;
  const earlier = request.header('x-forwarded-for');
  if (request.peer.address !== '') {
    headers['x-forwarded-for'] = earlier === undefined ? request.peer.address : `${earlier}, ${request.peer.address}`;
  }
  return headers;
}

const isForwarded = (name: string): boolean =>
  !name.startsWith(':') && !NOT_FORWARDED.has(name) && !name.startsWith('impersonate-') && !isRemoteUserHeader(name);

function returnedHeaders(headers: NodeJS.Dict<string | string[]>): Record<string, string | string[]> {
  const returned: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && (name === 'content-length' || !NOT_FORWARDED.has(name))) returned[name] = value;
  }
  return returned;
}

/** The handshake goes on as it came, but for the user's credentials; from then on the bytes pass unparsed. */
async function upgradeThrough(
  servers: RemoteServers,
  remote: RemoteApi,
  { context, path }: { readonly context: RequestContext; readonly path: string },
): Promise<void> {
  const connection = await servers
    .connect(remote, context.request.signal)
    .catch((err) => Promise.reject(unreachable(err)));
  const { socket, head, incoming } = takeOver(context);
  const lines = [`${context.request.method} ${path} HTTP/1.1`, `Host: ${serverNameOf(remote)}`];
  for (const name of ['connection', 'upgrade']) lines.push(`${name}: ${incoming.headers[name]}`);
  for (const [name, values] of Object.entries({ ...forwardedHeaders(context), ...userHeaders(context.user) })) {
    for (const value of [values].flat()) lines.push(`${name}: ${value}`);
  }
  connection.write(`${lines.join('\r\n')}\r\n\r\n`);
  if (head.length > 0) connection.write(head);
  joinStreams(socket, connection);
}
