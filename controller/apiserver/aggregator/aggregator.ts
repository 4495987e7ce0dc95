import type { KubeClient } from '#api/client/client.ts';
import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { Store } from '../../store/store.ts';
import type { ClusterDialer } from '../../tunnel/dialer.ts';
import type { RequestContext, RequestInfo } from '../chain/request-context.ts';
import type { DiscoverySource } from '../discovery/discovery-source.ts';
import type { OpenApiSource } from '../openapi/serve-openapi.ts';
import type { ResourceCatalog } from '../registry/resource-catalog.ts';
import { ApiServiceIndex, type RemoteApi } from './api-service-index.ts';
import { type AvailabilityChecks, AvailabilityMetrics, startAvailability } from './availability.ts';
import { proxyToRemote } from './proxy-request.ts';
import { startLocalRegistration } from './register-local.ts';
import { RemoteDocuments } from './remote-documents.ts';
import { createRemoteServers, type ProxyCertificate } from './remote-server.ts';

export interface AggregatorDeps {
  readonly store: Store;
  readonly dialer: ClusterDialer;
  readonly clock: Clock;
  readonly log: Logger;
  /** The front-proxy client certificate as it is now. */
  readonly certificate: () => ProxyCertificate;
}

/** kube-aggregator: groups that other servers answer behind this one. */
export interface Aggregator {
  /** Serves the request when it belongs to another server; undefined when it is for this one. */
  serve(context: RequestContext): Promise<void> | undefined;
  readonly discovery: DiscoverySource;
  readonly openApi: OpenApiSource;
  /** Begins to register own groups and to watch over others; `client` acts as the API server itself. Answers how to stop. */
  start(client: KubeClient, catalog: ResourceCatalog): () => void;
  /** Text for `/metrics`. */
  metrics(): string;
  stop(): void;
}

export function createAggregator({ store, dialer, clock, log, certificate }: AggregatorDeps): Aggregator {
  const index = new ApiServiceIndex(store);
  const servers = createRemoteServers({ dialer, certificate });
  const documents = new RemoteDocuments({ index, servers, clock, log });
  const metrics = new AvailabilityMetrics();
  let checks: AvailabilityChecks | undefined;
  return {
    serve(context) {
      const remote = findRemote(index, context.info);
      if (remote === undefined) return undefined;
      return proxyToRemote({ servers, onUnreachable: ({ name }) => checks?.recheck(name) }, remote, context);
    },
    discovery: documents.discovery,
    openApi: documents.openApi,
    start(client, catalog) {
      const stopRegistration = startLocalRegistration({ store, index, catalog, client, clock, log });
      const started = startAvailability({ store, index, servers, client, clock, log, metrics });
      checks = started;
      return () => {
        stopRegistration();
        started.stop();
      };
    },
    metrics: () => metrics.render(),
    stop() {
      documents.stop();
      index.stop();
      servers.close();
    },
  };
}

const DOCUMENT_PATH = /^(?:\/openapi\/v3)?\/apis\/([^/]+)\/([^/]+)\/?$/;

/** Requests for resources, for the list of a version's resources, and for its OpenAPI v3 document. */
function findRemote(index: ApiServiceIndex, info: RequestInfo): RemoteApi | undefined {
  if (info.isResourceRequest) return index.find(info.group, info.version);
  const [, group, version] = DOCUMENT_PATH.exec(info.path) ?? [];
  return group === undefined || version === undefined ? undefined : index.find(group, version);
}
