import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { ApiError, notFound } from '#api/object/api-error.ts';
import type { Node, Pod, Service } from '#api/object/kinds.ts';
import { describeError } from '#base/errors.ts';
import { joinStreams } from '#base/join-streams.ts';
import type { DialTarget } from '../../tunnel/dialer.ts';
import { tlsOverStream } from '../../tunnel/tls-over-stream.ts';
import type { RequestContext } from '../chain/request-context.ts';
import type { SubresourceDefinition, SubresourceServices } from '../registry/resource-definition.ts';
import { type BackendRequest, fetchFromBackend } from './backend-http.ts';
import type { ConnectOptions } from './connect-options.ts';
import { copyAnswer } from './copy-answer.ts';
import { DEFAULT_KUBELET_PORT, dialKubelet, kubeletPort } from './kubelet-client.ts';
import { rewritableEncoding, rewriteHtml } from './proxy-html.ts';
import { forwardedHeaders, type ProxyPlace, parsePort, parseProxyName, returnedHeaders } from './proxy-target.ts';
import { takeOver, withoutBearerProtocol } from './upgrade-request.ts';

/** Of a body that comes whole, in process. */
const MAX_BODY_BYTES = 16 * 1024 * 1024;
const VERBS = ['create', 'delete', 'get', 'patch', 'update'];

/** Opens the connection to what the request's name means; rejects with ApiError. */
type OpenBackend = (context: RequestContext, services: SubresourceServices) => Promise<Duplex>;

function proxySubresource(kind: string, open: OpenBackend): SubresourceDefinition {
  return {
    name: 'proxy',
    verbs: VERBS,
    kind: { group: '', version: 'v1', kind },
    connects: true,
    handle: (context, services) => serveProxy(open, context, services),
  };
}

export const podProxy = (): SubresourceDefinition => proxySubresource('PodProxyOptions', openPod);
export const serviceProxy = (): SubresourceDefinition => proxySubresource('ServiceProxyOptions', openService);
export const nodeProxy = (options: ConnectOptions): SubresourceDefinition =>
  proxySubresource('NodeProxyOptions', (context, services) => openNode(options, context, services));

async function openPod(
  { info, request }: RequestContext,
  { store, resource, dialer }: SubresourceServices,
): Promise<Duplex> {
  const { scheme, name, port } = parseProxyName(info.name);
  const found = store.snapshot().get(`${resource.storagePrefix}/${info.namespace}/${name}`);
  if (found === undefined) throw notFound({ group: '', resource: 'pods' }, name);
  const target: DialTarget = {
    kind: 'pod',
    namespace: info.namespace,
    name,
    port: podPort(found.object() as Pod, port, scheme),
  };
  return secured(await dialer.dial(target, request.signal), scheme);
}

/** Without a port: the first one that a container declares. */
function podPort(pod: Pod, port: string, scheme: 'http' | 'https'): number {
  const declared = (pod.spec?.containers ?? []).flatMap((container) => container.ports ?? []);
  if (port === '') return declared[0]?.containerPort ?? (scheme === 'https' ? 443 : 80);
  return declared.find(({ name }) => name === port)?.containerPort ?? parsePort(port);
}

async function openService(
  { info, request }: RequestContext,
  { store, resource, dialer }: SubresourceServices,
): Promise<Duplex> {
  const { scheme, name, port } = parseProxyName(info.name);
  const service = store.snapshot().get(`${resource.storagePrefix}/${info.namespace}/${name}`)?.object() as
    | Service
    | undefined;
  if (service === undefined) throw notFound({ group: '', resource: 'services' }, name);
  const ports = service.spec?.ports ?? [];
  const [only, ...others] = ports;
  const isNumber = /^\d+$/.test(port);
  const wanted =
    port === '' && others.length === 0
      ? only
      : ports.find((entry) => (isNumber ? entry.port === Number(port) : (entry.name ?? '') === port));
  if (wanted === undefined)
    throw new ApiError(
      503,
      'ServiceUnavailable',
      `no service port ${JSON.stringify(port)} found for service ${JSON.stringify(name)}`,
    );
  const target: DialTarget = { kind: 'service', namespace: info.namespace, name, port: wanted.port };
  return secured(await dialer.dial(target, request.signal), scheme);
}

async function openNode(
  { kubeletTls }: ConnectOptions,
  { info, request }: RequestContext,
  { store, resource, dialer }: SubresourceServices,
): Promise<Duplex> {
  const { scheme, name, port } = parseProxyName(info.name);
  const node = store.snapshot().get(`${resource.storagePrefix}/${name}`)?.object() as Node | undefined;
  if (node === undefined) throw notFound({ group: '', resource: 'nodes' }, name);
  const own = kubeletPort(node);
  const wanted = port === '' ? own : parsePort(port);
  if (wanted === own || wanted === DEFAULT_KUBELET_PORT)
    return dialKubelet(dialer, { name, port: wanted }, kubeletTls(), request.signal);
  return secured(await dialer.dial({ kind: 'node', name, port: wanted }, request.signal), scheme);
}

/** Backends behind `https:` have certificates of their own making: Kubernetes does not check them either. */
function secured(connection: Duplex, scheme: 'http' | 'https'): Duplex {
  return scheme === 'http'
    ? connection
    : tlsOverStream(connection, { rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
}

async function serveProxy(open: OpenBackend, context: RequestContext, services: SubresourceServices): Promise<void> {
  const { info, request, response } = context;
  const prefix = info.path.slice(0, info.path.length - info.rest.length).replace(/\/$/, '');
  const search = request.query === '' ? '' : `?${request.query}`;
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  if (info.rest === '' && !info.path.endsWith('/') && isRead && request.upgrade === undefined) {
    // Relative links of the backend's page would otherwise lead out of the proxy.
    response.send(301, { location: `${info.path}/${search}` }, new Uint8Array());
    return;
  }
  const path = `/${info.rest}${search}`;
  const connection = await open(context, services);
  const place = { prefix, backendHost: proxyHost(info.name), clientHost: hostOf(context) };
  if (request.upgrade !== undefined) {
    upgradeThrough(context, connection, { path, place });
    return;
  }
  const headers = { ...forwardedHeaders(rawHeadersOf(context)), ...ownHeaders(context, place, path) };
  try {
    const answer = await fetchFromBackend(
      connection,
      { method: request.method, path, headers, ...(await bodyOf(context, headers)) },
      request.signal,
    );
    await sendAnswer(context, answer, place);
  } catch (err) {
    connection.destroy();
    if (err instanceof ApiError) throw err;
    throw new ApiError(503, 'ServiceUnavailable', `error trying to reach service: ${describeError(err)}`, undefined, {
      cause: err,
    });
  }
}

const hostOf = ({ request }: RequestContext) => request.header('host') ?? request.header(':authority') ?? '';

function proxyHost(name: string): string {
  const { name: host, port } = parseProxyName(name);
  return port === '' ? host : `${host}:${port}`;
}

/** What tells the backend how it was reached. */
function ownHeaders(context: RequestContext, place: ProxyPlace, path: string): Record<string, string> {
  const { request } = context;
  const earlier = request.header('x-forwarded-for');
  const { address } = request.peer;
  return {
    host: place.backendHost,
    'x-forwarded-uri': `${place.prefix}${path}`,
    'x-forwarded-proto': 'https',
    ...(place.clientHost === '' ? {} : { 'x-forwarded-host': place.clientHost }),
    ...(address === '' ? {} : { 'x-forwarded-for': earlier === undefined ? address : `${earlier}, ${address}` }),
  };
}

const METHODS_WITH_BODY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);

/** Streamed where the client's connection allows, under the length that it announced. Adds the headers that say where the body ends. */
async function bodyOf(
  { request }: RequestContext,
  headers: Record<string, string | readonly string[]>,
): Promise<Pick<BackendRequest, 'body'>> {
  const length = request.header('content-length');
  const isOpenEnded = request.header('transfer-encoding') !== undefined || METHODS_WITH_BODY.has(request.method);
  if (length === undefined && !isOpenEnded) return {};
  const body = request.bodyStream?.() ?? (await request.readBody(MAX_BODY_BYTES));
  if (body instanceof Uint8Array) headers['content-length'] = String(body.byteLength);
  else if (length !== undefined) headers['content-length'] = length;
  // Node would leave it out for methods that have no body as a rule, and the backend would take the body for a request.
  else headers['transfer-encoding'] = 'chunked';
  return { body };
}

async function sendAnswer({ response }: RequestContext, answer: IncomingMessage, place: ProxyPlace): Promise<void> {
  const headers = returnedHeaders(answer.headers, place);
  const decode = rewritableEncoding(headers);
  if (decode === undefined) {
    await copyAnswer(answer, response.stream(answer.statusCode ?? 502, headers));
    return;
  }
  // Its length changes, and it is sent as it was before compression.
  delete headers['content-length'];
  delete headers['content-encoding'];
  const stream = response.stream(answer.statusCode ?? 502, headers);
  await copyAnswer(rewriteHtml(decode(answer), place), stream);
}

const rawHeadersOf = ({ request }: RequestContext): readonly string[] => request.rawHeaders ?? [];

interface UpgradePlace {
  readonly path: string;
  readonly place: ProxyPlace;
}

function upgradeThrough(context: RequestContext, connection: Duplex, { path, place }: UpgradePlace): void {
  const { socket, head, incoming } = takeOver(context);
  const lines = [`${context.request.method} ${path} HTTP/1.1`];
  for (const name of ['connection', 'upgrade']) lines.push(`${name}: ${incoming.headers[name]}`);
  const headers = {
    ...forwardedHeaders(withoutBearerProtocol(incoming.rawHeaders)),
    ...ownHeaders(context, place, path),
  };
  for (const [name, values] of Object.entries(headers))
    for (const value of [values].flat()) lines.push(`${name}: ${value}`);
  connection.write(`${lines.join('\r\n')}\r\n\r\n`);
  if (head.length > 0) connection.write(head);
  joinStreams(socket, connection);
}
