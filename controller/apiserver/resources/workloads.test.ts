import { beforeEach, describe, expect, test } from 'vitest';
import type { TestServer } from '../server/testing/test-server.ts';
import { createResourceServer } from './testing/resource-server.ts';

const DEPLOYMENTS = '/apis/apps/v1/namespaces/a/deployments';
const REPLICA_SETS = '/apis/apps/v1/namespaces/a/replicasets';

const template = (labels: object = { app: 'x' }, spec: object = {}) => ({
  metadata: { labels },
  spec: { containers: [{ name: 'c', image: 'nginx:1' }], ...spec },
});
const workload = (kind: string, spec: object = {}) => ({
  apiVersion: 'apps/v1',
  kind,
  metadata: { name: 'x' },
  spec: { selector: { matchLabels: { app: 'x' } }, template: template(), ...spec },
});

let api: TestServer;
beforeEach(() => {
  api = createResourceServer();
});

test('a Deployment is completed', async () => {
  const { spec } = await api.expect(201, 'POST', DEPLOYMENTS, workload('Deployment'));
  expect(spec).toMatchObject({
    progressDeadlineSeconds: 600,
    replicas: 1,
    revisionHistoryLimit: 10,
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
    template: { spec: { restartPolicy: 'Always', containers: [{ imagePullPolicy: 'IfNotPresent' }] } },
  });
  expect(spec.template.spec).not.toHaveProperty('enableServiceLinks');
});

const rolling = (maxSurge: number | string, maxUnavailable: number | string) => ({
  strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } },
});

test.each<[name: string, spec: object, finding: string]>([
  ['no selector', { selector: undefined }, 'spec.selector: Required value'],
  ['an empty selector', { selector: {} }, 'empty selector is invalid for deployment'],
  [
    'a selector of other pods',
    { template: template({ app: 'y' }) },
    'spec.template.metadata.labels: Invalid value: {"app":"y"}: `selector` does not match template `labels`',
  ],
  ['negative replicas', { replicas: -1 }, 'spec.replicas: Invalid value: -1: must be greater than or equal to 0'],
  [
    'pods that end',
    { template: template({ app: 'x' }, { restartPolicy: 'Never' }) },
    'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
  ],
  [
    'no way to move',
    rolling(0, 0),
    'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0',
  ],
  ['a share that is none', rolling('x%', 1), 'a valid percent string must be a numeric string followed by an ending'],
  ['more than all unavailable', rolling(1, '101%'), 'must not be greater than 100%'],
  [
    'rolling settings for Recreate',
    { strategy: { type: 'Recreate', rollingUpdate: {} } },
    "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
  ],
  ['an unknown strategy', { strategy: { type: 'Hope' } }, 'spec.strategy.type: Unsupported value: "Hope"'],
  [
    'a bad template',
    { template: template({ app: 'x' }, { containers: [] }) },
    'spec.template.spec.containers: Required value',
  ],
])('refuses a Deployment with %s', async (_name, spec, finding) => {
  const status = await api.expect(422, 'POST', DEPLOYMENTS, workload('Deployment', spec));
  expect(status.message).toContain(finding);
});

test.each([
  ['Deployment', DEPLOYMENTS],
  ['ReplicaSet', REPLICA_SETS],
])('the selector of a %s stays as it is', async (kind, url) => {
  await api.expect(201, 'POST', url, workload(kind));
  const other = { selector: { matchLabels: { app: 'y' } }, template: template({ app: 'y' }) };
  const status = await api.expect(422, 'PUT', `${url}/x`, workload(kind, other));
  expect(status.message).toContain('spec.selector: Invalid value');
  expect(status.message).toContain('field is immutable');
});

describe('scale', () => {
  beforeEach(() => api.expect(201, 'POST', DEPLOYMENTS, workload('Deployment', { replicas: 3 })));

  test('shows and sets the replicas', async () => {
    const scale = await api.expect(200, 'GET', `${DEPLOYMENTS}/x/scale`);
    expect(scale).toMatchObject({ kind: 'Scale', spec: { replicas: 3 }, status: { replicas: 0, selector: 'app=x' } });
    await api.expect(200, 'PUT', `${DEPLOYMENTS}/x/scale`, { ...scale, spec: { replicas: 5 } });
    const { spec, metadata } = await api.expect(200, 'GET', `${DEPLOYMENTS}/x`);
    expect([spec.replicas, metadata.generation]).toEqual([5, 2]);
  });

  test('takes a merge patch down to zero', async () => {
    const response = await api.call('PATCH', `${DEPLOYMENTS}/x/scale`, '{"spec":{"replicas":0}}', {
      'content-type': 'application/merge-patch+json',
    });
    expect(response.status).toBe(200);
    expect((await api.expect(200, 'GET', `${DEPLOYMENTS}/x`)).spec.replicas).toBe(0);
  });

  test('refuses a stale version', async () => {
    const scale = await api.expect(200, 'GET', `${DEPLOYMENTS}/x/scale`);
    await api.expect(200, 'PUT', `${DEPLOYMENTS}/x/scale`, { ...scale, spec: { replicas: 5 } });
    await api.expect(409, 'PUT', `${DEPLOYMENTS}/x/scale`, { ...scale, spec: { replicas: 6 } });
  });
});

test('a status write leaves the spec alone', async () => {
  const created = await api.expect(201, 'POST', DEPLOYMENTS, workload('Deployment'));
  const status = { replicas: 1, readyReplicas: 1, availableReplicas: 1, updatedReplicas: 1 };
  const updated = await api.expect(200, 'PUT', `${DEPLOYMENTS}/x/status`, {
    ...created,
    spec: { ...created.spec, replicas: 9 },
    status,
  });
  expect([updated.spec.replicas, updated.status.readyReplicas]).toEqual([1, 1]);
});
