import type { Duplex } from 'node:stream';
import { connect } from 'node:tls';
import { ApiError, notFound } from '#api/object/api-error.ts';
import type { Node, Pod, Service } from '#api/object/kinds.ts';
import { describeError } from '#base/errors.ts';
import { joinStreams } from '#base/join-streams.ts';
import type { DialTarget } from '../../tunnel/dialer.ts';
import type { RequestContext } from '../chain/request-context.ts';
import type { SubresourceDefinition, SubresourceServices } from '../registry/resource-definition.ts';
import { fetchFromBackend } from './backend-http.ts';
import type { ConnectOptions } from './connect-options.ts';
import { DEFAULT_KUBELET_PORT, dialKubelet, kubeletPort } from './kubelet-client.ts';
import { copyBody } from './pod-log.ts';
import { forwardedHeaders, parsePort, parseProxyName, returnedHeaders } from './proxy-target.ts';
import { takeOver } from './upgrade-request.ts';

/** A request body is read before it is sent on. */
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
    : connect({ socket: connection, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
}

async function serveProxy(open: OpenBackend, context: RequestContext, services: SubresourceServices): Promise<void> {
  const { info, request, response } = context;
  const prefix = info.path.slice(0, info.path.length - info.rest.length).replace(/\/$/, '');
  const search = request.query === '' ? '' : `?${request.query}`;
  if (info.rest === '' && !info.path.endsWith('/') && request.method === 'GET' && request.upgrade === undefined) {
    // Relative links of the backend's page would otherwise lead out of the proxy.
    response.send(301, { location: `${info.path}/${search}` }, new Uint8Array());
    return;
  }
  const path = `/${info.rest}${search}`;
  const connection = await open(context, services);
  if (request.upgrade !== undefined) {
    upgradeThrough(context, connection, path);
    return;
  }
  const hasBody = request.method !== 'GET' && request.method !== 'HEAD';
  const body = hasBody ? await request.readBody(MAX_BODY_BYTES) : undefined;
  const headers = {
    ...forwardedHeaders(rawHeadersOf(context)),
    host: proxyHost(info.name),
    'x-forwarded-uri': `${prefix}${path}`,
  };
  try {
    const answer = await fetchFromBackend(
      connection,
      { method: request.method, path, headers, ...(body === undefined ? {} : { body }) },
      request.signal,
    );
    const stream = response.stream(answer.statusCode ?? 502, returnedHeaders(answer.headers, prefix));
    await copyBody(answer, stream);
  } catch (err) {
    if (err instanceof ApiError) throw err;
    throw new ApiError(503, 'ServiceUnavailable', `error trying to reach service: ${describeError(err)}`, undefined, {
      cause: err,
    });
  }
}

function proxyHost(name: string): string {
  const { name: host, port } = parseProxyName(name);
  return port === '' ? host : `${host}:${port}`;
}

/** Headers that a proxied server usually needs; the request's seam hands them out by name only. */
const ASKED_HEADERS = [
  'accept',
  'accept-encoding',
  'accept-language',
  'cache-control',
  'content-encoding',
  'content-type',
  'cookie',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'origin',
  'range',
  'referer',
  'user-agent',
  'x-requested-with',
];

function rawHeadersOf({ request }: RequestContext): string[] {
  return ASKED_HEADERS.flatMap((name) => {
    const value = request.header(name);
    return value === undefined ? [] : [name, value];
  });
}

function upgradeThrough(context: RequestContext, connection: Duplex, path: string): void {
  const { socket, head, incoming } = takeOver(context);
  const lines = [`${context.request.method} ${path} HTTP/1.1`, `Host: ${proxyHost(context.info.name)}`];
  for (const name of ['connection', 'upgrade']) lines.push(`${name}: ${incoming.headers[name]}`);
  for (const [name, values] of Object.entries(forwardedHeaders(incoming.rawHeaders)))
    for (const value of values) lines.push(`${name}: ${value}`);
  connection.write(`${lines.join('\r\n')}\r\n\r\n`);
  if (head.length > 0) connection.write(head);
  joinStreams(socket, connection);
}
