import { ConfigError } from '#base/config.ts';

/**
 * The name that the certificate of every API server carries and that nobody else's may: serving certificates of nodes come from the same CA,
 * and a node says itself which addresses are its own. So our components look for this name, whatever address they came to.
 */
export const API_SERVER_NAME = 'kubernetes.default.svc';

/**
 * The configured addresses of API servers, each as `https://host:port` and once, so that they can be compared with those that a cluster
 * tells. Throws ConfigError for what is no such address.
 */
export function parseServerAddresses(servers: readonly string[]): readonly string[] {
  return [...new Set(servers.map(parseServerAddress))];
}

function parseServerAddress(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url?.protocol === 'https:' && (url.pathname === '/' || url.pathname === '') && url.search === '';
  if (url === undefined || !isPlain || url.username !== '')
    throw new ConfigError(`servers: "${text}" is no address of an API server, such as https://192.0.2.1:6443`);
  return url.origin;
}
