import type { MetricsKind } from './node-reports.ts';
import type { PodReference } from './pod-lookups.ts';

export interface StreamRequest {
  readonly pod: PodReference;
  readonly container: string;
  readonly command: readonly string[];
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

export interface LogRequest {
  readonly pod: PodReference;
  readonly container: string;
  readonly follow: boolean;
  readonly previous: boolean;
  readonly timestamps: boolean;
  readonly tailLines: number | undefined;
  readonly limitBytes: number | undefined;
  readonly sinceSeconds: number | undefined;
  readonly sinceTimeMs: number | undefined;
  readonly stream: 'All' | 'Stdout' | 'Stderr';
}

/** The kubelet's paths and query names, as the API server and other tools call them. */
export type NodeRoute =
  | { readonly kind: 'healthz' }
  | { readonly kind: 'pods' }
  | { readonly kind: 'summary'; readonly onlyCpuAndMemory: boolean }
  | { readonly kind: 'metrics'; readonly which: MetricsKind }
  | { readonly kind: 'configz' }
  | {
      readonly kind: 'run';
      readonly pod: PodReference;
      readonly container: string;
      readonly command: readonly string[];
    }
  | {
      readonly kind: 'checkpoint';
      readonly pod: PodReference;
      readonly container: string;
      readonly timeoutSeconds: number;
    }
  | { readonly kind: 'logs'; readonly request: LogRequest }
  | { readonly kind: 'exec' | 'attach'; readonly request: StreamRequest }
  | { readonly kind: 'portForward'; readonly pod: PodReference; readonly ports: readonly number[] }
  | { readonly kind: 'invalid'; readonly message: string }
  | { readonly kind: 'notFound' };

export function parseNodeRoute(url: string): NodeRoute {
  const [path = '', search = ''] = url.split('?', 2);
  const [head, ...rest] = decodeSegments(path);
  const query = new URLSearchParams(search);
  switch (head) {
    case 'healthz':
      return { kind: 'healthz' };
    case 'pods':
      return { kind: 'pods' };
    case 'stats':
      return rest.join('/') === 'summary'
        ? { kind: 'summary', onlyCpuAndMemory: isTrue(query.get('only_cpu_and_memory')) }
        : { kind: 'notFound' };
    case 'metrics': {
      const which = METRICS[rest.join('/')];
      return which === undefined ? { kind: 'notFound' } : { kind: 'metrics', which };
    }
    case 'configz':
      return { kind: 'configz' };
    case 'run':
      return rest.length === 3 || rest.length === 4 ? parseRun(rest, query) : { kind: 'notFound' };
    case 'checkpoint': {
      const timeoutSeconds = parseNumber(query, 'timeout', 0) ?? 0;
      if (Number.isNaN(timeoutSeconds)) return { kind: 'invalid', message: 'cannot parse value of timeout parameter' };
      return rest.length === 3
        ? { kind: 'checkpoint', pod: podReference(rest.slice(0, 2)), container: rest[2]!, timeoutSeconds }
        : { kind: 'notFound' };
    }
    case 'containerLogs':
      return rest.length === 3 ? parseLogs(rest, query) : { kind: 'notFound' };
    case 'exec':
    case 'attach':
      return rest.length === 3 || rest.length === 4 ? parseStreams(head, rest, query) : { kind: 'notFound' };
    case 'portForward':
      return rest.length === 2 || rest.length === 3 ? parsePortForward(rest, query) : { kind: 'notFound' };
    default:
      return { kind: 'notFound' };
  }
}

const METRICS: Readonly<Record<string, MetricsKind>> = {
  '': 'own',
  resource: 'resource',
  cadvisor: 'cadvisor',
  probes: 'probes',
};

/** `cmd` is split at its blanks, as the kubelet does. */
function parseRun(rest: readonly string[], query: URLSearchParams): NodeRoute {
  const command = (query.get('cmd') ?? '').split(' ').filter(Boolean);
  if (command.length === 0) return { kind: 'invalid', message: 'you must specify a command' };
  return { kind: 'run', pod: podReference(rest.slice(0, -1)), container: rest.at(-1)!, command };
}

function decodeSegments(path: string): string[] {
  try {
    return path.split('/').filter(Boolean).map(decodeURIComponent);
  } catch {
    return [];
  }
}

/** `{namespace}/{pod}[/{uid}]` */
function podReference([namespace = '', name = '', uid]: readonly string[]): PodReference {
  return { namespace, name, uid };
}

const isTrue = (value: string | null) => value === '1' || value === 'true';

function parseStreams(kind: 'exec' | 'attach', rest: readonly string[], query: URLSearchParams): NodeRoute {
  const request: StreamRequest = {
    pod: podReference(rest.slice(0, -1)),
    container: rest.at(-1)!,
    command: query.getAll('command'),
    tty: isTrue(query.get('tty')),
    stdin: isTrue(query.get('input')),
    stdout: isTrue(query.get('output')),
    stderr: isTrue(query.get('error')),
  };
  if (!request.stdin && !request.stdout && !request.stderr)
    return { kind: 'invalid', message: 'you must specify at least 1 of stdin, stdout, stderr' };
  return { kind, request };
}

function parsePortForward(rest: readonly string[], query: URLSearchParams): NodeRoute {
  const ports = query.getAll('port').map(Number);
  if (!ports.every((port) => Number.isInteger(port) && port > 0 && port < 65536))
    return { kind: 'invalid', message: `invalid port in ${query}` };
  return { kind: 'portForward', pod: podReference(rest), ports };
}

/** undefined when absent, NaN when it is no whole number of at least `least`. */
function parseNumber(query: URLSearchParams, name: string, least: number): number | undefined {
  const text = query.get(name);
  if (text === null || text === '') return undefined;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return value >= least ? value : Number.NaN;
}

function parseLogs([namespace = '', name = '', container = '']: readonly string[], query: URLSearchParams): NodeRoute {
  const sinceTime = query.get('sinceTime');
  const numbers = {
    tailLines: parseNumber(query, 'tailLines', 0),
    limitBytes: parseNumber(query, 'limitBytes', 1),
    sinceSeconds: parseNumber(query, 'sinceSeconds', 1),
    sinceTimeMs: sinceTime === null || sinceTime === '' ? undefined : Date.parse(sinceTime),
  };
  for (const [field, value] of Object.entries(numbers))
    if (Number.isNaN(value)) return { kind: 'invalid', message: `invalid ${field} in the log options` };
  const stream = query.get('stream') || 'All';
  if (stream !== 'All' && stream !== 'Stdout' && stream !== 'Stderr')
    return { kind: 'invalid', message: `invalid stream ${JSON.stringify(stream)}` };
  return {
    kind: 'logs',
    request: {
      pod: { namespace, name, uid: undefined },
      container,
      follow: isTrue(query.get('follow')),
      previous: isTrue(query.get('previous')),
      timestamps: isTrue(query.get('timestamps')),
      stream,
      ...numbers,
    },
  };
}
