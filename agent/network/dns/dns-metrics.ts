import { Histogram, Metric, renderSamples } from '#base/metric.ts';
import { responseCodeOf } from './dns-message.ts';
import type { AnswerSource } from './dns-responder.ts';

const SECONDS = [0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048];
const CODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'];
/** Types that are told apart; a client may invent any number. */
const TYPES = new Set(['A', 'AAAA', 'CNAME', 'MX', 'NS', 'PTR', 'SOA', 'SRV', 'TXT', 'HTTPS']);

/** What the resolver counts, in Prometheus' text format. */
export class DnsMetrics {
  readonly #requests = new Metric('counter', {
    name: 'coracle_dns_requests_total',
    help: 'Questions, by type, by where the answer came from, and by its code.',
    labels: ['type', 'source', 'rcode'],
  });
  readonly #durations = new Histogram(
    {
      name: 'coracle_dns_request_duration_seconds',
      help: 'Time from question to answer, by where the answer came from.',
      labels: ['source'],
    },
    SECONDS,
  );
  readonly #asked = new Metric('counter', {
    name: 'coracle_dns_forward_requests_total',
    help: 'Questions to other resolvers, by whether they answered.',
    labels: ['to', 'outcome'],
  });
  #cacheSize: () => number = () => 0;

  watchCache(cache: { readonly size: number }): void {
    this.#cacheSize = () => cache.size;
  }

  onAnswered(type: string, response: Uint8Array, source: AnswerSource, elapsedMs: number): void {
    const code = CODES[responseCodeOf(response)] ?? 'other';
    this.#requests.with(TYPES.has(type) ? type : 'other', source, code).value += 1;
    this.#durations.with(source).observe(elapsedMs / 1000);
  }

  /** `elapsedMs` undefined: no answer came. */
  onAsked(to: string, elapsedMs: number | undefined): void {
    this.#asked.with(to, elapsedMs === undefined ? 'silent' : 'answered').value += 1;
  }

  render(): string {
    const entries = renderSamples(
      'gauge',
      { name: 'coracle_dns_cache_entries', help: 'Answers of other resolvers that are remembered.' },
      [[[], this.#cacheSize()]],
    );
    return [this.#requests.render(), this.#durations.render(), this.#asked.render(), entries].join('');
  }
}
