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
const NOT_FORWARDED: ReadonlySet<string> = new Set([
  'authorization',
  'connection',
  'host',
  'http2-settings',
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

/** Who may read an answer across origins is for this server to say, whose origin the backend shares behind the proxy. */
const NOT_RETURNED: ReadonlySet<string> = new Set([
  'access-control-allow-credentials',
  'access-control-allow-headers',
  'access-control-allow-methods',
  'access-control-allow-origin',
  'access-control-expose-headers',
  'access-control-max-age',
]);

/** Where the backend is reached through this server. */
export interface ProxyPlace {
  /** Path in front of the backend's own, without a slash at its end. */
  readonly prefix: string;
  /** The `Host` that the backend was called by. */
  readonly backendHost: string;
  /** The `Host` that the client called. */
  readonly clientHost: string;
}

/** A link of the backend's as the client has to follow it: absolute paths within the backend lie under the prefix, others stay. */
export function rewriteLink(link: string, { prefix, backendHost, clientHost }: ProxyPlace): string {
  const match = /^(?:(?:https?:)?\/\/([^/?#]*))?(\/[^?#]*)?([?#].*)?$/s.exec(link);
  if (match === null) return link;
  const [, host, path, rest = ''] = match;
  if (host !== undefined && host !== backendHost && host !== clientHost) return link;
  if (path === undefined && host === undefined) return link;
  const own = path ?? '/';
  return own === prefix || own.startsWith(`${prefix}/`) ? own + rest : `${prefix}${own}${rest}`;
}

/** Response headers for the client; redirects within the backend stay under the proxy's path. */
export function returnedHeaders(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  place: ProxyPlace,
): Record<string, string | string[]> {
  const returned: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || NOT_RETURNED.has(name)) continue;
    if (NOT_FORWARDED.has(name) && name !== 'content-length') continue;
    returned[name] = name === 'location' && typeof value === 'string' ? rewriteLink(value, place) : value;
  }
  return returned;
}
