import { expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { notFound } from '../object/api-error.ts';
import type { KubeClient } from './client.ts';
import { createTokenSource, withTokens } from './service-account-token.ts';
import type { TransportRequest } from './transport.ts';

function setUp({ accountExists }: { accountExists: boolean }) {
  const clock = new FakeClock();
  const log: string[] = [];
  let exists = accountExists;
  const accounts = {
    post: async (name: string, namespace: string, subresource: string) => {
      log.push(`${subresource} ${namespace}/${name}`);
      if (!exists) throw notFound({ group: '', resource: 'serviceaccounts' }, name);
      return { status: { token: `token-${log.length}`, expirationTimestamp: '' } };
    },
    create: async ({ metadata }: { metadata: { name: string } }) => {
      log.push(`create ${metadata.name}`);
      exists = true;
    },
  };
  const client = { resource: () => accounts } as unknown as KubeClient;
  return { clock, log, source: createTokenSource({ client, namespace: 'kube-system', name: 'a', clock }) };
}

it('makes the account where it is missing', async () => {
  const { log, source } = setUp({ accountExists: false });
  expect(await source.token()).toBe('token-3');
  expect(log).toEqual(['token kube-system/a', 'create a', 'token kube-system/a']);
});

it('keeps a token for most of its life, and asks once for many who want it', async () => {
  const { clock, source } = setUp({ accountExists: true });
  expect(await Promise.all([source.token(), source.token()])).toEqual(['token-1', 'token-1']);
  await clock.advance(2_879_000);
  expect(await source.token()).toBe('token-1');
  await clock.advance(1_000);
  expect(await source.token()).toBe('token-2');
});

it('asks for another once a server refused one', async () => {
  const { source } = setUp({ accountExists: true });
  const sent: (string | undefined)[] = [];
  const request = async ({ headers }: TransportRequest) => {
    sent.push(headers?.authorization);
    return { status: sent.length === 1 ? 401 : 200, headers: {}, body: (async function* () {})() };
  };
  const transport = withTokens({ request, close() {} }, source);
  await transport.request({ method: 'GET', path: '/' });
  await transport.request({ method: 'GET', path: '/' });
  expect(sent).toEqual(['Bearer token-1', 'Bearer token-2']);
});
