import { Agent, request } from 'node:https';

/** Paths outside of the API's groups that servers of this kind are known to have, whether ours does or not. */
const OTHER_PATHS = [
  '/',
  '/api',
  '/apis',
  '/openapi/v2',
  '/openapi/v3',
  '/metrics',
  '/metrics/slis',
  '/configz',
  '/flagz',
  '/statusz',
  '/logs/',
  '/logs/kube-apiserver.log',
  '/debug/pprof/',
  '/debug/pprof/heap',
  '/debug/flags/v',
  '/debug/api_priority_and_fairness/dump_priority_levels',
  '/healthz/etcd',
  '/livez/ping',
  '/readyz/informer-sync',
  '/swagger.json',
  '/swaggerapi',
  '/ui',
  '/version/openapi',
  '/.well-known/openid-configuration',
  '/openid/v1/jwks',
  '/static/',
  '/../etc/passwd',
  '//api/v1/secrets',
  '/healthz/../api/v1/secrets',
  '/version%2f..%2fapi/v1/secrets',
  '/version;/api/v1/secrets',
];

/** What may be known of a server without saying who one is. */
export const PUBLIC_PATHS = ['/healthz', '/livez', '/readyz', '/version', '/version/'] as const;

export interface OpenApi {
  readonly paths: Readonly<Record<string, unknown>>;
}

/** Every path that the server says it has, and those above. */
export function pathsToTry({ paths }: OpenApi): readonly string[] {
  const filled = Object.keys(paths).map((path) =>
    path
      .replace('{namespace}', 'kube-system')
      .replace('{path}', 'x')
      .replaceAll(/\{[^}]*\}/g, 'some'),
  );
  return [...new Set([...OTHER_PATHS, ...PUBLIC_PATHS, ...filled])];
}

const ATTEMPTS_AT_ONCE = 8;

/** Those of the paths, with what they answered, that tell anything but 401 to whoever asks. */
export async function findAnonymousAnswers(server: string, paths: readonly string[]): Promise<readonly string[]> {
  const agent = new Agent({ keepAlive: true, rejectUnauthorized: false, maxSockets: ATTEMPTS_AT_ONCE });
  const { hostname, port } = new URL(server);
  const ask = (path: string): Promise<number> =>
    new Promise((resolve, reject) => {
      // As it stands: no client of ours may tidy a path up first.
      const sent = request({ agent, hostname, port, path }, (answer) => {
        answer.resume().once('end', () => resolve(answer.statusCode ?? 0));
      });
      sent.once('error', reject).end();
    });
  const answered: string[] = [];
  const waiting = [...paths];
  const worker = async () => {
    for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
      const status = await ask(path);
      if (status !== 401) answered.push(`${status} ${path}`);
    }
  };
  try {
    await Promise.all(Array.from({ length: ATTEMPTS_AT_ONCE }, worker));
  } finally {
    agent.destroy();
  }
  return answered.sort();
}
