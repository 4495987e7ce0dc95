import { beforeEach, expect, test } from 'vitest';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { RequestContext } from '../chain/request-context.ts';
import type { SubresourceServices, TokenRequestClaims } from '../registry/resource-definition.ts';
import type { TestServer } from '../server/testing/test-server.ts';
import { serviceAccounts } from './serviceaccounts.ts';
import { createResourceServer } from './testing/resource-server.ts';

const NOW = Date.UTC(2026, 0, 1);

let api: TestServer;
let issued: TokenRequestClaims[];
beforeEach(async () => {
  api = createResourceServer();
  issued = [];
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'sa' } };
  await api.expect(201, 'POST', '/api/v1/namespaces/a/serviceaccounts', account);
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p' },
    spec: { serviceAccountName: 'sa', nodeName: 'n1', containers: [{ name: 'c', image: 'i' }] },
  };
  await api.expect(201, 'POST', '/api/v1/namespaces/a/pods', pod);
  const other = { ...pod, metadata: { name: 'q' }, spec: { ...pod.spec, serviceAccountName: 'other' } };
  await api.expect(201, 'POST', '/api/v1/namespaces/a/pods', other);
  await api.expect(201, 'POST', '/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' } });
});

/** POSTs a TokenRequest for `name` and answers what the handler sent. */
async function request(
  spec: object,
  name = 'sa',
): Promise<KubeObject & { status: { token: string; expirationTimestamp: string } }> {
  let answer: KubeObject | undefined;
  const services = {
    store: api.store,
    resource: serviceAccounts,
    readBody: async () => ({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', metadata: {}, spec }),
    respond: (_context: RequestContext, _status: number, object: KubeObject) => {
      answer = object;
    },
    tokens: {
      async issue(claims: TokenRequestClaims) {
        issued.push(claims);
        return { token: 't', expirationTimestampMs: NOW + claims.expirationSeconds * 1000, audiences: ['api'] };
      },
    },
  } as unknown as SubresourceServices;
  const context = { info: { namespace: 'a', name }, receivedAtMs: NOW } as unknown as RequestContext;
  const token = serviceAccounts.subresources.find((subresource) => subresource.name === 'token');
  await token?.handle?.(context, services);
  return answer as Awaited<ReturnType<typeof request>>;
}

test('a token is issued for an hour and for the API where nothing else is asked', async () => {
  const { spec, status } = await request({});
  expect(spec).toEqual({ audiences: ['api'], expirationSeconds: 3600 });
  expect(status).toEqual({ token: 't', expirationTimestamp: '2026-01-01T01:00:00Z' });
  expect(issued).toMatchObject([{ namespace: 'a', serviceAccount: { name: 'sa' }, boundObject: undefined }]);
});

test('a token bound to a pod knows the pod, its node and all their uids', async () => {
  const uidOf = async (url: string) => (await api.expect(200, 'GET', url)).metadata.uid;
  await request({ boundObjectRef: { kind: 'Pod', name: 'p' } });
  expect(issued[0]?.boundObject).toEqual({
    kind: 'Pod',
    apiVersion: 'v1',
    name: 'p',
    uid: await uidOf('/api/v1/namespaces/a/pods/p'),
    nodeName: 'n1',
    nodeUid: await uidOf('/api/v1/nodes/n1'),
  });
});

test.each<[name: string, spec: object, account: string, code: number, message: string]>([
  ['too short a life', { expirationSeconds: 60 }, 'sa', 422, 'may not specify a duration less than 10 minutes'],
  ['too long a life', { expirationSeconds: 2 ** 33 }, 'sa', 422, 'may not specify a duration larger than 2^32 seconds'],
  ['an unknown account', {}, 'nobody', 404, 'serviceaccounts "nobody" not found'],
  ['an unknown pod', { boundObjectRef: { kind: 'Pod', name: 'z' } }, 'sa', 404, 'pods "z" not found'],
  [
    'a pod that was replaced',
    { boundObjectRef: { kind: 'Pod', name: 'p', uid: 'old' } },
    'sa',
    409,
    'does not match the UID in record',
  ],
  [
    'a pod of another account',
    { boundObjectRef: { kind: 'Pod', name: 'q' } },
    'sa',
    400,
    'pod running with different serviceaccount name',
  ],
  [
    'a kind that cannot be bound',
    { boundObjectRef: { kind: 'Service', name: 'x' } },
    'sa',
    422,
    'spec.boundObjectRef.kind: Unsupported value',
  ],
])('refuses a token for %s', async (_name, spec, account, code, message) => {
  await expect(request(spec, account)).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
  expect(issued).toEqual([]);
});
