import { afterAll, beforeAll, expect, test } from 'vitest';
import { decodeProtobuf } from '#api/codec/decode-protobuf.ts';
import { encodeProtobuf } from '#api/codec/encode-protobuf.ts';
import { type GroupVersionKind, parseApiVersion } from '#api/object/group-version.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { builtinTypes } from '#api/schema/builtin-types.ts';
import type { TypeDef } from '#api/schema/type-table.ts';
import { callInMemory } from '../server/in-memory.ts';
import { createSecuredServer, type SecuredServer } from './secured-server.ts';

const PROTOBUF = 'application/vnd.kubernetes.protobuf';
const typeOf = (gvk: GroupVersionKind): TypeDef => {
  // What old clients send has the form of today.
  const type = builtinTypes().typeOf(gvk) ?? builtinTypes().typeOf({ ...gvk, version: 'v1' });
  if (type === undefined) throw new Error(`no kind ${gvk.kind}`);
  return type;
};

let api: SecuredServer;
beforeAll(async () => {
  api = await createSecuredServer();
});
afterAll(() => api.stop());

/** Everything in protobuf, there and back, as an administrator with a certificate. */
async function send(method: string, url: string, body?: object): Promise<{ status: number; object: KubeObject }> {
  const object = body as KubeObject | undefined;
  const response = await callInMemory(api.handle, {
    method,
    url,
    headers: { accept: PROTOBUF, 'content-type': PROTOBUF },
    peer: { certificate: { commonName: 'admin', organizations: ['system:masters'] } },
    ...(object === undefined
      ? {}
      : { body: encodeProtobuf(object, typeOf({ ...parseApiVersion(object.apiVersion), kind: object.kind })) }),
  });
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.chunks) chunks.push(chunk);
  expect(response.headers['content-type'], Buffer.concat(chunks).toString().slice(0, 300)).toBe(PROTOBUF);
  return { status: response.status, object: decodeProtobuf(Buffer.concat(chunks), typeOf) };
}

const AUTHORIZATION = '/apis/authorization.k8s.io/v1';
const AUTHENTICATION = '/apis/authentication.k8s.io/v1';
const review = (group: string, kind: string, spec: object, metadata: object = {}) => ({
  apiVersion: `${group}/v1`,
  kind,
  metadata,
  spec,
});
const list = { verb: 'list', resource: 'pods', namespace: 'default' };

test.each<[kind: string, path: string, body: object, status: object]>([
  [
    'SubjectAccessReview',
    `${AUTHORIZATION}/subjectaccessreviews`,
    review('authorization.k8s.io', 'SubjectAccessReview', { user: 'nobody', resourceAttributes: list }),
    {},
  ],
  [
    'SelfSubjectAccessReview',
    `${AUTHORIZATION}/selfsubjectaccessreviews`,
    review('authorization.k8s.io', 'SelfSubjectAccessReview', { resourceAttributes: list }),
    { allowed: true },
  ],
  [
    'LocalSubjectAccessReview',
    `${AUTHORIZATION}/namespaces/default/localsubjectaccessreviews`,
    review(
      'authorization.k8s.io',
      'LocalSubjectAccessReview',
      { user: 'nobody', resourceAttributes: list },
      { namespace: 'default' },
    ),
    {},
  ],
  [
    'SelfSubjectRulesReview',
    `${AUTHORIZATION}/selfsubjectrulesreviews`,
    review('authorization.k8s.io', 'SelfSubjectRulesReview', { namespace: 'default' }),
    {},
  ],
  [
    'SelfSubjectReview',
    `${AUTHENTICATION}/selfsubjectreviews`,
    { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview', metadata: {} },
    { userInfo: { username: 'admin', groups: ['system:masters', 'system:authenticated'] } },
  ],
  [
    'TokenReview',
    `${AUTHENTICATION}/tokenreviews`,
    review('authentication.k8s.io', 'TokenReview', { token: 'nonsense' }),
    {},
  ],
])('%s', async (kind, path, body, status) => {
  const answer = await send('POST', path, body);
  expect(answer.status).toBe(201);
  expect(answer.object).toMatchObject({ kind, status });
});

const NAMESPACE = '/api/v1/namespaces/default';
const labels = { a: 'b' };
const podSpec = { containers: [{ name: 'c', image: 'i' }] };
const pod = (name: string) => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name, labels }, spec: podSpec });

test('tokens, bindings, evictions and options of deletion', async () => {
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } };
  expect((await send('POST', `${NAMESPACE}/serviceaccounts`, account)).status).toBe(201);
  const request = review('authentication.k8s.io', 'TokenRequest', { expirationSeconds: 600 });
  const token = await send('POST', `${NAMESPACE}/serviceaccounts/default/token`, request);
  expect(token).toMatchObject({ status: 201, object: { kind: 'TokenRequest', spec: { expirationSeconds: 600 } } });

  for (const name of ['bound', 'evicted', 'evicted-by-old-client', 'deleted']) {
    expect((await send('POST', `${NAMESPACE}/pods`, pod(name))).status).toBe(201);
  }
  const binding = {
    apiVersion: 'v1',
    kind: 'Binding',
    metadata: { name: 'bound' },
    target: { kind: 'Node', name: 'n' },
  };
  expect(await send('POST', `${NAMESPACE}/pods/bound/binding`, binding)).toMatchObject({
    status: 201,
    object: { kind: 'Status', status: 'Success' },
  });
  for (const [name, apiVersion] of [
    ['evicted', 'policy/v1'],
    ['evicted-by-old-client', 'policy/v1beta1'],
  ]) {
    const eviction = { apiVersion, kind: 'Eviction', metadata: { name } };
    expect(await send('POST', `${NAMESPACE}/pods/${name}/eviction`, eviction)).toMatchObject({
      status: 201,
      object: { kind: 'Status', status: 'Success' },
    });
  }
  const options = { apiVersion: 'v1', kind: 'DeleteOptions', metadata: {}, preconditions: { uid: 'another' } };
  expect(await send('DELETE', `${NAMESPACE}/pods/deleted`, options)).toMatchObject({
    status: 409,
    object: { kind: 'Status', reason: 'Conflict' },
  });
});

test('a Scale', async () => {
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'd' },
    spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: podSpec } },
  };
  const path = '/apis/apps/v1/namespaces/default/deployments';
  expect((await send('POST', path, deployment)).status).toBe(201);
  const { object } = await send('GET', `${path}/d/scale`);
  expect(object).toMatchObject({ apiVersion: 'autoscaling/v1', kind: 'Scale', spec: { replicas: 1 } });
  const scaled = await send('PUT', `${path}/d/scale`, { ...object, spec: { replicas: 3 } });
  expect(scaled).toMatchObject({ status: 200, object: { spec: { replicas: 3 } } });
});

test('a body of another kind is refused', async () => {
  const { status, object } = await send('POST', `${NAMESPACE}/pods`, {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'x' },
  });
  expect(status).toBe(400);
  expect(object.message).toContain('kind');
});
