import { beforeEach, expect, test } from 'vitest';
import type { Clock } from '#base/clock.ts';
import type { TestServer } from '../server/testing/test-server.ts';
import { type BootstrapOptions, ensureBootstrapObjects } from './bootstrap-objects.ts';
import { ensureClusterDnsService } from './cluster-dns-service.ts';
import { ensureKubernetesEndpoints } from './kubernetes-endpoints.ts';
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
  const cidr = await api.expect(200, 'GET', '/apis/networking.k8s.io/v1/servicecidrs/kubernetes');
  expect(cidr.status.conditions).toMatchObject([{ type: 'Ready', status: 'True' }]);
  expect(await names('/apis/networking.k8s.io/v1/ipaddresses')).toEqual(['10.96.0.1']);
  expect(await names('/apis/scheduling.k8s.io/v1/priorityclasses')).toEqual([
    'system-cluster-critical',
    'system-node-critical',
  ]);
});

test.each([
  {
    serviceCidr: '10.96.0.0/16,fd43::/112',
    first: '10.96.0.1',
    dns: ['10.96.0.10', 'fd43::a'],
    policy: 'PreferDualStack',
  },
  {
    serviceCidr: 'fd43::/112,10.96.0.0/16',
    first: 'fd43::1',
    dns: ['fd43::a', '10.96.0.10'],
    policy: 'PreferDualStack',
  },
  { serviceCidr: 'fd43::/112', first: 'fd43::1', dns: ['fd43::a'], policy: 'SingleStack' },
])('the first Services of $serviceCidr', async ({ serviceCidr, first, dns, policy }) => {
  api = createResourceServer({ serviceCidr });
  const client = clientOf(api);
  await ensureBootstrapObjects({ ...options, client, serviceCidr });
  expect(await ensureClusterDnsService({ client, serviceCidr })).toBe(true);
  const { spec } = await api.expect(200, 'GET', '/api/v1/namespaces/default/services/kubernetes');
  expect(spec).toMatchObject({ clusterIPs: [first], ipFamilyPolicy: 'SingleStack' });
  const names = await api.expect(200, 'GET', '/api/v1/namespaces/kube-system/services/kube-dns');
  expect(names.spec).toMatchObject({ clusterIPs: dns, ipFamilyPolicy: policy });
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

const slicesNow = async (): Promise<Record<string, string[]>> => {
  const { items } = await api.expect(200, 'GET', '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices');
  return Object.fromEntries(
    items.map(
      ({
        metadata,
        endpoints,
        ports,
      }: {
        metadata: { name: string };
        endpoints: { addresses: string[] }[];
        ports: { port: number }[];
      }) => [`${metadata.name}:${ports[0]?.port}`, endpoints.flatMap(({ addresses }) => addresses)],
    ),
  );
};

test('the endpoints are those of the servers that live', async () => {
  await ensureBootstrapObjects(options);
  const { client } = options;
  const point = (...servers: [string, number][]) =>
    ensureKubernetesEndpoints({ client, servers: servers.map(([ip, port]) => ({ ip, port })) });
  await point(['192.168.1.11', 6443], ['192.168.1.10', 6443]);
  const endpoints = '/api/v1/namespaces/default/endpoints/kubernetes';
  expect((await api.expect(200, 'GET', endpoints)).subsets).toEqual([
    {
      addresses: [{ ip: '192.168.1.10' }, { ip: '192.168.1.11' }],
      ports: [{ name: 'https', port: 6443, protocol: 'TCP' }],
    },
  ]);
  expect(await slicesNow()).toEqual({ 'kubernetes:6443': ['192.168.1.10', '192.168.1.11'] });
  const { revision } = api.store;
  await point(['192.168.1.10', 6443], ['192.168.1.11', 6443]);
  expect(api.store.revision).toBe(revision);
  await point(['192.168.1.10', 6444], ['192.168.1.10', 6443]);
  expect(await slicesNow()).toEqual({ 'kubernetes:6443': ['192.168.1.10'], 'kubernetes-6444:6444': ['192.168.1.10'] });
  await point(['192.168.1.10', 6444]);
  expect(await slicesNow()).toEqual({ 'kubernetes:6444': ['192.168.1.10'] });
});
