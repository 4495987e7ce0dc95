import { beforeEach, expect, test } from 'vitest';
import type { Clock } from '#base/clock.ts';
import type { TestServer } from '../server/testing/test-server.ts';
import { type BootstrapOptions, ensureBootstrapObjects, ensureKubernetesEndpoints } from './bootstrap-objects.ts';
import { createResourceServer } from './testing/resource-server.ts';
import { clientOf } from './testing/server-client.ts';

/** Waits are over at once. */
const eager: Clock = {
  now: () => 0,
  monotonic: () => 0,
  after(_delayMs, fn) {
    setImmediate(fn);
    return () => {};
  },
};

let api: TestServer;
let options: BootstrapOptions;
beforeEach(() => {
  api = createResourceServer();
  options = {
    client: clientOf(api),
    serviceCidr: '10.96.0.0/16',
    advertiseAddress: '192.168.1.10',
    port: 6443,
    clock: eager,
  };
});

const names = async (url: string): Promise<string[]> =>
  (await api.expect(200, 'GET', url)).items.map((item: { metadata: { name: string } }) => item.metadata.name);

test('a new cluster has its namespaces, its range and the kubernetes Service', async () => {
  await ensureBootstrapObjects(options);
  expect(await names('/api/v1/namespaces')).toEqual(['default', 'kube-node-lease', 'kube-public', 'kube-system']);
  const { spec } = await api.expect(200, 'GET', '/api/v1/namespaces/default/services/kubernetes');
  expect(spec).toMatchObject({
    clusterIP: '10.96.0.1',
    ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: 6443 }],
  });
  const { subsets } = await api.expect(200, 'GET', '/api/v1/namespaces/default/endpoints/kubernetes');
  expect(subsets).toEqual([
    { addresses: [{ ip: '192.168.1.10' }], ports: [{ name: 'https', port: 6443, protocol: 'TCP' }] },
  ]);
  const slice = await api.expect(200, 'GET', '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes');
  expect(slice).toMatchObject({
    addressType: 'IPv4',
    endpoints: [{ addresses: ['192.168.1.10'], conditions: { ready: true } }],
  });
  const cidr = await api.expect(200, 'GET', '/apis/networking.k8s.io/v1/servicecidrs/kubernetes');
  expect(cidr.status.conditions).toMatchObject([{ type: 'Ready', status: 'True' }]);
  expect(await names('/apis/networking.k8s.io/v1/ipaddresses')).toEqual(['10.96.0.1']);
  expect(await names('/apis/scheduling.k8s.io/v1/priorityclasses')).toEqual([
    'system-cluster-critical',
    'system-node-critical',
  ]);
});

test('a second start writes nothing', async () => {
  await ensureBootstrapObjects(options);
  const { revision } = api.store;
  await ensureBootstrapObjects(options);
  expect(api.store.revision).toBe(revision);
});

test('several API servers at once do not get in each other’s way', async () => {
  await Promise.all([1, 2, 3].map(() => ensureBootstrapObjects(options)));
  expect(await names('/apis/networking.k8s.io/v1/ipaddresses')).toEqual(['10.96.0.1']);
});

test('the endpoints follow the advertised address', async () => {
  await ensureBootstrapObjects(options);
  await ensureKubernetesEndpoints({ ...options, advertiseAddress: '192.168.1.11' });
  const { subsets } = await api.expect(200, 'GET', '/api/v1/namespaces/default/endpoints/kubernetes');
  expect(subsets[0].addresses).toEqual([{ ip: '192.168.1.11' }]);
  const slice = await api.expect(200, 'GET', '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes');
  expect(slice.endpoints[0].addresses).toEqual(['192.168.1.11']);
});
