import type { Logger } from '#base/logger.ts';
import type { ClusterDialer } from '../../tunnel/dialer.ts';
import type { RequestContext } from '../chain/request-context.ts';
import type { WatchMetrics } from '../metrics/watch-metrics.ts';
import type { RegistryServices } from '../registry/registry-services.ts';
import type { ResourceDefinition, SubresourceDefinition, TokenIssuer } from '../registry/resource-definition.ts';
import type { ListBodyCache } from './list-body-cache.ts';

/** What the handlers of the verbs stand on. */
export interface ApiServices extends RegistryServices {
  readonly dialer: ClusterDialer;
  readonly tokens: TokenIssuer;
  readonly lists: ListBodyCache;
  readonly log: Logger;
  readonly watchMetrics?: WatchMetrics;
  /** Ends each watch that is open, as its time-out would. */
  readonly openWatches?: Set<() => void>;
}

/** A request whose path led to a kind that is served. */
export interface ResourceTarget {
  readonly context: RequestContext;
  readonly definition: ResourceDefinition;
  /** '' for cluster-scoped kinds and for requests across all namespaces. */
  readonly namespace: string;
  readonly name: string;
}

export interface SubresourceTarget extends ResourceTarget {
  readonly subresource: SubresourceDefinition;
}

export type ResourceHandler = (services: ApiServices, target: ResourceTarget) => Promise<void>;
