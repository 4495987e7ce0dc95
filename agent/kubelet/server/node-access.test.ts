import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { createNodeAccess, subresourcesOf } from './node-access.ts';

let clock: FakeClock;
let asked: { kind: string; spec: Record<string, unknown> }[];
/** `user verb subresource` of what is allowed. */
let allowed: string[];
let isReachable: boolean;

const client = {
  resource: ({ kind }: { kind: string }) => ({
    async create({ spec }: { spec: Record<string, unknown> }) {
      if (!isReachable) throw new Error('nobody answers');
      asked.push({ kind, spec });
      if (kind === 'TokenReview') {
        const authenticated = spec.token === 'good';
        return { status: { authenticated, user: authenticated ? { username: 'prom', groups: ['g'] } : {} } };
      }
      const { verb, subresource } = spec.resourceAttributes as { verb: string; subresource: string };
      return { status: { allowed: allowed.includes(`${spec.user} ${verb} ${subresource}`) } };
    },
  }),
} as never;

let access: ReturnType<typeof createNodeAccess>;
beforeEach(() => {
  clock = new FakeClock();
  asked = [];
  allowed = [];
  isReachable = true;
  access = createNodeAccess({ client, nodeName: 'a', clock, log: silentLogger });
});

const ask = (part: object = {}) =>
  access.check({ certificate: undefined, bearerToken: undefined, method: 'GET', path: '/metrics', ...part });

it.each([
  ['/metrics/cadvisor', ['metrics']],
  ['/stats/summary', ['stats']],
  ['/pods', ['pods', 'proxy']],
  ['/healthz', ['healthz', 'proxy']],
  ['/configz', ['configz', 'proxy']],
  ['/checkpoint/n/p/c', ['checkpoint']],
  ['/exec/n/p/c', ['proxy']],
  ['/run/n/p/c', ['proxy']],
  ['/containerLogs/n/p/c', ['proxy']],
  ['/', ['proxy']],
])('%s is a matter of nodes/%s', (path, expected) => {
  expect(subresourcesOf(path)).toEqual(expected);
});

describe('the node API', () => {
  it.each([
    ['nobody', {}],
    ['a token that does not hold', { bearerToken: 'bad' }],
    ['a certificate without a name', { certificate: { commonName: '', organizations: [] } }],
  ])('answers 401 to %s', async (_, who) => {
    await expect(ask(who)).rejects.toMatchObject({ statusCode: 401 });
  });

  it('asks for the node and the part of it that a path is', async () => {
    allowed = ['prom get metrics'];
    await ask({ bearerToken: 'good' });
    expect(asked.at(-1)).toEqual({
      kind: 'SubjectAccessReview',
      spec: {
        user: 'prom',
        groups: ['g'],
        resourceAttributes: { verb: 'get', version: 'v1', resource: 'nodes', subresource: 'metrics', name: 'a' },
      },
    });
    await expect(ask({ bearerToken: 'good', path: '/exec/n/p/c', method: 'POST' })).rejects.toMatchObject({
      statusCode: 403,
      message: 'Forbidden (user=prom, verb=create, resource=nodes, subresource(s)=[nodes/proxy])',
    });
  });

  it('lets the wide right stand for the narrow one', async () => {
    allowed = ['ann get proxy'];
    await ask({ certificate: { commonName: 'ann', organizations: ['dev'] }, path: '/pods' });
    await expect(ask({ certificate: { commonName: 'ann', organizations: [] } })).rejects.toMatchObject({
      statusCode: 403,
    });
  });

  it('remembers a yes for five minutes, a no for half a minute', async () => {
    allowed = ['prom get metrics'];
    for (let i = 0; i < 3; i++) await ask({ bearerToken: 'good' });
    expect(asked).toHaveLength(2);
    await clock.advance(301_000);
    await ask({ bearerToken: 'good' });
    expect(asked).toHaveLength(4);
    const other = { certificate: { commonName: 'ann', organizations: [] } };
    for (let i = 0; i < 3; i++) await expect(ask(other)).rejects.toMatchObject({ statusCode: 403 });
    expect(asked).toHaveLength(5);
    allowed = ['ann get metrics'];
    await clock.advance(31_000);
    await ask(other);
  });

  it('lets nobody in because nobody could be asked', async () => {
    isReachable = false;
    await expect(ask({ bearerToken: 'good' })).rejects.toMatchObject({ statusCode: 503 });
  });
});
