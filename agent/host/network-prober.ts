import { connect } from 'node:net';
import { http, https } from '#base/node-http.ts';
import { checkGrpc } from './grpc-health.ts';

/*
 * The sockets of probes and lifecycle hooks. Its shape is the kubelet's `Prober` interface (agent/kubelet/prober.ts), which this folder
 * may not import: the composition root sees to it that they fit.
 */

export interface NetworkCheckResult {
  readonly ok: boolean;
  readonly message: string;
}

export interface NetworkHttpCheck {
  readonly scheme: 'http' | 'https';
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly timeoutMs: number;
}

/** Bodies are read only as far as an event can show them. */
const MAX_BODY_BYTES = 10_240;
const MAX_REDIRECTS = 10;
const USER_AGENT = 'kube-probe/1.36';

interface Answer {
  readonly statusCode: number;
  readonly location: string | undefined;
  readonly body: string;
}

/** Success is 200-399. A redirect within the same host is followed, one to another host counts as success, as in Kubernetes. */
async function checkHttp(check: NetworkHttpCheck): Promise<NetworkCheckResult> {
  const { scheme, host, port, path, timeoutMs } = check;
  let url = new URL(`${scheme}://${bracketed(host)}:${port}${path.startsWith('/') ? path : `/${path}`}`);
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    for (let redirects = 0; ; redirects++) {
      const answer = await fetchOnce(url, check, signal);
      const isRedirect = answer.statusCode >= 300 && answer.statusCode < 400 && answer.location !== undefined;
      if (isRedirect && redirects < MAX_REDIRECTS) {
        const next = new URL(answer.location ?? '', url);
        if (next.hostname === url.hostname) {
          url = next;
          continue;
        }
      }
      const ok = answer.statusCode >= 200 && answer.statusCode < 400;
      return { ok, message: ok ? '' : `HTTP probe failed with statuscode: ${answer.statusCode}` };
    }
  } catch (err) {
    const reason = describe(err, signal);
    const port = url.port || (url.protocol === 'https:' ? '443' : '80');
    const isUnconnected = reason.startsWith('connect: ');
    return {
      ok: false,
      message: `Get "${url}": ${isUnconnected ? `dial tcp ${url.hostname}:${port}: ` : ''}${reason}`,
    };
  }
}

const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host);

function fetchOnce(url: URL, { headers }: NetworkHttpCheck, signal: AbortSignal): Promise<Answer> {
  const given = Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value]));
  const send = url.protocol === 'https:' ? https.request : http.request;
  return new Promise((resolve, reject) => {
    const options = {
      signal,
      // A connection of its own each time: the question is whether a new client is served.
      agent: false as const,
      headers: { 'user-agent': USER_AGENT, accept: '*/*', connection: 'close', ...given },
      // The kubelet cannot know the name that a pod's certificate is for.
      rejectUnauthorized: false,
      // Lines that end without a carriage return, as scripts behind a web server write them, are lines to the kubelet's client too.
      insecureHTTPParser: true,
    };
    const request = send(url, options, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      const finish = () => {
        response.destroy();
        const body = Buffer.concat(chunks).toString('utf8');
        resolve({ statusCode: response.statusCode ?? 0, location: response.headers.location, body });
      };
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size > MAX_BODY_BYTES) finish();
      });
      response.on('end', finish);
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end();
  });
}

function checkTcp(host: string, port: number, timeoutMs: number): Promise<NetworkCheckResult> {
  const target = `${bracketed(host)}:${port}`;
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const finish = (result: NetworkCheckResult) => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(timeoutMs, () => finish({ ok: false, message: `dial tcp ${target}: i/o timeout` }));
    socket.once('connect', () => finish({ ok: true, message: '' }));
    socket.once('error', (err) => finish({ ok: false, message: `dial tcp ${target}: ${describe(err)}` }));
  });
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connect: connection refused',
  EHOSTUNREACH: 'connect: no route to host',
  ENETUNREACH: 'connect: network is unreachable',
  ECONNRESET: 'read: connection reset by peer',
};

function describe(err: unknown, signal?: AbortSignal): string {
  if (signal?.aborted) return 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)';
  const code = (err as { code?: string }).code ?? '';
  return REASONS[code] ?? (err instanceof Error ? err.message : String(err));
}

export const networkProber = { http: checkHttp, tcp: checkTcp, grpc: checkGrpc };
