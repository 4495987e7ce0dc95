import type { RequestContext } from '../chain/request-context.ts';
import { sendText } from '../chain/status-answer.ts';

/** One condition of health; `check` answers what is wrong, or undefined. */
export interface HealthCheck {
  readonly name: string;
  /** livez says whether a restart would help, readyz whether clients should come here. */
  readonly endpoints: readonly ('livez' | 'readyz')[];
  check(): string | undefined;
}

const PATH = /^\/(healthz|livez|readyz)(?:\/([^/]+))?\/?$/;

/** Answers the health paths before authentication: probes have no credentials. False for other paths. */
export function serveHealth(context: RequestContext, checks: readonly HealthCheck[]): boolean {
  const match = PATH.exec(context.info.path);
  if (match === null) return false;
  const [, endpoint = '', single] = match;
  const { query } = context.info;
  const excluded = new Set(query.getAll('exclude'));
  const group = endpoint === 'readyz' ? 'readyz' : 'livez';
  const relevant = checks.filter(
    ({ name, endpoints }) =>
      endpoints.includes(group) && !excluded.has(name) && (single === undefined || single === name),
  );
  if (single !== undefined && single !== 'ping' && relevant.length === 0) return false;
  const results = relevant.map((one) => ({ name: one.name, problem: one.check() }));
  const isHealthy = results.every(({ problem }) => problem === undefined);
  if (isHealthy && !query.has('verbose')) {
    sendText(context.response, 200, 'ok');
    return true;
  }
  const lines = [
    '[+]ping ok',
    ...results.map(({ name, problem }) => (problem === undefined ? `[+]${name} ok` : `[-]${name} failed: ${problem}`)),
  ];
  const verdict = isHealthy ? 'passed' : 'failed';
  sendText(context.response, isHealthy ? 200 : 500, `${lines.join('\n')}\n${endpoint} check ${verdict}\n`);
  return true;
}
