import { badRequest } from '#api/object/api-error.ts';

export interface ProxyName {
  readonly scheme: 'http' | 'https';
  readonly name: string;
  /** Number or name; '' when not given. */
  readonly port: string;
}

/** `name`, `name:port` or `scheme:name:port`, as proxied names are written; 400 for anything else. */
export function parseProxyName(text: string): ProxyName {
  const parts = text.split(':');
  const [first = '', second = '', third = ''] = parts;
  if (parts.length === 1) return { scheme: 'http', name: first, port: '' };
  if (parts.length === 2) return { scheme: 'http', name: first, port: second };
  if (parts.length === 3 && (first === 'http' || first === 'https' || first === ''))
    return { scheme: first === 'https' ? 'https' : 'http', name: second, port: third };
  throw badRequest(`invalid proxy request ${JSON.stringify(text)}`);
}

/** A port number; 400 when it is none. */
export function parsePort(text: string): number {
  const port = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (port >= 1 && port <= 65535) return port;
  throw badRequest(`invalid port ${JSON.stringify(text)}`);
}

/** Headers that belong to one connection and end at a proxy; Kubernetes also keeps the client's credentials from the backend. */
const NOT_FORWARDED = new Set([
  'authorization',
  'connection',
  'host',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'content-length',
]);

/** Request headers for the backend from `name, value, name, value ...`. Impersonation was for the API server alone. */
export function forwardedHeaders(rawHeaders: readonly string[]): Record<string, string[]> {
  const headers: Record<string, string[]> = {};
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toLowerCase();
    if (name.startsWith(':') || NOT_FORWARDED.has(name) || name.startsWith('impersonate-')) continue;
    headers[name] = [...(headers[name] ?? []), rawHeaders[index + 1]!];
  }
  return headers;
}

/** Response headers for the client; redirects within the backend stay under the proxy's path. */
export function returnedHeaders(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  prefix: string,
): Record<string, string | string[]> {
  const returned: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || (NOT_FORWARDED.has(name) && name !== 'content-length')) continue;
    const isLocal = name === 'location' && typeof value === 'string' && /^\/(?!\/)/.test(value);
    returned[name] = isLocal ? `${prefix}${value}` : value;
  }
  return returned;
}
