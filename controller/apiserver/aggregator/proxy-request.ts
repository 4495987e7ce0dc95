import type { Readable } from 'node:stream';
import { ApiError } from '#api/object/api-error.ts';
import { joinStreams } from '#base/join-streams.ts';
import { isRemoteUserHeader } from '../authenticate/request-header.ts';
import type { RequestContext } from '../chain/request-context.ts';
import { copyAnswer } from '../connect/copy-answer.ts';
import { forwardedHeaders } from '../connect/proxy-target.ts';
import { takeOver, withoutBearerProtocol } from '../connect/upgrade-request.ts';
import { describeNetworkError } from '../webhooks/network-error.ts';
import type { RemoteApi } from './api-service-index.ts';
import { type RemoteServers, serverNameOf, userHeaders } from './remote-server.ts';

/** Headers that end with the connection between two servers. */
const CONNECTION_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Of a body that came whole, over a transport without streams. */
const MAX_BODY_BYTES = 16 * 1024 * 1024;

export interface ProxyParts {
  readonly servers: RemoteServers;
  readonly onUnreachable: (remote: RemoteApi) => void;
}

/** Passes a request on to the server that answers its group and version, in the name of its user. */
export async function proxyToRemote(parts: ProxyParts, remote: RemoteApi, context: RequestContext): Promise<void> {
  if (!remote.isAvailable) throw new ApiError(503, 'ServiceUnavailable', 'service unavailable');
  const { request } = context;
  const path = request.query === '' ? request.path : `${request.path}?${request.query}`;
  if (request.upgrade !== undefined) return upgradeThrough(parts, remote, { context, path });
  const headers = forwardedTo(context, rawHeadersOf(context));
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  const body = isRead ? {} : await bodyOf(context, headers);
  const answer = await parts.servers
    .fetch(remote, { method: request.method, path, headers, user: context.user, signal: request.signal, ...body })
    .catch((err) => failed(parts, remote, err));
  const stream = context.response.stream(answer.statusCode ?? 502, returnedHeaders(answer.headers));
  await copyAnswer(answer, stream);
}

/** Streamed where the client's connection allows, under the length that it announced. */
async function bodyOf(
  { request }: RequestContext,
  headers: Record<string, string | string[]>,
): Promise<{ body: Uint8Array | Readable }> {
  const stream = request.bodyStream?.();
  const length = request.header('content-length');
  if (stream === undefined) {
    const body = await request.readBody(MAX_BODY_BYTES);
    headers['content-length'] = String(body.byteLength);
    return { body };
  }
  if (length !== undefined) headers['content-length'] = length;
  return { body: stream };
}

function failed({ onUnreachable }: ProxyParts, remote: RemoteApi, err: unknown): never {
  onUnreachable(remote);
  const message = `error trying to reach service: ${describeNetworkError(err)}`;
  throw new ApiError(503, 'ServiceUnavailable', message, undefined, { cause: err });
}

const rawHeadersOf = ({ request }: RequestContext): readonly string[] => request.rawHeaders ?? [];

/** Headers for the next server: who the user is says this one alone, whatever the client sent. */
function forwardedTo(
  { request, auditId }: RequestContext,
  rawHeaders: readonly string[],
): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = forwardedHeaders(rawHeaders);
  for (const name of Object.keys(headers)) if (isRemoteUserHeader(name)) delete headers[name];
  headers['audit-id'] = auditId;
  const earlier = request.header('x-forwarded-for');
  const { address } = request.peer;
  if (address !== '') headers['x-forwarded-for'] = earlier === undefined ? address : `${earlier}, ${address}`;
  return headers;
}

function returnedHeaders(headers: NodeJS.Dict<string | string[]>): Record<string, string | string[]> {
  const returned: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && !CONNECTION_HEADERS.has(name)) returned[name] = value;
  }
  return returned;
}

/** The handshake goes on as it came, but for the user's credentials; from then on the bytes pass unparsed. */
async function upgradeThrough(
  parts: ProxyParts,
  remote: RemoteApi,
  { context, path }: { readonly context: RequestContext; readonly path: string },
): Promise<void> {
  const connection = await parts.servers
    .connect(remote, context.request.signal)
    .catch((err) => failed(parts, remote, err));
  const { socket, head, incoming } = takeOver(context);
  const lines = [`${context.request.method} ${path} HTTP/1.1`, `Host: ${serverNameOf(remote)}`];
  for (const name of ['connection', 'upgrade']) lines.push(`${name}: ${incoming.headers[name]}`);
  for (const [name, values] of Object.entries({
    ...forwardedTo(context, withoutBearerProtocol(incoming.rawHeaders)),
    ...userHeaders(context.user),
  })) {
    for (const value of [values].flat()) lines.push(`${name}: ${value}`);
  }
  connection.write(`${lines.join('\r\n')}\r\n\r\n`);
  if (head.length > 0) connection.write(head);
  joinStreams(socket, connection);
}
