import { renderSamples } from '#base/metric.ts';
import type { RequestContext } from '../chain/request-context.ts';
import { sendText } from '../chain/status-answer.ts';

/** One condition of health; `check` answers what is wrong, or undefined. */
export interface HealthCheck {
  readonly name: string;
  /** livez says whether a restart would help, readyz whether clients should come here. `healthz` knows all of them. */
  readonly endpoints: readonly ('livez' | 'readyz')[];
  check(): string | undefined;
  /** Somebody should look at it, and yet clients are served best here: told of, and does not fail the whole. */
  readonly isAdvisory?: boolean;
}

const ok = () => undefined;
const BOTH = ['livez', 'readyz'] as const;

/** An answer at all is what these two say. */
const OWN_CHECKS: readonly HealthCheck[] = [
  { name: 'ping', endpoints: BOTH, check: ok },
  { name: 'log', endpoints: BOTH, check: ok },
];

const PATH = /^\/(healthz|livez|readyz)(?:\/(.+?))?\/?$/;

/** One check tells its reason, which is for those who may know: everybody else gets the sum of all. */
export const isSingleCheck = (path: string): boolean => PATH.exec(path)?.[2] !== undefined;

const checksOf = (endpoint: string, checks: readonly HealthCheck[]): readonly HealthCheck[] =>
  [...OWN_CHECKS, ...checks].filter(
    ({ endpoints }) => endpoint === 'healthz' || endpoints.includes(endpoint as 'livez' | 'readyz'),
  );

/** Answers the health paths. False for other paths. */
export function serveHealth(context: RequestContext, checks: readonly HealthCheck[]): boolean {
  const match = PATH.exec(context.info.path);
  if (match === null) return false;
  const [, endpoint = '', single] = match;
  const relevant = checksOf(endpoint, checks);
  if (single === undefined) return answerAll(context, endpoint, relevant);
  const one = relevant.find(({ name }) => name === single);
  if (one === undefined) return false;
  const problem = one.check();
  if (problem === undefined) sendText(context.response, 200, 'ok');
  else sendText(context.response, 500, `internal server error: ${problem}\n`);
  return true;
}

/** Details stay in the log, as in Kubernetes: who asks here need not be known. A single check's path tells its reason. */
function answerAll(context: RequestContext, endpoint: string, relevant: readonly HealthCheck[]): boolean {
  const { query } = context.info;
  const excluded = new Set(query.getAll('exclude'));
  const lines: string[] = [];
  const failed: string[] = [];
  for (const one of relevant) {
    if (excluded.delete(one.name)) {
      lines.push(`[+]${one.name} excluded: ok`);
      continue;
    }
    const problem = one.check();
    if (problem === undefined) lines.push(`[+]${one.name} ok`);
    else if (one.isAdvisory) lines.push(`[!]${one.name} warns: reason withheld`);
    else {
      failed.push(`${one.name}: ${problem}`);
      lines.push(`[-]${one.name} failed: reason withheld`);
    }
  }
  if (excluded.size > 0) {
    const names = [...excluded].map((name) => JSON.stringify(name)).join(', ');
    lines.push(`warn: some health checks cannot be excluded: no matches for ${names}`);
  }
  if (failed.length > 0) {
    context.log.info('health check failed', { endpoint, failed });
    sendText(context.response, 500, `${lines.join('\n')}\n${endpoint} check failed\n`);
  } else if (query.has('verbose')) {
    sendText(context.response, 200, `${lines.join('\n')}\n${endpoint} check passed\n`);
  } else sendText(context.response, 200, 'ok');
  return true;
}

/** `kubernetes_healthcheck`: 1 where a check passes. */
export function renderHealthMetrics(checks: readonly HealthCheck[]): string {
  const samples = ['healthz', 'livez', 'readyz'].flatMap((endpoint) =>
    checksOf(endpoint, checks).map((one) => [[one.name, endpoint], one.check() === undefined ? 1 : 0] as const),
  );
  const names = { name: 'kubernetes_healthcheck', help: 'Whether a check of health passes.', labels: ['name', 'type'] };
  return renderSamples('gauge', names, samples);
}
