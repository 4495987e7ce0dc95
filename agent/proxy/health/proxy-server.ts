import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Clock, delay } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import { http } from '#base/node-http.ts';

export interface ProxyStatus {
  /** Milliseconds on the monotonic clock; undefined before the first sync. */
  readonly lastSyncMs: number | undefined;
  /** Since when changes wait; undefined when none does. */
  readonly waitingSinceMs: number | undefined;
}

export interface ProxyServerOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly status: ProxyStatus;
  readonly mode: string;
  /** False once the node is on its way out of the cluster: load balancers should send nothing new. */
  readonly isNodeEligible: () => boolean;
  readonly renderMetrics: () => string | Promise<string>;
  /** For load balancers, on every address. 0: not served. */
  readonly healthzPort: number;
  /** On 127.0.0.1. 0: not served. */
  readonly metricsPort: number;
}

/** As long may a change wait before the proxy counts as stuck: twice kube-proxy's sync period. */
const MAX_WAIT_MS = 120_000;
const RETRY_MS = 5_000;

export function isProxyHealthy({ waitingSinceMs }: ProxyStatus, nowMs: number): boolean {
  return waitingSinceMs === undefined || nowMs - waitingSinceMs < MAX_WAIT_MS;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** What a path of either port is answered with, as kube-proxy does; undefined: not found. */
export function answerHealthPath(path: string, options: Omit<ProxyServerOptions, 'log'>): Answer | undefined {
  if (path !== '/healthz' && path !== '/livez') return undefined;
  const { clock, status, isNodeEligible } = options;
  const nowMs = clock.monotonic();
  const nodeEligible = isNodeEligible();
  const isHealthy = isProxyHealthy(status, nowMs);
  const currentTime = new Date(clock.now()).toISOString();
  const updatedMs = status.lastSyncMs === undefined ? undefined : clock.now() - (nowMs - status.lastSyncMs);
  const lastUpdated = updatedMs === undefined ? '' : new Date(isHealthy ? clock.now() : updatedMs).toISOString();
  const body = { lastUpdated, currentTime, ...(path === '/healthz' ? { nodeEligible } : {}) };
  const ok = isHealthy && (path === '/livez' || nodeEligible);
  return { status: ok ? 200 : 503, type: 'application/json', body: JSON.stringify(body) };
}

async function answerMetricsPath(
  path: string,
  { mode, renderMetrics }: ProxyServerOptions,
): Promise<Answer | undefined> {
  const text = (body: string): Answer => ({ status: 200, type: 'text/plain; charset=utf-8', body });
  if (path === '/healthz') return text('ok');
  if (path === '/proxyMode') return text(mode);
  return path === '/metrics' ? { ...text(await renderMetrics()), type: 'text/plain; version=0.0.4' } : undefined;
}

/** Serves both ports until aborted. A port that is taken (an agent that is just ending) is tried again. */
export function startProxyServers(options: ProxyServerOptions, signal: AbortSignal): void {
  const { healthzPort, metricsPort } = options;
  if (healthzPort !== 0) void serve(options, healthzPort, undefined, (path) => answerHealthPath(path, options), signal);
  if (metricsPort !== 0)
    void serve(options, metricsPort, '127.0.0.1', (path) => answerMetricsPath(path, options), signal);
}

async function serve(
  { clock, log }: ProxyServerOptions,
  port: number,
  host: string | undefined,
  answer: (path: string) => Answer | undefined | Promise<Answer | undefined>,
  signal: AbortSignal,
): Promise<void> {
  const onRequest = async (request: IncomingMessage, response: ServerResponse) => {
    const { status, type, body } = (await answer((request.url ?? '/').split('?')[0]!)) ?? {
      status: 404,
      type: 'text/plain; charset=utf-8',
      body: '404 page not found\n',
    };
    response.writeHead(status, { 'content-type': type, 'x-content-type-options': 'nosniff' });
    response.end(request.method === 'HEAD' ? undefined : body);
  };
  for (let told = false; !signal.aborted; told = true) {
    const server = http.createServer((request, response) => void onRequest(request, response));
    const failure = await new Promise<Error | undefined>((resolve) => {
      server.once('error', resolve);
      server.listen({ port, ...(host === undefined ? {} : { host }) }, () => resolve(undefined));
    });
    if (failure === undefined) {
      server.on('error', () => {});
      signal.addEventListener('abort', () => server.close().closeAllConnections(), { once: true });
      return;
    }
    if (!told) log.warn('a port of the proxy is taken; trying on', { port, err: failure.message });
    await delay(clock, RETRY_MS, signal).catch(() => {});
  }
}
