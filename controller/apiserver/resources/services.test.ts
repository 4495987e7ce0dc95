import { beforeEach, describe, expect, test } from 'vitest';
import type { TestServer } from '../server/testing/test-server.ts';
import { createResourceServer } from './testing/resource-server.ts';

const SERVICES = '/api/v1/namespaces/a/services';
const ADDRESSES = '/apis/networking.k8s.io/v1/ipaddresses';

const service = (name: string, spec: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name },
  spec: { selector: { app: name }, ports: [{ port: 80 }], ...spec },
});

let api: TestServer;
beforeEach(() => {
  api = createResourceServer();
});

const create = (name: string, spec: object = {}) => api.expect(201, 'POST', SERVICES, service(name, spec));
const refused = async (name: string, spec: object): Promise<string> =>
  (await api.expect(422, 'POST', SERVICES, service(name, spec))).message;
async function heldAddresses(): Promise<string[]> {
  const { items } = await api.expect(200, 'GET', ADDRESSES);
  return items.map((item: { metadata: { name: string } }) => item.metadata.name);
}

describe('cluster IPs', () => {
  test('each Service gets one, held by an IPAddress that names it', async () => {
    const created = await create('x');
    const ip = created.spec.clusterIP;
    expect(created.spec).toMatchObject({
      clusterIPs: [ip],
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      type: 'ClusterIP',
    });
    const address = await api.expect(200, 'GET', `${ADDRESSES}/${ip}`);
    expect(address.spec).toEqual({ parentRef: { resource: 'services', namespace: 'a', name: 'x' } });
  });

  test('a hundred requests at once get a hundred addresses', async () => {
    const created = await Promise.all(Array.from({ length: 100 }, (_, i) => create(`s${i}`)));
    expect(new Set(created.map(({ spec }) => spec.clusterIP)).size).toBe(100);
    expect(await heldAddresses()).toHaveLength(100);
  });

  test('the wanted one is given once', async () => {
    const results = await Promise.all(
      ['x', 'y', 'z'].map((name) => api.call('POST', SERVICES, service(name, { clusterIP: '10.96.0.10' }))),
    );
    expect(results.map(({ status }) => status).sort()).toEqual([201, 422, 422]);
    expect(await refused('w', { clusterIP: '10.96.0.10' })).toContain(
      'spec.clusterIPs: Invalid value: ["10.96.0.10"]: failed to allocate IP 10.96.0.10: provided IP is already allocated',
    );
  });

  test('one outside the range is refused', async () => {
    expect(await refused('x', { clusterIP: '192.168.0.1' })).toContain(
      'failed to allocate IP 192.168.0.1: the provided network does not match the current range',
    );
  });

  test('headless Services and external names hold none', async () => {
    expect((await create('x', { clusterIP: 'None' })).spec).toMatchObject({ clusterIP: 'None', clusterIPs: ['None'] });
    const external = await create('y', {
      type: 'ExternalName',
      externalName: 'example.com',
      ports: undefined,
      selector: undefined,
    });
    expect(external.spec).toEqual({ externalName: 'example.com', sessionAffinity: 'None', type: 'ExternalName' });
    expect(await heldAddresses()).toEqual([]);
  });

  test('are free again after the Service, and after a request that failed', async () => {
    await create('x', { clusterIP: '10.96.0.10' });
    await api.expect(409, 'POST', SERVICES, service('x'));
    expect(await heldAddresses()).toEqual(['10.96.0.10']);
    await api.expect(200, 'DELETE', `${SERVICES}/x`);
    await expect.poll(heldAddresses).toEqual([]);
    await create('y', { clusterIP: '10.96.0.10' });
  });

  test('nothing is held by a dry run', async () => {
    const created = await api.expect(201, 'POST', `${SERVICES}?dryRun=All`, service('x', { type: 'NodePort' }));
    expect(created.spec.clusterIP).toMatch(/^10\.96\./);
    expect(await heldAddresses()).toEqual([]);
    await create('y', { type: 'NodePort', ports: [{ port: 80, nodePort: created.spec.ports[0].nodePort }] });
  });

  test('cannot change, and survive an update that leaves them out', async () => {
    const { spec } = await create('x');
    const kept = await api.expect(200, 'PUT', `${SERVICES}/x`, service('x', { ports: [{ port: 81 }] }));
    expect(kept.spec.clusterIP).toBe(spec.clusterIP);
    const status = await api.expect(422, 'PUT', `${SERVICES}/x`, service('x', { clusterIP: '10.96.0.99' }));
    expect(status.message).toContain('spec.clusterIPs[0]: Invalid value: ["10.96.0.99"]: may not change once set');
  });

  test('an address whose Service is gone is given back at the next start', async () => {
    const { spec } = await create('x');
    await api.store.write('/registry/services/specs/a/x', () => ({ kind: 'delete' }));
    expect(await heldAddresses()).toEqual([spec.clusterIP]);
    // A new process over the same store, later.
    const { services } = await import('./services.ts');
    const definition = services({
      subresources: [],
      serviceCidr: '10.96.0.0/16',
      nodePortRange: { from: 30_000, to: 32_767 },
      nowMs: () => Date.UTC(2026, 0, 1, 1),
      random: () => 0,
      newUid: () => 'u',
      onReleaseError: (err) => {
        throw err;
      },
    });
    const object = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'y', namespace: 'a' },
      spec: { type: 'ExternalName' },
    };
    await definition.allocate?.(object, undefined, api.store, { dryRun: false } as never);
    expect(await heldAddresses()).toEqual([]);
  });
});

describe('node ports', () => {
  const nodePort = (port: number, more: object = {}) => ({
    type: 'NodePort',
    ports: [{ port: 80, nodePort: port, ...more }],
  });

  test('are drawn from the range, one per port, shared by protocols', async () => {
    const ports = [
      { name: 'dns', port: 53, protocol: 'UDP' },
      { name: 'dns-tcp', port: 53, protocol: 'TCP' },
      { name: 'web', port: 80 },
    ];
    const { spec } = await create('x', { type: 'NodePort', ports });
    const [udp, tcp, web] = spec.ports.map((port: { nodePort: number }) => port.nodePort);
    expect(udp).toBe(tcp);
    expect(web).not.toBe(tcp);
    for (const port of [udp, web]) expect(port >= 30_000 && port <= 32_767).toBe(true);
  });

  test('a taken one and one outside the range are refused, and the address of a refused Service is free', async () => {
    await create('x', nodePort(30_080));
    expect(await refused('y', nodePort(30_080))).toContain(
      'spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated',
    );
    expect(await refused('y', nodePort(80))).toContain(
      'provided port is not in the valid range. The range of valid ports is 30000-32767',
    );
    expect(await heldAddresses()).toHaveLength(1);
  });

  test('come and go with the type', async () => {
    await create('x', nodePort(30_080));
    const { spec } = await api.expect(
      200,
      'PUT',
      `${SERVICES}/x`,
      service('x', { type: 'ClusterIP', ports: [{ port: 80, nodePort: 30_080 }] }),
    );
    expect(spec.ports[0]).not.toHaveProperty('nodePort');
    expect(spec).not.toHaveProperty('externalTrafficPolicy');
    await create('y', nodePort(30_080));
    const again = await api.expect(200, 'PUT', `${SERVICES}/x`, service('x', { type: 'NodePort' }));
    expect(again.spec.ports[0].nodePort).toBeGreaterThanOrEqual(30_000);
    expect(again.spec.ports[0].nodePort).not.toBe(30_080);
  });

  test('stay over an update that leaves them out', async () => {
    await create('x', nodePort(30_080));
    const { spec } = await api.expect(200, 'PUT', `${SERVICES}/x`, service('x', { type: 'NodePort' }));
    expect(spec.ports[0].nodePort).toBe(30_080);
  });

  test('a LoadBalancer with the local policy gets a health check port', async () => {
    const { spec } = await create('x', { type: 'LoadBalancer', externalTrafficPolicy: 'Local' });
    expect(spec.healthCheckNodePort).toBeGreaterThanOrEqual(30_000);
    expect(spec.allocateLoadBalancerNodePorts).toBe(true);
  });
});

test('a dual-stack Service gets an address of each family, and gives the second back when it no longer wants it', async () => {
  api = createResourceServer({ serviceCidr: '10.96.0.0/16,fd00:10:96::/112' });
  const { spec } = await create('x', { ipFamilyPolicy: 'PreferDualStack' });
  expect(spec.clusterIPs).toHaveLength(2);
  expect(spec.clusterIPs[1]).toMatch(/^fd00:10:96::/);
  expect(await heldAddresses()).toEqual([...spec.clusterIPs].sort());
  const current = await api.expect(200, 'GET', `${SERVICES}/x`);
  await api.expect(200, 'PUT', `${SERVICES}/x`, {
    ...current,
    spec: { ...current.spec, ipFamilyPolicy: 'SingleStack' },
  });
  expect(await heldAddresses()).toEqual([spec.clusterIP]);
});

test('a Service that becomes an external name gives its address back', async () => {
  await create('x');
  const external = { type: 'ExternalName', externalName: 'example.com' };
  const { spec } = await api.expect(200, 'PUT', `${SERVICES}/x`, service('x', external));
  expect(spec).not.toHaveProperty('clusterIP');
  expect(await heldAddresses()).toEqual([]);
  const back = await api.expect(200, 'PUT', `${SERVICES}/x`, service('x'));
  expect(back.spec.clusterIP).toMatch(/^10\.96\./);
});

test('an update that changes nothing spends no revision', async () => {
  await create('x', { type: 'NodePort' });
  const current = await api.expect(200, 'GET', `${SERVICES}/x`);
  const { revision } = api.store;
  await api.expect(200, 'PUT', `${SERVICES}/x`, current);
  expect(api.store.revision).toBe(revision);
});

test.each<[name: string, spec: object, finding: string]>([
  ['no ports', { ports: [] }, 'spec.ports: Required value'],
  [
    'a bad port',
    { ports: [{ port: 0 }] },
    'spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive',
  ],
  ['several ports without names', { ports: [{ port: 1 }, { port: 2 }] }, 'spec.ports[0].name: Required value'],
  [
    'a node port without the type',
    { ports: [{ port: 80, nodePort: 30_000 }] },
    "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
  ],
  ['an unknown type', { type: 'Tunnel' }, 'spec.type: Unsupported value: "Tunnel"'],
  [
    'a headless NodePort',
    { type: 'NodePort', clusterIP: 'None' },
    `spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for NodePort services`,
  ],
  ['an unknown affinity', { sessionAffinity: 'Cookie' }, 'spec.sessionAffinity: Unsupported value: "Cookie"'],
  ['a bad selector', { selector: { 'a b': 'c' } }, 'spec.selector: Invalid value: "a b"'],
  ['a loopback external IP', { externalIPs: ['127.0.0.1'] }, 'may not be in the loopback range (127.0.0.0/8, ::1/128)'],
  ['an external name without one', { type: 'ExternalName' }, 'spec.externalName: Required value'],
  [
    'IPv6 in an IPv4 cluster',
    { ipFamilies: ['IPv6'] },
    'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
  ],
])('refuses %s', async (_name, spec, finding) => {
  expect(await refused('x', spec)).toContain(finding);
});
