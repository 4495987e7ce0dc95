import { CelEvaluationError } from '../values/evaluation-error.ts';
import { ArrayList, CelOpaque, type CelValue, EntryMap } from '../values/value.ts';
import { global, member, type Overload } from './function-table.ts';

interface UrlParts {
  readonly scheme: string;
  /** With the port, without user information. */
  readonly host: string;
  readonly path: string;
  readonly query: string;
}

/** Longer ones are no URLs that anybody serves. */
const MAX_LENGTH = 64 * 1024;

class CelUrl extends CelOpaque {
  override readonly typeName = 'kubernetes.URL';
  readonly text: string;
  readonly parts: UrlParts;

  constructor(text: string, parts: UrlParts) {
    super();
    this.text = text;
    this.parts = parts;
  }

  override equals(other: CelOpaque): boolean {
    return other instanceof CelUrl && other.text === this.text;
  }
}

/** What is wrong with a URL, in the words of Go's `net/url`. */
export class UrlError extends Error {
  override readonly name = 'UrlError';

  constructor(text: string, problem: string) {
    super(`parse ${JSON.stringify(text)}: ${problem}`);
  }
}

const BAD_ESCAPE = /%(?![0-9a-fA-F]{2})(.{0,2})/;

/** `url.ParseRequestURI`: an absolute URL or an absolute path. Throws UrlError. */
export function parseRequestUrl(text: string): UrlParts {
  if (text === '') throw new UrlError(text, 'empty url');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what it looks for
  if (text.length > MAX_LENGTH || /[\x00-\x1f\x7f]/.test(text)) {
    throw new UrlError(text.slice(0, 256), 'net/url: invalid control character in URL');
  }
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):(.*)$/s.exec(text);
  if (scheme === null && /^[^/]*:/.test(text)) {
    const problem = text.startsWith(':') ? 'missing protocol scheme' : 'first path segment in URL cannot contain colon';
    throw new UrlError(text, problem);
  }
  const rest = scheme?.[2] ?? text;
  const questionMark = rest.indexOf('?');
  const before = questionMark < 0 ? rest : rest.slice(0, questionMark);
  const query = questionMark < 0 ? '' : rest.slice(questionMark + 1);
  if (!before.startsWith('/')) {
    if (scheme === null) throw new UrlError(text, 'invalid URI for request');
    return { scheme: scheme[1]?.toLowerCase() ?? '', host: '', path: '', query };
  }
  const authority = before.startsWith('//') && scheme !== null ? /^\/\/([^/]*)(.*)$/s.exec(before) : null;
  const host = parseHost(authority?.[1] ?? '', text);
  const path = authority === null ? before : (authority[2] ?? '');
  const bad = BAD_ESCAPE.exec(path);
  if (bad !== null) throw new UrlError(text, `invalid URL escape ${JSON.stringify(`%${bad[1] ?? ''}`)}`);
  return { scheme: scheme?.[1]?.toLowerCase() ?? '', host, path, query };
}

function parseHost(authority: string, text: string): string {
  const host = authority.slice(authority.lastIndexOf('@') + 1);
  const bracketed = /^\[[^\]]*\](.*)$/.exec(host);
  if (host.startsWith('[') && bracketed === null) throw new UrlError(text, "missing ']' in host");
  const port = bracketed === null ? /:(.*)$/.exec(host)?.[0] : bracketed[1];
  if (port !== undefined && port !== '' && !/^:\d*$/.test(port)) {
    throw new UrlError(text, `invalid port ${JSON.stringify(port)} after host`);
  }
  const odd = /[ "<>\\^`{|}]/.exec(host);
  if (odd !== null) throw new UrlError(text, `invalid character ${JSON.stringify(odd[0])} in host name`);
  return host;
}

const withoutPort = (host: string): string => host.replace(/:\d*$/, '').replace(/^\[(.*)\]$/, '$1');
const portOf = (host: string): string => /:(\d*)$/.exec(host)?.[1] ?? '';

/** What Go's `EscapedPath` leaves as it is; the rest is percent-encoded. */
const escapePath = (path: string): string =>
  path.replace(/[^A-Za-z0-9\-_.~$&+,/:;=@!'()*[\]%]/gu, (character) => encodeURIComponent(character));

function queryMap(query: string): EntryMap {
  const values = new Map<string, string[]>();
  for (const [key, value] of new URLSearchParams(query)) values.set(key, [...(values.get(key) ?? []), value]);
  return new EntryMap(new Map([...values].map(([key, list]) => [`s${key}`, [key, new ArrayList(list)] as const])));
}

function attempt(text: string): UrlParts | UrlError {
  try {
    return parseRequestUrl(text);
  } catch (error) {
    if (error instanceof UrlError) return error;
    throw error;
  }
}

function parse(text: string): CelUrl {
  const parts = attempt(text);
  if (parts instanceof UrlError) {
    throw new CelEvaluationError(`URL parse error during conversion from string: ${parts.message}`, { cause: parts });
  }
  return new CelUrl(text, parts);
}

const partsOf = (value: CelValue | undefined): UrlParts => (value as CelUrl).parts;

export const URLS: readonly Overload[] = [
  global('url', 'string_to_url', '(string) -> kubernetes.URL', ([text]) => parse(text as string)),
  global('isURL', 'is_url_string', '(string) -> bool', ([text]) => !(attempt(text as string) instanceof UrlError)),
  member('getScheme', 'url_get_scheme', '(kubernetes.URL) -> string', ([url]) => partsOf(url).scheme),
  member('getHost', 'url_get_host', '(kubernetes.URL) -> string', ([url]) => partsOf(url).host),
  member('getHostname', 'url_get_hostname', '(kubernetes.URL) -> string', ([url]) => withoutPort(partsOf(url).host)),
  member('getPort', 'url_get_port', '(kubernetes.URL) -> string', ([url]) => portOf(partsOf(url).host)),
  member('getEscapedPath', 'url_get_escaped_path', '(kubernetes.URL) -> string', ([url]) =>
    escapePath(partsOf(url).path),
  ),
  member('getQuery', 'url_get_query', '(kubernetes.URL) -> map(string, list(string))', ([url]) =>
    queryMap(partsOf(url).query),
  ),
];
