import { createHash } from 'node:crypto';
import type { RequestContext } from '../chain/request-context.ts';
import { encodeJson, sendJson } from '../chain/status-answer.ts';
import type { ResourceCatalog } from '../registry/resource-catalog.ts';
import { aggregatedDiscovery, apiGroup, apiGroupList, apiResourceList, apiVersions } from './discovery-documents.ts';
import { type DiscoveredGroup, type DiscoverySource, mergeGroups } from './discovery-source.ts';

export interface DiscoveryOptions {
  readonly catalog: ResourceCatalog;
  /** Groups that are answered elsewhere. */
  readonly sources?: readonly DiscoverySource[];
  /** `host:port` as clients reach the server. */
  readonly serverAddress: string;
}

/** Answers the discovery paths; false for paths that are none. Documents follow the catalog and the sources at once. */
export function createDiscovery(options: DiscoveryOptions): (context: RequestContext) => boolean {
  const state = new DiscoveryState(options);
  return (context) => {
    const parts = context.info.path.split('/').filter((part) => part !== '');
    const [root, first, second, ...rest] = parts;
    if ((root !== 'api' && root !== 'apis') || rest.length > 0) return false;
    if (first === undefined) {
      serveRoot(context, options, root, state);
      return true;
    }
    const document =
      root === 'api' ? legacyDocument(options, first, second) : groupDocument(options, state, first, second);
    if (document === undefined) return false;
    sendJson(context.response, 200, document);
    return true;
  };
}

/** The groups of all and what is rendered from them, until one of those who serve them changes. */
class DiscoveryState {
  readonly #options: DiscoveryOptions;
  #revision = '';
  #groups: readonly DiscoveredGroup[] = [];
  #aggregated = new Map<string, AggregatedBody>();

  constructor(options: DiscoveryOptions) {
    this.#options = options;
  }

  get groups(): readonly DiscoveredGroup[] {
    const { catalog, sources = [] } = this.#options;
    const revision = [catalog, ...sources].map((one) => one.revision).join();
    if (revision !== this.#revision) {
      this.#groups = mergeGroups(
        catalog.groups,
        sources.flatMap((source) => source.groups()),
      );
      this.#aggregated = new Map();
      this.#revision = revision;
    }
    return this.#groups;
  }

  aggregated(root: 'api' | 'apis', version: 'v2' | 'v2beta1'): AggregatedBody {
    const groups = this.groups;
    const key = `${root} ${version}`;
    const cached = this.#aggregated.get(key) ?? buildAggregated(groups, root, version);
    this.#aggregated.set(key, cached);
    return cached;
  }
}

function legacyDocument({ catalog }: DiscoveryOptions, version: string, extra: string | undefined): object | undefined {
  return extra === undefined ? apiResourceList(catalog, '', version) : undefined;
}

function groupDocument(
  { catalog }: DiscoveryOptions,
  state: DiscoveryState,
  group: string,
  version: string | undefined,
): object | undefined {
  return version === undefined ? apiGroup(state.groups, group) : apiResourceList(catalog, group, version);
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
  state: DiscoveryState,
): void {
  const version = AGGREGATED.exec(context.request.header('accept') ?? '')?.[1] as 'v2' | 'v2beta1' | undefined;
  const vary = { vary: 'Accept' };
  if (version === undefined) {
    const document = root === 'api' ? apiVersions(options.serverAddress) : apiGroupList(state.groups);
    sendJson(context.response, 200, document, vary);
    return;
  }
  const cached = state.aggregated(root, version);
  const headers = { ...vary, etag: cached.etag };
  if (context.request.header('if-none-match') === cached.etag) {
    context.response.send(304, headers, new Uint8Array());
    return;
  }
  const type = `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
  context.response.send(200, { ...headers, 'content-type': type }, cached.body);
}

function buildAggregated(
  all: readonly DiscoveredGroup[],
  root: 'api' | 'apis',
  version: 'v2' | 'v2beta1',
): AggregatedBody {
  const groups = all.filter(({ group }) => (group === '') === (root === 'api'));
  const body = encodeJson(aggregatedDiscovery(groups, version));
  return { body, etag: `"${createHash('sha256').update(body).digest('hex').toUpperCase()}"` };
}
