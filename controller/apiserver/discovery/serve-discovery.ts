import { createHash } from 'node:crypto';
import type { RequestContext } from '../chain/request-context.ts';
import { encodeJson, sendJson } from '../chain/status-answer.ts';
import type { ResourceCatalog } from '../registry/resource-catalog.ts';
import { aggregatedDiscovery, apiGroup, apiGroupList, apiResourceList, apiVersions } from './discovery-documents.ts';

export interface DiscoveryOptions {
  readonly catalog: ResourceCatalog;
  /** `host:port` as clients reach the server. */
  readonly serverAddress: string;
}

/** Answers the discovery paths; false for paths that are none. The documents never change while the server runs. */
export function createDiscovery(options: DiscoveryOptions): (context: RequestContext) => boolean {
  const aggregated = new Map<string, AggregatedBody>();
  return (context) => {
    const parts = context.info.path.split('/').filter((part) => part !== '');
    const [root, first, second, ...rest] = parts;
    if ((root !== 'api' && root !== 'apis') || rest.length > 0) return false;
    if (first === undefined) {
      serveRoot(context, options, root, aggregated);
      return true;
    }
    const document = root === 'api' ? legacyDocument(options, first, second) : groupDocument(options, first, second);
    if (document === undefined) return false;
    sendJson(context.response, 200, document);
    return true;
  };
}

function legacyDocument({ catalog }: DiscoveryOptions, version: string, extra: string | undefined): object | undefined {
  return extra === undefined ? apiResourceList(catalog, '', version) : undefined;
}

function groupDocument({ catalog }: DiscoveryOptions, group: string, version: string | undefined): object | undefined {
  return version === undefined ? apiGroup(catalog, group) : apiResourceList(catalog, group, version);
}

interface AggregatedBody {
  readonly body: Uint8Array;
  readonly etag: string;
}

const AGGREGATED =
  /application\/json;(?=[^,]*\bas=APIGroupDiscoveryList\b)(?=[^,]*\bg=apidiscovery\.k8s\.io\b)[^,]*\bv=(v2beta1|v2)\b/;

function serveRoot(
  context: RequestContext,
  options: DiscoveryOptions,
  root: 'api' | 'apis',
  cache: Map<string, AggregatedBody>,
): void {
  const version = AGGREGATED.exec(context.request.header('accept') ?? '')?.[1] as 'v2' | 'v2beta1' | undefined;
  const vary = { vary: 'Accept' };
  if (version === undefined) {
    const document = root === 'api' ? apiVersions(options.serverAddress) : apiGroupList(options.catalog);
    sendJson(context.response, 200, document, vary);
    return;
  }
  const key = `${root} ${version}`;
  const cached = cache.get(key) ?? buildAggregated(options.catalog, root, version);
  cache.set(key, cached);
  const headers = { ...vary, etag: cached.etag };
  if (context.request.header('if-none-match') === cached.etag) {
    context.response.send(304, headers, new Uint8Array());
    return;
  }
  const type = `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
  context.response.send(200, { ...headers, 'content-type': type }, cached.body);
}

function buildAggregated(catalog: ResourceCatalog, root: 'api' | 'apis', version: 'v2' | 'v2beta1'): AggregatedBody {
  const groups = catalog.groups.filter(({ group }) => (group === '') === (root === 'api'));
  const body = encodeJson(aggregatedDiscovery(groups, version));
  return { body, etag: `"${createHash('sha256').update(body).digest('hex').toUpperCase()}"` };
}
