import { afterEach, describe, expect, it } from 'vitest';
import { type EndpointSlice, type Endpoints, type Node, type Pod, resources, type Service } from '#api/object/kinds.ts';
import { createControllerHarness } from '#test/kit/controller-harness.ts';
import { startEndpointsController } from '../endpoints/endpoints-controller.ts';
import { startEndpointSliceController } from './endpointslice-controller.ts';
import { startMirroringController } from './mirroring-controller.ts';
import { planSlices } from './plan-slices.ts';

let stop = () => {};
afterEach(() => stop());

interface PodOptions {
  readonly ready?: boolean;
  readonly ip?: string;
  readonly portName?: number;
  readonly terminating?: boolean;
  readonly phase?: string;
}

function podObject(name: string, options: PodOptions = {}): Pod {
  const { ready = true, ip = `10.0.0.${name.length}`, portName = 8080, terminating, phase = 'Running' } = options;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'n',
      uid: `uid-${name}`,
      labels: { app: 'web' },
      ...(terminating ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
    },
    spec: {
      nodeName: 'node-a',
      containers: [{ name: 'c', image: 'i', ports: [{ name: 'http', containerPort: portName }] }],
    },
    status: { phase, podIP: ip, podIPs: [{ ip }], conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  } as unknown as Pod;
}

const service = (spec: object = {}) =>
  ({
    metadata: { name: 'web', namespace: 'n', uid: 'svc', labels: { team: 'x' } },
    spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 'http' }], ...spec },
  }) as unknown as Service;

const plan = (pods: readonly Pod[], existing: readonly EndpointSlice[] = [], spec: object = {}) =>
  planSlices({ service: service(spec), pods, existing, nodeOf: () => undefined });

describe('slice plan', () => {
  it.each([
    { name: 'ready', pod: podObject('p'), want: { ready: true, serving: true, terminating: false } },
    {
      name: 'not ready',
      pod: podObject('p', { ready: false }),
      want: { ready: false, serving: false, terminating: false },
    },
    {
      name: 'terminating but still serving',
      pod: podObject('p', { terminating: true }),
      want: { ready: false, serving: true, terminating: true },
    },
  ])('conditions of a pod that is $name', ({ pod, want }) => {
    expect(plan([pod]).create[0]?.endpoints[0]?.conditions).toEqual(want);
  });

  it.each([
    { distribution: undefined, zone: 'a', want: undefined },
    { distribution: 'PreferClose', zone: 'a', want: { forZones: [{ name: 'a' }] } },
    { distribution: 'PreferSameZone', zone: 'a', want: { forZones: [{ name: 'a' }] } },
    { distribution: 'PreferSameZone', zone: undefined, want: undefined },
    { distribution: 'PreferSameNode', zone: 'a', want: { forZones: [{ name: 'a' }], forNodes: [{ name: 'node-a' }] } },
    { distribution: 'PreferSameNode', zone: undefined, want: { forNodes: [{ name: 'node-a' }] } },
  ])('hints of $distribution in the zone $zone', ({ distribution, zone, want }) => {
    const labels = zone === undefined ? {} : { 'topology.kubernetes.io/zone': zone };
    const { create } = planSlices({
      service: service({ trafficDistribution: distribution }),
      pods: [podObject('p'), podObject('leaves', { terminating: true })],
      existing: [],
      nodeOf: () => ({ metadata: { name: 'node-a', labels } }) as unknown as Node,
    });
    expect(create[0]?.endpoints.map(({ hints }) => hints)).toEqual([want, undefined]);
  });

  it('calls everything ready with publishNotReadyAddresses', () => {
    const spec = { publishNotReadyAddresses: true };
    expect(plan([podObject('p', { ready: false })], [], spec).create[0]?.endpoints[0]?.conditions?.ready).toBe(true);
  });

  it('leaves out finished pods and pods without an address', () => {
    const pods = [podObject('p', { phase: 'Succeeded' }), { ...podObject('q'), status: {} } as Pod];
    expect(plan(pods).create).toEqual([{ addressType: 'IPv4', ports: [], endpoints: [] }]);
  });

  it('gives pods with another number behind a named port a slice of their own', () => {
    const { create } = plan([podObject('p'), podObject('qq', { portName: 9090 })]);
    expect(create.map(({ ports }) => ports[0]?.port)).toEqual([8080, 9090]);
  });

  it('puts at most 100 endpoints into a slice and fills gaps before making new ones', () => {
    const pods = Array.from({ length: 150 }, (_, i) => podObject(`p${i}`, { ip: `10.0.1.${i}` }));
    const { create } = plan(pods);
    expect(create.map(({ endpoints }) => endpoints.length)).toEqual([100, 50]);
    const slices = create.map(
      (content, i) => ({ metadata: { name: `s${i}`, labels: {} }, ...content }) as unknown as EndpointSlice,
    );
    const more = [...pods, podObject('new', { ip: '10.0.2.1' })];
    const labelled = plan(more, slices).update.map((slice) => slice.metadata.labels!);
    const settled = slices.map((slice) => ({ ...slice, metadata: { ...slice.metadata, labels: labelled[0]! } }));
    const next = plan(more, settled);
    expect(next.create).toEqual([]);
    expect(next.update.map((slice) => [slice.metadata.name, slice.endpoints?.length])).toEqual([['s1', 51]]);
  });

  it('changes nothing when nothing changed', () => {
    const [content] = plan([podObject('p')]).create;
    const labels = plan([podObject('p')], [{ metadata: { name: 's' }, ...content } as unknown as EndpointSlice])
      .update[0]?.metadata.labels;
    const slice = { metadata: { name: 's', labels }, ...content } as unknown as EndpointSlice;
    expect(plan([podObject('p')], [slice])).toEqual({ create: [], update: [], delete: [] });
  });
});

describe('endpointslice and endpoints controllers', () => {
  it('follow pods from birth to death', async () => {
    const harness = createControllerHarness();
    stop = harness.stop;
    const { client, settle, start } = harness;
    const services = client.resource<Service>(resources.services);
    const pods = client.resource<Pod>(resources.pods);
    const slices = client.resource<EndpointSlice>(resources.endpointSlices);
    const endpoints = client.resource<Endpoints>(resources.endpoints);
    await services.create(service());
    await start(startEndpointSliceController, startEndpointsController);
    expect((await slices.fetchList()).items.map((slice) => slice.endpoints)).toEqual([[]]);

    const pod = await pods.create(podObject('p', { ready: false }));
    await settle();
    await pods.create(podObject('qq'));
    await settle();
    const [slice] = (await slices.fetchList()).items;
    expect(slice).toMatchObject({
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      metadata: { labels: { 'kubernetes.io/service-name': 'web', team: 'x' } },
    });
    expect(slice?.endpoints?.map((endpoint) => [endpoint.addresses[0], endpoint.conditions?.ready])).toEqual([
      ['10.0.0.1', false],
      ['10.0.0.2', true],
    ]);
    expect((await endpoints.fetch('web', 'n')).subsets).toMatchObject([
      {
        addresses: [{ ip: '10.0.0.2' }],
        notReadyAddresses: [{ ip: '10.0.0.1' }],
        ports: [{ name: 'http', port: 8080 }],
      },
    ]);

    await pods.delete({ name: pod.metadata.name, namespace: 'n', gracePeriodSeconds: 0 });
    await settle();
    expect((await slices.fetchList()).items.map((s) => s.endpoints?.length)).toEqual([1]);
    await services.delete({ name: 'web', namespace: 'n' });
    await settle();
    expect((await endpoints.fetchList()).items).toEqual([]);
  });
});

describe('endpointslice mirroring', () => {
  it('follows Endpoints of a service without selector until they go', async () => {
    const harness = createControllerHarness();
    stop = harness.stop;
    const { client, settle, start } = harness;
    const services = client.resource<Service>(resources.services);
    const slices = client.resource<EndpointSlice>(resources.endpointSlices);
    const endpoints = client.resource<Endpoints>(resources.endpoints);
    await services.create({ metadata: { name: 'db', namespace: 'n' }, spec: { ports: [{ port: 5432 }] } });
    await start(startMirroringController);
    const created = await endpoints.create({
      metadata: { name: 'db', namespace: 'n' },
      subsets: [
        { addresses: [{ ip: '192.168.0.9' }, { ip: 'fd00::9' }], ports: [{ port: 5432, protocol: 'TCP' }] },
        { notReadyAddresses: [{ ip: '192.168.0.10' }], ports: [{ port: 5432, protocol: 'TCP' }] },
      ],
    });
    await settle();
    const shown = async () =>
      (await slices.fetchList()).items.map(({ addressType, endpoints: all }) => [
        addressType,
        ...(all ?? []).map(({ addresses, conditions }) => `${addresses[0]} ${conditions?.ready}`),
      ]);
    expect(await shown()).toEqual([
      ['IPv4', '192.168.0.9 true', '192.168.0.10 false'],
      ['IPv6', 'fd00::9 true'],
    ]);
    await endpoints.update({ ...created, subsets: created.subsets!.slice(1) });
    await settle();
    expect(await shown()).toEqual([['IPv4', '192.168.0.10 false']]);
    await endpoints.delete({ name: 'db', namespace: 'n' });
    await settle();
    expect(await shown()).toEqual([]);
  });

  it('leaves alone what asks not to be mirrored', async () => {
    const { client, start, stop: end } = createControllerHarness();
    stop = end;
    const labels = { 'endpointslice.kubernetes.io/skip-mirror': 'true' };
    await client.resource<Service>(resources.services).create({ metadata: { name: 'kubernetes', namespace: 'n' } });
    await client.resource<Endpoints>(resources.endpoints).create({
      metadata: { name: 'kubernetes', namespace: 'n', labels },
      subsets: [{ addresses: [{ ip: '192.168.0.9' }], ports: [{ port: 6443 }] }],
    });
    await start(startMirroringController);
    expect((await client.resource<EndpointSlice>(resources.endpointSlices).fetchList()).items).toEqual([]);
  });
});
