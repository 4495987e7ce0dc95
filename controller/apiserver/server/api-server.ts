import { randomUUID } from 'node:crypto';
import type { TypeTable } from '#api/schema/type-table.ts';
import { type Clock, delay } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { Store } from '../../store/store.ts';
import type { ClusterDialer } from '../../tunnel/dialer.ts';
import type { AdmissionPlugin } from '../admission/admission-plugin.ts';
import type { Aggregator } from '../aggregator/aggregator.ts';
import { CustomResources } from '../apiextensions/custom-resources.ts';
import { createHandlerChain, orderFilters } from '../chain/handler-chain.ts';
import type { Filter, RequestContext } from '../chain/request-context.ts';
import { sendJson } from '../chain/status-answer.ts';
import { answerOverWebSocket } from '../connect/web-socket-answers.ts';
import type { DiscoverySource } from '../discovery/discovery-source.ts';
import { createDiscovery } from '../discovery/serve-discovery.ts';
import type { ApiServices } from '../handlers/api-services.ts';
import { dispatchResource, pathNotFound } from '../handlers/dispatch-resource.ts';
import { ListBodyCache } from '../handlers/list-body-cache.ts';
import { methodNotAllowed } from '../handlers/subresource.ts';
import { AdmissionMetrics } from '../metrics/admission-metrics.ts';
import { renderBuildInfo, renderProcessMetrics } from '../metrics/process-metrics.ts';
import { RequestMetrics } from '../metrics/request-metrics.ts';
import { renderObjectCounts } from '../metrics/storage-metrics.ts';
import { WatchMetrics } from '../metrics/watch-metrics.ts';
import { createOpenApi, type OpenApiSource } from '../openapi/serve-openapi.ts';
import { createObjectFormat } from '../registry/builtin-format.ts';
import { ResourceCatalog } from '../registry/resource-catalog.ts';
import type { ResourceDefinition, TokenIssuer } from '../registry/resource-definition.ts';
import { WebhookCallError, type WebhookClient } from '../webhooks/webhook-client.ts';
import type { ApiRequest, ApiResponse } from './api-request.ts';
import { type HealthCheck, isSingleCheck, renderHealthMetrics, serveHealth } from './health.ts';
import type { VersionInfo } from './version-info.ts';

/** A path outside the resource API that another part of the controller answers (tunnel, OIDC keys). */
export interface ExtraPath {
  /** Exact, or a prefix where it ends in a slash. */
  readonly path: string;
  handle(context: RequestContext): Promise<void>;
}

export interface ApiServerOptions {
  readonly store: Store;
  readonly types: TypeTable;
  readonly definitions: readonly ResourceDefinition[];
  /** One of each name in FILTER_ORDER, in any order. */
  readonly filters: readonly Filter[];
  readonly admission: readonly AdmissionPlugin[];
  readonly dialer: ClusterDialer;
  readonly tokens: TokenIssuer;
  readonly clock: Clock;
  readonly log: Logger;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly newUid?: () => string;
  readonly version: VersionInfo;
  /** False where health and version are for those alone who may ask: they then go through the whole chain. Absent: always true. */
  readonly isHealthPublic?: () => boolean;
  /** `host:port` as clients reach the server, for discovery. */
  readonly serverAddress: string;
  readonly health?: readonly HealthCheck[];
  readonly extraPaths?: readonly ExtraPath[];
  /** Takes the requests that belong to other servers behind this one. */
  readonly aggregator?: Pick<Aggregator, 'serve'>;
  /** Calls the conversion webhooks of custom kinds; without it such conversions fail. */
  readonly webhookClient?: Pick<WebhookClient, 'post'>;
  /** Groups that other servers answer behind this one, for discovery. */
  readonly discoverySources?: readonly DiscoverySource[];
  /** Their parts of the OpenAPI documents. */
  readonly openApiSources?: readonly OpenApiSource[];
  /** Appended to `/metrics`: text of other registries. */
  readonly extraMetrics?: () => string | Promise<string>;
}

export interface ApiServer {
  /** Serves one request; never rejects. */
  handle(request: ApiRequest, response: ApiResponse): Promise<void>;
  /**
   * Ends all watches, whose clients resume them elsewhere, and resolves once no other request is under way but streams of logs, terminals
   * and proxies, or after `graceMs`.
   */
  drain(graceMs: number): Promise<void>;
  /** Stops timers; requests under way go on. */
  stop(): void;
  readonly catalog: ResourceCatalog;
  readonly metrics: RequestMetrics;
}

/** Also the time that the last answers have to leave. */
const DRAIN_POLL_MS = 50;

/** The whole server over its parts, without a socket: adapters bring the requests. */
export function createApiServer(options: ApiServerOptions): ApiServer {
  const catalog = new ResourceCatalog(options.definitions);
  const metrics: ServerMetrics = {
    requests: new RequestMetrics(),
    watches: new WatchMetrics(),
    admission: new AdmissionMetrics(options.clock),
  };
  const services: ApiServices = {
    store: options.store,
    catalog,
    format: createObjectFormat(options.types),
    admission: metrics.admission.measure(options.admission),
    clock: options.clock,
    newUid: options.newUid ?? randomUUID,
    random: options.random,
    dialer: options.dialer,
    tokens: options.tokens,
    lists: new ListBodyCache(options.clock),
    log: options.log,
    watchMetrics: metrics.watches,
    openWatches: new Set(),
  };
  const customResources = startCustomResources(options, services);
  const publicEndpoint = createPublicEndpoint(options);
  // Before authentication: probes have no credentials.
  const isPublic = ({ info }: RequestContext) =>
    !info.isResourceRequest && options.isHealthPublic?.() !== false && !isSingleCheck(info.path);
  const findExtra = indexExtraPaths(options.extraPaths ?? []);
  const dispatchPath = createPathDispatch(options, { catalog, metrics, findExtra });
  const chain = createHandlerChain({
    publicEndpoint: (context) => (isPublic(context) ? publicEndpoint(context) : undefined),
    filters: orderFilters(options.filters),
    dispatch(context) {
      const remote = options.aggregator?.serve(context);
      if (remote !== undefined) return remote;
      if (context.request.upgrade !== undefined) answerOverWebSocket(context);
      return context.info.isResourceRequest && findExtra(context.info.path) === undefined
        ? dispatchResource(services, context)
        : ((isPublic(context) ? undefined : publicEndpoint(context)) ?? dispatchPath(context));
    },
    observer: metrics.requests,
    clock: options.clock,
    log: options.log,
    newAuditId: randomUUID,
  });
  return {
    handle: chain.handle,
    async drain(graceMs) {
      const endMs = options.clock.monotonic() + graceMs;
      do {
        for (const end of [...(services.openWatches ?? [])]) end();
        await delay(options.clock, DRAIN_POLL_MS);
      } while (!chain.isIdle && options.clock.monotonic() < endMs);
    },
    stop() {
      customResources?.stop();
      chain.stop();
    },
    catalog,
    metrics: metrics.requests,
  };
}

const NO_WEBHOOKS: Pick<WebhookClient, 'post'> = {
  post: ({ clientConfig }) =>
    Promise.reject(new WebhookCallError(`this server calls no webhooks: ${JSON.stringify(clientConfig.url ?? '')}`, 0)),
};

/** Serves the custom kinds of the store where CustomResourceDefinitions are among the kinds. */
function startCustomResources(options: ApiServerOptions, services: ApiServices): CustomResources | undefined {
  const definition = services.catalog.find('apiextensions.k8s.io', 'v1', 'customresourcedefinitions');
  const objectMeta = options.types.byName('io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta');
  if (definition === undefined || objectMeta === undefined) return undefined;
  const custom = new CustomResources({
    services,
    definition,
    objectMeta,
    webhookClient: options.webhookClient ?? NO_WEBHOOKS,
    log: options.log.child({ component: 'custom-resources' }),
  });
  custom.start();
  return custom;
}

const DONE = Promise.resolve();

function createPublicEndpoint(options: ApiServerOptions) {
  return (context: RequestContext): Promise<void> | undefined => {
    const { info, request } = context;
    if (info.isResourceRequest || (request.method !== 'GET' && request.method !== 'HEAD')) return undefined;
    if (info.path === '/version' || info.path === '/version/') {
      sendJson(context.response, 200, options.version);
      return DONE;
    }
    return serveHealth(context, options.health ?? []) ? DONE : undefined;
  };
}

type FindExtra = (path: string) => ExtraPath | undefined;

/** One path may be asked for with a slash behind it, as OpenAPI writes it; what ends in one stands for all below it. */
function indexExtraPaths(extraPaths: readonly ExtraPath[]): FindExtra {
  const folders = extraPaths.filter(({ path }) => path.endsWith('/'));
  const single = extraPaths.filter(({ path }) => !path.endsWith('/'));
  const exact = new Map(single.flatMap((extra) => [extra.path, `${extra.path}/`].map((path) => [path, extra])));
  return (path) => exact.get(path) ?? folders.find((folder) => path.startsWith(folder.path));
}

interface ServerMetrics {
  readonly requests: RequestMetrics;
  readonly watches: WatchMetrics;
  readonly admission: AdmissionMetrics;
}

async function renderMetrics(options: ApiServerOptions, catalog: ResourceCatalog, metrics: ServerMetrics) {
  return [
    metrics.requests.render(
      (group, version, resource) => catalog.find(group, version, resource)?.deprecationWarning !== undefined,
    ),
    metrics.watches.render(),
    metrics.admission.render(),
    renderObjectCounts(options.store, catalog.definitions),
    renderHealthMetrics(options.health ?? []),
    renderBuildInfo({ ...options.version }),
    await renderProcessMetrics(),
    (await options.extraMetrics?.()) ?? '',
  ].join('');
}

function sendMetrics({ response }: RequestContext, text: string): void {
  const type = 'text/plain; version=0.0.4; charset=utf-8; escaping=underscores';
  response.send(200, { 'content-type': type }, new TextEncoder().encode(text));
}

interface PathParts {
  readonly catalog: ResourceCatalog;
  readonly metrics: ServerMetrics;
  readonly findExtra: FindExtra;
}

function createPathDispatch(options: ApiServerOptions, { catalog, metrics, findExtra }: PathParts) {
  const discovery = createDiscovery({
    catalog,
    sources: options.discoverySources ?? [],
    serverAddress: options.serverAddress,
  });
  const openApi = createOpenApi({
    catalog,
    types: options.types,
    version: options.version,
    sources: options.openApiSources ?? [],
  });
  return async (context: RequestContext): Promise<void> => {
    const { path } = context.info;
    const extra = findExtra(path);
    if (extra !== undefined) return extra.handle(context);
    if (context.request.method !== 'GET' && context.request.method !== 'HEAD') throw methodNotAllowed();
    if (path === '/metrics/slis') {
      sendMetrics(context, renderHealthMetrics(options.health ?? []));
      return;
    }
    if (path === '/metrics') {
      sendMetrics(context, await renderMetrics(options, catalog, metrics));
      return;
    }
    if (path === '/' || path === '') {
      sendJson(context.response, 200, { paths: rootPaths(options, catalog) });
      return;
    }
    if (discovery(context) || openApi(context)) return;
    throw pathNotFound();
  };
}

function rootPaths(options: ApiServerOptions, catalog: ResourceCatalog): string[] {
  const groups = catalog.groups.flatMap(({ group, versions }) =>
    group === ''
      ? ['/api', '/api/v1']
      : [`/apis/${group}`, ...versions.map(({ version }) => `/apis/${group}/${version}`)],
  );
  const extra = (options.extraPaths ?? []).map(({ path }) => path);
  const fixed = ['/apis', '/healthz', '/livez', '/metrics', '/openapi/v2', '/openapi/v3', '/readyz', '/version'];
  return [...new Set([...groups, ...extra, ...fixed])].sort();
}
