import type { RequestObserver } from '../chain/handler-chain.ts';
import { isLongRunning } from '../chain/handler-chain.ts';
import type { RequestContext } from '../chain/request-context.ts';

/** Upper bounds in seconds: Kubernetes' own for `apiserver_request_duration_seconds`, thinned out. */
const BUCKETS_SECONDS: readonly number[] = [0.001, 0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 1, 2, 5, 10, 30, 60];

interface Series {
  readonly labels: string;
  /** Per bucket, not cumulative; the last is +Inf. */
  readonly buckets: number[];
  sumSeconds: number;
  count: number;
  /** By status code. */
  readonly codes: Map<number, number>;
}

/** Series of clients' making must not fill the memory: what comes after this many is counted together. */
const MAX_SERIES = 1000;
const OTHER = 'verb="OTHER",group="",version="",resource="other",subresource="",scope=""';

/**
 * Request counts and latencies in Prometheus' text format. A registry of our own: two map look-ups per request, where a general one
 * would build and hash label objects.
 */
export class RequestMetrics implements RequestObserver {
  readonly #series = new Map<string, Series>();
  #inFlight = 0;
  #longRunning = 0;
  #sentBytes = 0;

  onStart(): void {
    this.#inFlight += 1;
  }

  onEnd(context: RequestContext, elapsedMs: number, sentBytes: number): void {
    this.#inFlight -= 1;
    this.#sentBytes += sentBytes;
    const series = this.#seriesOf(context);
    series.codes.set(context.statusCode, (series.codes.get(context.statusCode) ?? 0) + 1);
    if (isLongRunning(context.info)) {
      this.#longRunning += 1;
      return;
    }
    const seconds = elapsedMs / 1000;
    series.count += 1;
    series.sumSeconds += seconds;
    const bucket = BUCKETS_SECONDS.findIndex((bound) => seconds <= bound);
    const index = bucket < 0 ? BUCKETS_SECONDS.length : bucket;
    series.buckets[index] = (series.buckets[index] ?? 0) + 1;
  }

  #seriesOf({ info }: RequestContext): Series {
    const key = info.isResourceRequest
      ? `${info.verb} ${info.group} ${info.version} ${info.resource} ${info.subresource} ${info.name === '' ? (info.namespace === '' ? 'c' : 'n') : 'r'}`
      : 'nonresource';
    const known = this.#series.get(key);
    if (known !== undefined) return known;
    const isFull = this.#series.size >= MAX_SERIES;
    const labels = isFull ? OTHER : labelsOf(info);
    const shared = isFull ? this.#series.get(OTHER) : undefined;
    if (shared !== undefined) return shared;
    const series: Series = {
      labels,
      buckets: new Array<number>(BUCKETS_SECONDS.length + 1).fill(0),
      sumSeconds: 0,
      count: 0,
      codes: new Map(),
    };
    this.#series.set(isFull ? OTHER : key, series);
    return series;
  }

  /** The text of `/metrics`. */
  render(): string {
    const lines = [
      '# HELP apiserver_request_total Requests by verb, resource and status code.',
      '# TYPE apiserver_request_total counter',
    ];
    for (const { labels, codes } of this.#series.values()) {
      for (const [code, count] of codes) lines.push(`apiserver_request_total{${labels},code="${code}"} ${count}`);
    }
    lines.push(
      '# HELP apiserver_request_duration_seconds Time from the request line to the end of the answer.',
      '# TYPE apiserver_request_duration_seconds histogram',
    );
    for (const series of this.#series.values()) lines.push(...renderHistogram(series));
    lines.push(
      '# HELP apiserver_current_inflight_requests Requests that run now, watches included.',
      '# TYPE apiserver_current_inflight_requests gauge',
      `apiserver_current_inflight_requests ${this.#inFlight}`,
      '# HELP apiserver_longrunning_requests_total Watches, logs and other streams that have ended.',
      '# TYPE apiserver_longrunning_requests_total counter',
      `apiserver_longrunning_requests_total ${this.#longRunning}`,
      '# HELP apiserver_response_bytes_total Bytes of whole answers, before compression.',
      '# TYPE apiserver_response_bytes_total counter',
      `apiserver_response_bytes_total ${this.#sentBytes}`,
      '# HELP process_resident_memory_bytes Resident memory.',
      '# TYPE process_resident_memory_bytes gauge',
      `process_resident_memory_bytes ${process.memoryUsage.rss()}`,
    );
    return `${lines.join('\n')}\n`;
  }
}

function labelsOf(info: RequestContext['info']): string {
  if (!info.isResourceRequest) return 'verb="GET",group="",version="",resource="",subresource="",scope=""';
  const scope = info.name !== '' ? 'resource' : info.namespace !== '' ? 'namespace' : 'cluster';
  const { verb, group, version, resource, subresource } = info;
  const pairs = { verb: verb.toUpperCase(), group, version, resource, subresource, scope };
  return Object.entries(pairs)
    .map(([name, value]) => `${name}="${value.replace(/[\\"\n]/g, '_')}"`)
    .join(',');
}

function renderHistogram({ labels, buckets, sumSeconds, count }: Series): string[] {
  if (count === 0) return [];
  const name = 'apiserver_request_duration_seconds';
  let cumulative = 0;
  const lines = BUCKETS_SECONDS.map((bound, i) => {
    cumulative += buckets[i] ?? 0;
    return `${name}_bucket{${labels},le="${bound}"} ${cumulative}`;
  });
  return [
    ...lines,
    `${name}_bucket{${labels},le="+Inf"} ${count}`,
    `${name}_sum{${labels}} ${sumSeconds}`,
    `${name}_count{${labels}} ${count}`,
  ];
}
