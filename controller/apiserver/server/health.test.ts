import { describe, expect, it } from 'vitest';
import type { RequestContext } from '../chain/request-context.ts';
import { fakeContext } from '../testing/fake-request.ts';
import { type HealthCheck, renderHealthMetrics, serveHealth } from './health.ts';

const CHECKS: readonly HealthCheck[] = [
  { name: 'etcd', endpoints: ['livez', 'readyz'], check: () => undefined },
  { name: 'poststarthook/rbac/bootstrap-roles', endpoints: ['readyz'], check: () => 'not yet' },
];
const SLOW: HealthCheck = { name: 'disk', endpoints: ['readyz'], check: () => 'takes 3 s', isAdvisory: true };

function ask(url: string, checks = CHECKS): { status: number; text: string } | undefined {
  const [path = '', query = ''] = url.split('?');
  let answer: { status: number; text: string } | undefined;
  const context = {
    ...fakeContext({ info: { path, isResourceRequest: false, query: new URLSearchParams(query) } }),
    response: {
      send: (status: number, _: unknown, body: Uint8Array) => {
        answer = { status, text: new TextDecoder().decode(body) };
      },
    },
  } as unknown as RequestContext;
  return serveHealth(context, checks) ? answer : undefined;
}

const FAILED = `[+]ping ok
[+]log ok
[+]etcd ok
[-]poststarthook/rbac/bootstrap-roles failed: reason withheld
`;

describe('health', () => {
  it.each<[string, number, string]>([
    ['/livez', 200, 'ok'],
    ['/livez?verbose', 200, '[+]ping ok\n[+]log ok\n[+]etcd ok\nlivez check passed\n'],
    ['/readyz', 500, `${FAILED}readyz check failed\n`],
    ['/healthz', 500, `${FAILED}healthz check failed\n`],
    ['/readyz?exclude=poststarthook/rbac/bootstrap-roles', 200, 'ok'],
    ['/livez?verbose&exclude=etcd', 200, '[+]ping ok\n[+]log ok\n[+]etcd excluded: ok\nlivez check passed\n'],
    [
      '/livez?verbose&exclude=x',
      200,
      '[+]ping ok\n[+]log ok\n[+]etcd ok\nwarn: some health checks cannot be excluded: no matches for "x"\nlivez check passed\n',
    ],
    ['/readyz/etcd', 200, 'ok'],
    ['/livez/ping', 200, 'ok'],
    ['/readyz/poststarthook/rbac/bootstrap-roles', 500, 'internal server error: not yet\n'],
  ])('%s', (url, status, text) => {
    expect(ask(url)).toEqual({ status, text });
  });

  it.each(['/livez/absent', '/livez/poststarthook/rbac/bootstrap-roles', '/livezx', '/'])('does not know %s', (url) => {
    expect(ask(url)).toBeUndefined();
  });

  it('tells of an advisory check without failing for it', () => {
    const checks = [SLOW];
    expect(ask('/readyz', checks)).toEqual({ status: 200, text: 'ok' });
    expect(ask('/readyz?verbose', checks)?.text).toContain('[!]disk warns: reason withheld\n');
    expect(ask('/readyz/disk', checks)).toEqual({ status: 500, text: 'internal server error: takes 3 s\n' });
  });

  it('is a metric too', () => {
    expect(renderHealthMetrics(CHECKS)).toContain('kubernetes_healthcheck{name="etcd",type="livez"} 1\n');
    expect(renderHealthMetrics(CHECKS)).toMatch(/bootstrap-roles",type="readyz"} 0\n/);
  });
});
