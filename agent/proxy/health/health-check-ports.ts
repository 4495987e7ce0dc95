import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Logger } from '#base/logger.ts';
import { http } from '#base/node-http.ts';
import type { ServicePortPlan } from '../service-port-plan.ts';

/** What a load balancer is told of one Service. */
export interface ServiceHealth {
  readonly namespace: string;
  readonly name: string;
  readonly localEndpoints: number;
}

/** Port -> Service. Endpoints are counted by address: a Service of two ports has each of its pods once. */
export function computeHealthChecks(plans: readonly ServicePortPlan[]): ReadonlyMap<number, ServiceHealth> {
  const checks = new Map<number, ServiceHealth & { addresses: Set<string> }>();
  for (const { healthCheckNodePort, id, localEndpoints } of plans) {
    if (healthCheckNodePort === 0) continue;
    const [namespace = '', name = ''] = id.split(':')[0]!.split('/');
    const addresses = checks.get(healthCheckNodePort)?.addresses ?? new Set<string>();
    for (const { address } of localEndpoints) addresses.add(address);
    checks.set(healthCheckNodePort, { namespace, name, localEndpoints: addresses.size, addresses });
  }
  return checks;
}

export interface HealthCheckPortsOptions {
  readonly log: Logger;
  /** Whether the rules of this node are current: without, no load balancer should send anything. */
  readonly isHealthy: () => boolean;
}

/** One HTTP server for each health-check node port, as kube-proxy answers there. */
export class HealthCheckPorts {
  readonly #options: HealthCheckPortsOptions;
  readonly #servers = new Map<number, Server>();
  #checks: ReadonlyMap<number, ServiceHealth> = new Map();

  constructor(options: HealthCheckPortsOptions) {
    this.#options = options;
  }

  apply(checks: ReadonlyMap<number, ServiceHealth>): void {
    this.#checks = checks;
    for (const [port, server] of this.#servers) {
      if (checks.has(port)) continue;
      server.close();
      server.closeAllConnections();
      this.#servers.delete(port);
    }
    for (const port of checks.keys()) if (!this.#servers.has(port)) this.#listen(port);
  }

  close(): void {
    this.apply(new Map());
  }

  #listen(port: number): void {
    const server = http.createServer((request, response) => this.#answer(port, request, response));
    this.#servers.set(port, server);
    // Somebody else has the port: tried again with the next change of endpoints.
    server.on('error', (err) => {
      this.#options.log.warn('a health-check node port cannot be served', { port, err: err.message });
      this.#servers.delete(port);
    });
    server.listen(port);
  }

  #answer(port: number, request: IncomingMessage, response: ServerResponse): void {
    const check = this.#checks.get(port);
    if (check === undefined) {
      response.writeHead(503).end();
      return;
    }
    const { namespace, name, localEndpoints } = check;
    const serviceProxyHealthy = this.#options.isHealthy();
    const status = localEndpoints > 0 && serviceProxyHealthy ? 200 : 503;
    const body = JSON.stringify({ service: { namespace, name }, localEndpoints, serviceProxyHealthy });
    response.writeHead(status, {
      'content-type': 'application/json',
      'x-content-type-options': 'nosniff',
      'x-load-balancing-endpoint-weight': String(localEndpoints),
    });
    response.end(request.method === 'HEAD' ? undefined : body);
  }
}
