import { HistogramSeries, renderHistogramSeries, renderLabels, renderSamples } from '#base/metric.ts';
import type { RequestObserver, RequestOutcome } from '../chain/handler-chain.ts';
import { isLongRunning } from '../chain/handler-chain.ts';
import type { RequestContext, RequestInfo } from '../chain/request-context.ts';

/** Upper bounds in seconds: Kubernetes' own for `apiserver_request_duration_seconds`. */
const DURATION_BOUNDS: readonly number[] = [
  0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
];
const SIZE_BOUNDS: readonly number[] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/** Paths that a series of their own is worth; all others share one, because anybody can ask for any path. */
const KNOWN_PATHS: ReadonlySet<string> = new Set([
  '/healthz',
  '/livez',
  '/readyz',
  '/version',
  '/metrics',
  '/api',
  '/apis',
]);

const VERBS: Readonly<Record<string, string>> = {
  get: 'GET',
  list: 'LIST',
  watch: 'WATCH',
  create: 'POST',
  update: 'PUT',
  patch: 'PATCH',
  delete: 'DELETE',
  deletecollection: 'DELETECOLLECTION',
};
const CONNECTS: ReadonlySet<string> = new Set(['exec', 'attach', 'portforward', 'proxy', 'tunnel']);
const MUTATING: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH', 'APPLY', 'DELETE', 'DELETECOLLECTION']);

/** What tells series apart. */
interface SeriesKey {
  readonly verb: string;
  readonly dryRun: string;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly scope: string;
}

const LABELS = ['verb', 'dry_run', 'group', 'version', 'resource', 'subresource', 'scope', 'component'];

/** The numbers of all requests of one kind. */
class RequestSeries {
  readonly key: SeriesKey;
  readonly isMutating: boolean;
  readonly isLongRunning: boolean;
  /** By status code. */
  readonly codes = new Map<number, number>();
  readonly seconds = new HistogramSeries(DURATION_BOUNDS);
  readonly sizes = new HistogramSeries(SIZE_BOUNDS);
  running = 0;
  aborts = 0;

  constructor(key: SeriesKey, isLong: boolean) {
    this.key = key;
    this.isLongRunning = isLong;
    this.isMutating = MUTATING.has(key.verb);
  }

  get labels(): string {
    const { verb, dryRun, group, version, resource, subresource, scope } = this.key;
    const values = [verb, dryRun, group, version, resource, subresource, scope, 'apiserver'];
    return renderLabels(LABELS, values).slice(1, -1);
  }
}

/** Series of clients' making must not fill the memory: what comes after this many is counted together. */
const MAX_SERIES = 2000;
const OTHER: SeriesKey = {
  verb: 'other',
  dryRun: '',
  group: '',
  version: '',
  resource: 'other',
  subresource: '',
  scope: '',
};

/**
 * Request counts, latencies and sizes by Kubernetes' names. A registry of our own: a map look-up and a few comparisons per request,
 * where a general one would build and hash label objects.
 */
export class RequestMetrics implements RequestObserver<RequestSeries> {
  /** By resource. */
  readonly #series = new Map<string, RequestSeries[]>();
  #count = 0;
  readonly #other = new RequestSeries(OTHER, false);
  readonly #running = { mutating: 0, readOnly: 0 };

  onStart(context: RequestContext): RequestSeries {
    const series = this.#seriesOf(context);
    series.running++;
    if (!series.isLongRunning) this.#running[series.isMutating ? 'mutating' : 'readOnly']++;
    return series;
  }

  onEnd(series: RequestSeries, outcome: RequestOutcome): void {
    series.running--;
    const { statusCode, elapsedMs, sentBytes } = outcome;
    series.codes.set(statusCode, (series.codes.get(statusCode) ?? 0) + 1);
    if (outcome.isAborted) series.aborts++;
    if (series.isLongRunning) return;
    this.#running[series.isMutating ? 'mutating' : 'readOnly']--;
    series.seconds.observe(elapsedMs / 1000);
    if (!series.isMutating) series.sizes.observe(sentBytes);
  }

  #seriesOf(context: RequestContext): RequestSeries {
    const { info } = context;
    const verb = verbOf(context);
    const dryRun = info.query.size > 0 && info.query.has('dryRun') ? 'All' : '';
    const scope = scopeOf(info);
    const subresource = info.isResourceRequest ? info.subresource : pathLabel(info.path);
    const siblings = this.#series.get(info.resource) ?? [];
    for (const series of siblings) {
      const { key } = series;
      const isSame =
        key.verb === verb &&
        key.subresource === subresource &&
        key.scope === scope &&
        key.group === info.group &&
        key.version === info.version &&
        key.dryRun === dryRun;
      if (isSame) return series;
    }
    if (this.#count >= MAX_SERIES) return this.#other;
    const { group, version, resource } = info;
    const created = new RequestSeries(
      { verb, dryRun, group, version, resource, subresource, scope },
      isLongRunning(info),
    );
    this.#count++;
    siblings.push(created);
    this.#series.set(resource, siblings);
    return created;
  }

  /** The text of `/metrics` as far as requests go. */
  render(isDeprecated: IsDeprecated = () => false): string {
    const all = [...this.#series.values()].flat();
    if (this.#other.codes.size > 0) all.push(this.#other);
    const histogram = (name: string, help: string, of: (series: RequestSeries) => HistogramSeries) =>
      [
        `# HELP ${name} ${help}`,
        `# TYPE ${name} histogram`,
        ...all.flatMap((series) =>
          of(series).count === 0 ? [] : renderHistogramSeries(name, series.labels, of(series)),
        ),
        '',
      ].join('\n');
    const total = ['# HELP apiserver_request_total Requests by verb, resource and status code.'];
    total.push('# TYPE apiserver_request_total counter');
    for (const { labels, codes } of all) {
      for (const [code, count] of codes) total.push(`apiserver_request_total{${labels},code="${code}"} ${count}`);
    }
    return [
      `${total.join('\n')}\n`,
      histogram(
        'apiserver_request_duration_seconds',
        'Time from the request line to the end of the answer, without streams.',
        ({ seconds }) => seconds,
      ),
      histogram(
        'apiserver_request_sli_duration_seconds',
        'The same, under the name that service level objectives are computed from.',
        ({ seconds }) => seconds,
      ),
      renderTerminations(all),
      renderAborts(all),
      renderDeprecated(all, isDeprecated),
      renderLists(all),
      histogram('apiserver_response_sizes', 'Bytes of answers to reads, before compression.', ({ sizes }) => sizes),
      renderSamples(
        'gauge',
        {
          name: 'apiserver_current_inflight_requests',
          help: 'Requests that run now, without streams and watches.',
          labels: ['request_kind'],
        },
        Object.entries(this.#running).map(([kind, count]) => [[kind], count] as const),
      ),
      this.#renderLongRunning(all),
    ].join('');
  }

  #renderLongRunning(all: readonly RequestSeries[]): string {
    const lines = all
      .filter((series) => series.isLongRunning)
      .map((series) => `apiserver_longrunning_requests{${series.labels}} ${series.running}`);
    if (lines.length === 0) return '';
    return `# HELP apiserver_longrunning_requests Watches, logs and other streams that run now.\n# TYPE apiserver_longrunning_requests gauge\n${lines.join('\n')}\n`;
  }
}

/** Whether a kind is served for old clients' sake. */
export type IsDeprecated = (group: string, version: string, resource: string) => boolean;

/** Answers that broke off after they had begun. */
function renderAborts(all: readonly RequestSeries[]): string {
  const labels = ['verb', 'group', 'version', 'resource', 'subresource', 'scope'];
  const samples = all.flatMap(({ key, aborts }): [string[], number][] => {
    const { verb, group, version, resource, subresource, scope } = key;
    return aborts === 0 ? [] : [[[verb, group, version, resource, subresource, scope], aborts]];
  });
  return renderSamples(
    'counter',
    { name: 'apiserver_request_aborts_total', help: 'Requests whose answer broke off.', labels },
    sumSamples(samples),
  );
}

/** Which deprecated kinds somebody still asks for. No release is named in which they go: none is planned here. */
function renderDeprecated(all: readonly RequestSeries[], isDeprecated: IsDeprecated): string {
  const used = all.filter(({ key }) => key.resource !== '' && isDeprecated(key.group, key.version, key.resource));
  return renderSamples(
    'gauge',
    {
      name: 'apiserver_requested_deprecated_apis',
      help: 'Deprecated kinds that were asked for since the start.',
      labels: ['group', 'version', 'resource', 'subresource', 'removed_release'],
    },
    used
      .map(({ key }) => [key.group, key.version, key.resource, key.subresource, ''])
      .filter((values, i, rest) => rest.findIndex((other) => other.join() === values.join()) === i)
      .map((values) => [values, 1] as const),
  );
}

function renderLists(all: readonly RequestSeries[]): string {
  const samples = all.flatMap(({ key, codes }): [string[], number][] => {
    const served = key.verb === 'LIST' ? (codes.get(200) ?? 0) : 0;
    return served === 0 ? [] : [[[key.group, key.resource], served]];
  });
  return renderSamples(
    'counter',
    { name: 'apiserver_storage_list_total', help: 'Lists that were served.', labels: ['group', 'resource'] },
    sumSamples(samples),
  );
}

/** One sample for each set of labels. */
function sumSamples(
  samples: readonly (readonly [readonly string[], number])[],
): (readonly [readonly string[], number])[] {
  const sums = new Map<string, readonly [readonly string[], number]>();
  for (const [values, value] of samples) {
    const key = values.join('\0');
    sums.set(key, [values, (sums.get(key)?.[1] ?? 0) + value]);
  }
  return [...sums.values()];
}

/** Requests that the server gave up for its own protection: refused by flow control, or at their deadline. */
function renderTerminations(all: readonly RequestSeries[]): string {
  const lines = all.flatMap(({ labels, codes }) =>
    [429, 504].flatMap((code) => {
      const count = codes.get(code);
      return count === undefined ? [] : [`apiserver_request_terminations_total{${labels},code="${code}"} ${count}`];
    }),
  );
  const name = 'apiserver_request_terminations_total';
  const head = `# HELP ${name} Requests given up in self-defence.\n# TYPE ${name} counter\n`;
  return lines.length === 0 ? '' : `${head}${lines.join('\n')}\n`;
}

function verbOf({ info, request }: RequestContext): string {
  if (!info.isResourceRequest) return request.method === 'HEAD' ? 'GET' : request.method;
  if (CONNECTS.has(info.subresource)) return 'CONNECT';
  if (info.verb === 'patch' && (request.header('content-type') ?? '').startsWith('application/apply-patch')) {
    return 'APPLY';
  }
  return VERBS[info.verb] ?? 'other';
}

function scopeOf(info: RequestInfo): string {
  if (!info.isResourceRequest) return '';
  if (info.name !== '' || info.verb === 'create') return 'resource';
  return info.namespace !== '' ? 'namespace' : 'cluster';
}

function pathLabel(path: string): string {
  return KNOWN_PATHS.has(path) ? path : '';
}
