import { beforeEach, describe, expect, test } from 'vitest';
import type { TestServer } from '../server/testing/test-server.ts';
import { createResourceServer } from './testing/resource-server.ts';

let api: TestServer;
beforeEach(() => {
  api = createResourceServer();
});

const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'x' } };

test('a Namespace stays until its finalizer is taken off', async () => {
  const created = await api.expect(201, 'POST', '/api/v1/namespaces', namespace);
  expect(created.metadata.labels).toEqual({ 'kubernetes.io/metadata.name': 'x' });
  await api.expect(200, 'DELETE', '/api/v1/namespaces/x');
  const dying = await api.expect(200, 'GET', '/api/v1/namespaces/x');
  expect(dying).toMatchObject({ spec: { finalizers: ['kubernetes'] }, status: { phase: 'Terminating' } });
  await api.expect(200, 'PUT', '/api/v1/namespaces/x', { ...dying, spec: {} });
  await api.expect(200, 'GET', '/api/v1/namespaces/x');
  const { resourceVersion: _, ...metadata } = dying.metadata;
  await api.expect(200, 'PUT', '/api/v1/namespaces/x/finalize', { ...dying, metadata, spec: {} });
  await api.expect(404, 'GET', '/api/v1/namespaces/x');
});

test('a config map holds no more than 1 MiB', async () => {
  const body = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'x' },
    data: { a: 'x'.repeat(1024 * 1024 + 1) },
  };
  const { message } = await api.expect(422, 'POST', '/api/v1/namespaces/a/configmaps', body);
  expect(message).toBe('ConfigMap "x" is invalid: []: Too long: may not be more than 1048576 bytes');
});

describe('secrets', () => {
  const SECRETS = '/api/v1/namespaces/a/secrets';
  const secret = (more: object) => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'x' }, ...more });
  const base64 = (text: string) => Buffer.from(text).toString('base64');

  test('stringData becomes data and wins over it', async () => {
    const body = secret({ data: { b: base64('old'), c: base64('c') }, stringData: { b: 'new', a: 'first' } });
    const created = await api.expect(201, 'POST', SECRETS, body);
    expect(created).toMatchObject({ type: 'Opaque', data: { a: base64('first'), b: base64('new'), c: base64('c') } });
    expect(created).not.toHaveProperty('stringData');
  });

  test.each<[name: string, body: object, finding: string]>([
    [
      'TLS without its key',
      { type: 'kubernetes.io/tls', stringData: { 'tls.crt': 'x' } },
      'data[tls.key]: Required value',
    ],
    [
      'registry credentials that are no JSON',
      { type: 'kubernetes.io/dockerconfigjson', stringData: { '.dockerconfigjson': '{' } },
      'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>"',
    ],
    [
      'a bad key',
      { stringData: { 'a/b': 'x' } },
      'data[a/b]: Invalid value: "a/b": a valid config key must consist of',
    ],
    [
      'too much',
      { stringData: { a: 'x'.repeat(1024 * 1024 + 1) } },
      'data: Too long: may not be more than 1048576 bytes',
    ],
  ])('refuses %s', async (_name, body, finding) => {
    expect((await api.expect(422, 'POST', SECRETS, secret(body))).message).toContain(finding);
  });

  test('the type is for life, and an immutable one its data too', async () => {
    await api.expect(201, 'POST', SECRETS, secret({ immutable: true, stringData: { a: '1' } }));
    const changed = await api.expect(422, 'PUT', `${SECRETS}/x`, secret({ immutable: true, stringData: { a: '2' } }));
    expect(changed.message).toContain('data: Forbidden: field is immutable when `immutable` is set');
    const retyped = await api.expect(
      422,
      'PUT',
      `${SECRETS}/x`,
      secret({ immutable: true, type: 'x/y', stringData: { a: '1' } }),
    );
    expect(retyped.message).toContain('type: Invalid value: "x/y": field is immutable');
  });
});

test('an immutable ConfigMap keeps its data', async () => {
  const url = '/api/v1/namespaces/a/configmaps';
  const body = (more: object) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' }, ...more });
  await api.expect(201, 'POST', url, body({ immutable: true, data: { a: '1' } }));
  const status = await api.expect(422, 'PUT', `${url}/x`, body({ data: { a: '2' } }));
  expect(status.message).toContain('immutable: Forbidden');
  expect(status.message).toContain('data: Forbidden');
});

test('a ConfigMap takes keys that objects inherit', async () => {
  const data = { constructor: '1', toString: '2' };
  const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'odd' }, data };
  await api.expect(201, 'POST', '/api/v1/namespaces/a/configmaps', body);
  expect((await api.expect(200, 'GET', '/api/v1/namespaces/a/configmaps/odd')).data).toEqual(data);
});

test('an Event has two faces', async () => {
  const body = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: 'x', namespace: 'a' },
    involvedObject: { kind: 'Pod', namespace: 'a', name: 'p' },
    reason: 'Started',
    message: 'up',
    type: 'Normal',
    source: { component: 'kubelet', host: 'n1' },
    firstTimestamp: '2025-12-31T23:00:00Z',
    lastTimestamp: '2025-12-31T23:59:00Z',
    count: 4,
  };
  await api.expect(201, 'POST', '/api/v1/namespaces/a/events', body);
  const face = await api.expect(200, 'GET', '/apis/events.k8s.io/v1/namespaces/a/events/x');
  expect(face).toMatchObject({
    apiVersion: 'events.k8s.io/v1',
    regarding: { kind: 'Pod', name: 'p' },
    note: 'up',
    deprecatedCount: 4,
    deprecatedSource: { component: 'kubelet', host: 'n1' },
  });
  const selected = await api.expect(
    200,
    'GET',
    '/api/v1/namespaces/a/events?fieldSelector=involvedObject.name%3Dp,source%3Dkubelet',
  );
  expect(selected.items).toHaveLength(1);
  const byFace = '/apis/events.k8s.io/v1/namespaces/a/events?fieldSelector=regarding.name%3Dp';
  expect((await api.expect(200, 'GET', byFace)).items).toHaveLength(1);
  const table = await api.call('GET', '/api/v1/namespaces/a/events', undefined, {
    accept: 'application/json;as=Table;v=v1;g=meta.k8s.io',
  });
  const { rows } = await table.json<{ rows: { cells: unknown[] }[] }>();
  expect(rows[0]?.cells).toEqual(['60s', 'Normal', 'Started', 'pod/p', '', 'kubelet, n1', 'up', '60m', 4, 'x']);
});

test('a renewed Lease and a heartbeat are volatile, another holder and another condition are not', async () => {
  const { leases } = await import('./leases.ts');
  const { nodes } = await import('./nodes.ts');
  const lease = (spec: object) => ({ apiVersion: 'v1', kind: 'Lease', metadata: { name: 'x' }, spec });
  const one = lease({ holderIdentity: 'a', renewTime: '1' });
  expect(leases.isVolatileUpdate(one, lease({ holderIdentity: 'a', renewTime: '2' }))).toBe(true);
  expect(leases.isVolatileUpdate(one, lease({ holderIdentity: 'b', renewTime: '2' }))).toBe(false);
  const node = (condition: object) => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'x', managedFields: [{ time: JSON.stringify(condition) }] },
    status: { conditions: [{ type: 'Ready', ...condition }] },
  });
  const ready = node({ status: 'True', lastHeartbeatTime: '1' });
  expect(nodes([]).isVolatileUpdate(ready, node({ status: 'True', lastHeartbeatTime: '2' }))).toBe(true);
  expect(nodes([]).isVolatileUpdate(ready, node({ status: 'False', lastHeartbeatTime: '2' }))).toBe(false);
});

describe('certificate signing requests', () => {
  const CSRS = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
  const pem = '-----BEGIN CERTIFICATE REQUEST-----\nMA==\n-----END CERTIFICATE REQUEST-----\n';
  const csr = (spec: object = {}) => ({
    apiVersion: 'certificates.k8s.io/v1',
    kind: 'CertificateSigningRequest',
    metadata: { name: 'x' },
    spec: {
      request: Buffer.from(pem).toString('base64'),
      signerName: 'kubernetes.io/kube-apiserver-client',
      usages: ['client auth'],
      ...spec,
    },
  });
  const approved = [{ type: 'Approved', status: 'True', reason: 'Because', message: 'yes' }];

  test('name who asked, whatever the body says', async () => {
    const { spec } = await api.expect(201, 'POST', CSRS, csr({ username: 'mallory', groups: ['system:masters'] }));
    expect(spec.username).not.toBe('mallory');
    expect(spec.groups).not.toContain('system:masters');
  });

  test('are approved through their own subresource alone, and for good', async () => {
    const created = await api.expect(201, 'POST', CSRS, csr());
    const decided = { ...created, status: { conditions: approved } };
    const refused = await api.expect(422, 'PUT', `${CSRS}/x/status`, decided);
    expect(refused.message).toContain('updates may not add a condition of type "Approved"');
    const answer = await api.expect(200, 'PUT', `${CSRS}/x/approval`, decided);
    expect(answer.status.conditions).toMatchObject([{ type: 'Approved', lastUpdateTime: '2026-01-01T00:00:00Z' }]);
    const undone = await api.expect(422, 'PUT', `${CSRS}/x/approval`, { ...answer, status: {} });
    expect(undone.message).toContain('updates may not remove a condition of type "Approved"');
  });

  test('are told when a condition came up, be it given without a status', async () => {
    const created = await api.expect(201, 'POST', CSRS, csr());
    const path = `${CSRS}/x/approval`;
    const answer = await api.expect(200, 'PUT', path, { ...created, status: { conditions: [{ type: 'Approved' }] } });
    const at = '2026-01-01T00:00:00Z';
    expect(answer.status.conditions).toMatchObject([{ status: 'True', lastTransitionTime: at, lastUpdateTime: at }]);
  });

  test.each<[name: string, spec: object, finding: string]>([
    ['no signer', { signerName: undefined }, 'spec.signerName: Required value'],
    ['no usages', { usages: [] }, 'spec.usages: Required value'],
    ['an unknown usage', { usages: ['world domination'] }, 'spec.usages[0]: Unsupported value'],
    ['no request', { request: Buffer.from('x').toString('base64') }, 'PEM block type must be CERTIFICATE REQUEST'],
    ['too short a life', { expirationSeconds: 60 }, 'may not specify a duration less than 600 seconds (10 minutes)'],
  ])('refuse %s', async (_name, spec, finding) => {
    expect((await api.expect(422, 'POST', CSRS, csr(spec))).message).toContain(finding);
  });
});

test.each<[name: string, kind: string, url: string, body: object, finding: string]>([
  [
    'a rule without verbs',
    'Role',
    '/apis/rbac.authorization.k8s.io/v1/namespaces/a/roles',
    { rules: [{ apiGroups: [''], resources: ['pods'] }] },
    'rules[0].verbs: Required value: verbs must contain at least one value',
  ],
  [
    'URLs in a namespace',
    'Role',
    '/apis/rbac.authorization.k8s.io/v1/namespaces/a/roles',
    { rules: [{ nonResourceURLs: ['/x'], verbs: ['get'] }] },
    'namespaced rules cannot apply to non-resource URLs',
  ],
  [
    'a role of another kind',
    'ClusterRoleBinding',
    '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
    { roleRef: { kind: 'Role', name: 'x' } },
    'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"',
  ],
  [
    'an endpoint on loopback',
    'EndpointSlice',
    '/apis/discovery.k8s.io/v1/namespaces/a/endpointslices',
    { addressType: 'IPv4', endpoints: [{ addresses: ['127.0.0.1'] }] },
    'endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range',
  ],
  [
    'a priority of the system',
    'PriorityClass',
    '/apis/scheduling.k8s.io/v1/priorityclasses',
    { value: 2_000_000_000 },
    'value: Forbidden: maximum allowed value of a user defined priority is 1000000000',
  ],
])('refuses %s', async (_name, kind, url, body, finding) => {
  const group = url.startsWith('/api/') ? 'v1' : url.split('/').slice(2, 4).join('/');
  const object = { apiVersion: group, kind, metadata: { name: 'x' }, ...body };
  expect((await api.expect(422, 'POST', url, object)).message).toContain(finding);
});
