import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { createHttpTransport, type HttpTransport } from './http-transport.ts';
import type { KubeconfigAccess } from './kubeconfig.ts';

/** The connection of a short-lived program that has a kubeconfig and tells its troubles by errors, not in a log. */
export function createKubeconfigTransport(access: KubeconfigAccess, userAgent: string): HttpTransport {
  const { server, otherServers = [], ca, cert, key, token } = access;
  return createHttpTransport({
    servers: [server, ...otherServers],
    userAgent,
    clock: systemClock,
    log: silentLogger,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(token === undefined ? {} : { token }),
  });
}
