import { badRequest } from '#api/object/api-error.ts';
import type { RequestInfo } from './request-context.ts';

/** `namespaces/<name>/<this>` belongs to the namespace itself; anything else there is a resource inside it. */
const NAMESPACE_SUBRESOURCES: ReadonlySet<string> = new Set(['status', 'finalize']);

const VERB_OF_METHOD: Readonly<Record<string, string>> = {
  GET: 'get',
  HEAD: 'get',
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

const NO_QUERY = new URLSearchParams();

/** Kubernetes' reading of a boolean query value: present means true, but for `0` and `false`. */
export function isTrue(value: string | null): boolean {
  return value !== null && value !== '0' && value.toLowerCase() !== 'false';
}

/** What a request asks for, from its line alone. `path` is percent-encoded; throws 400 when it cannot be decoded. */
export function computeRequestInfo(method: string, path: string, query: string): RequestInfo {
  const search = query === '' ? NO_QUERY : new URLSearchParams(query);
  const raw = splitPath(path);
  const parts = path.includes('%') ? raw.map(decodePart) : raw;
  const isCore = parts[0] === 'api';
  const start = isCore ? 1 : 2;
  if ((!isCore && parts[0] !== 'apis') || parts.length < start + 2) return nonResource(method, path, search);

  let verb = VERB_OF_METHOD[method] ?? '';
  let at = start + 1;
  const deprecatedWatch = parts[at] === 'watch';
  if (deprecatedWatch) {
    if (parts.length < at + 2) throw badRequest(`unable to determine kind and namespace from url ${path}`);
    verb = 'watch';
    at += 1;
  }
  let namespace = '';
  if (parts[at] === 'namespaces' && parts.length > at + 1) {
    namespace = parts[at + 1] ?? '';
    if (parts.length > at + 2 && !NAMESPACE_SUBRESOURCES.has(parts[at + 2] ?? '')) at += 2;
  }
  const fieldSelector = search.get('fieldSelector') ?? '';
  let name = parts[at + 1] ?? '';
  if (name === '') {
    if (verb === 'get') verb = isTrue(search.get('watch')) ? 'watch' : 'list';
    else if (verb === 'delete') verb = 'deletecollection';
    if (fieldSelector !== '' && verb !== 'create') name = nameOfSelector(fieldSelector);
  }
  return {
    isResourceRequest: true,
    path,
    verb,
    group: isCore ? '' : (parts[1] ?? ''),
    version: parts[start] ?? '',
    namespace,
    resource: parts[at] ?? '',
    subresource: parts[at + 2] ?? '',
    name,
    rest: restOf(path, raw, at + 3),
    query: search,
    fieldSelector,
  };
}

function nonResource(method: string, path: string, query: URLSearchParams): RequestInfo {
  return {
    isResourceRequest: false,
    path,
    verb: method.toLowerCase(),
    group: '',
    version: '',
    namespace: '',
    resource: '',
    subresource: '',
    name: '',
    rest: '',
    query,
    fieldSelector: '',
  };
}

function splitPath(path: string): string[] {
  let from = 0;
  let to = path.length;
  while (from < to && path[from] === '/') from += 1;
  while (to > from && path[to - 1] === '/') to -= 1;
  return from === to ? [] : path.slice(from, to).split('/');
}

function decodePart(part: string): string {
  if (!part.includes('%')) return part;
  try {
    return decodeURIComponent(part);
  } catch {
    throw badRequest(`invalid URL escape in "${part}"`);
  }
}

/** The still encoded path behind the subresource, its trailing slash included: a proxied server must see what the client wrote. */
function restOf(path: string, raw: readonly string[], index: number): string {
  if (raw.length <= index) return '';
  const rest = raw.slice(index).join('/');
  return path.endsWith('/') ? `${rest}/` : rest;
}

/** `metadata.name=x` names the one object that a list or watch may show, so that rules with resourceNames can allow it. */
function nameOfSelector(fieldSelector: string): string {
  for (const term of fieldSelector.split(',')) {
    const match = /^metadata\.name==?([^=!,/%\\]+)$/.exec(term);
    if (match?.[1] !== undefined) return match[1];
  }
  return '';
}
