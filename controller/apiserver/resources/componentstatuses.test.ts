import { beforeEach, expect, test } from 'vitest';
import type { TestServer } from '../server/testing/test-server.ts';
import { createResourceServer } from './testing/resource-server.ts';

const STATUSES = '/api/v1/componentstatuses';
const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';

let api: TestServer;
beforeEach(() => {
  api = createResourceServer();
});

/** A leader that renewed its lease so long ago. */
const lead = (name: string, agoMs: number) =>
  api.expect(201, 'POST', LEASES, {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name },
    spec: {
      holderIdentity: 'me',
      leaseDurationSeconds: 15,
      renewTime: new Date(api.clock.now() - agoMs).toISOString().replace('Z', '000Z'),
    },
  });

test('components are as healthy as their leases are fresh', async () => {
  await lead('kube-scheduler', 1_000);
  await lead('kube-controller-manager', 20_000);
  const { kind, items } = await api.expect(200, 'GET', STATUSES);
  const cells = items.map((item: { metadata: { name: string }; conditions: object[] }) => [
    item.metadata.name,
    item.conditions[0],
  ]);
  expect(kind).toBe('ComponentStatusList');
  expect(cells).toEqual([
    ['controller-manager', { type: 'Healthy', status: 'False', error: 'the lease of me ended 5s ago' }],
    ['scheduler', { type: 'Healthy', status: 'True', message: 'ok' }],
    ['etcd-0', { type: 'Healthy', status: 'True', message: 'ok' }],
  ]);
});

test('the store says what is wrong with it', async () => {
  let problem: string | undefined = 'the disk is slow';
  const server = createResourceServer({ storeProblem: () => problem });
  const ask = async () => (await server.expect(200, 'GET', `${STATUSES}/etcd-0`)).conditions;
  expect(await ask()).toEqual([{ type: 'Healthy', status: 'False', error: 'the disk is slow' }]);
  problem = undefined;
  expect(await ask()).toEqual([{ type: 'Healthy', status: 'True', message: 'ok' }]);
});

test('one is read by its name, several by a selector, and none is written or watched', async () => {
  const one = await api.expect(200, 'GET', `${STATUSES}/scheduler`);
  expect(one.conditions).toEqual([{ type: 'Healthy', status: 'False', error: 'no instance leads' }]);
  const { items } = await api.expect(200, 'GET', `${STATUSES}?fieldSelector=metadata.name%3Detcd-0`);
  expect(items).toHaveLength(1);
  await api.expect(404, 'GET', `${STATUSES}/etcd-1`);
  await api.expect(405, 'DELETE', `${STATUSES}/scheduler`);
  await api.expect(405, 'GET', `${STATUSES}?watch=1`);
});

test('is shown as a table, with a warning that nobody should ask', async () => {
  const accept = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
  const response = await api.call('GET', STATUSES, undefined, accept);
  const { rows } = await response.json<{ rows: { cells: unknown[] }[] }>();
  expect(rows.map(({ cells }) => cells)).toContainEqual(['etcd-0', 'Healthy', 'ok', '']);
  expect(String(response.headers.warning)).toContain('v1 ComponentStatus is deprecated in v1.19+');
});
