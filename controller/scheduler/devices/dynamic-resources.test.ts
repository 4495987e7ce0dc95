import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KubeClient } from '#api/client/client.ts';
import { createInformerFactory } from '#api/client/informer-factory.ts';
import type { Pod, ResourceClaim } from '#api/object/kinds.ts';
import { type DeviceClass, type ResourceSlice, resources } from '#api/object/kinds.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { MemoryCluster } from '#test/kit/memory-client.ts';
import { createPodInfo } from '../cache/pod-info.ts';
import type { ClusterEvent } from '../framework/cluster-event.ts';
import { filterNodes } from '../framework/filter-nodes.ts';
import { renderUnschedulable } from '../framework/unschedulable-message.ts';
import { makeCluster, makePod } from '../testing/builders.ts';
import { DeviceCache } from './device-cache.ts';
import { DeviceSelectors } from './device-selectors.ts';
import { createDynamicResources } from './dynamic-resources.ts';

const NAMESPACE = 'default';
const REQUEST = { name: 'r', exactly: { deviceClassName: 'gpu', allocationMode: 'ExactCount' as const, count: 1 } };

let cluster: MemoryCluster;
let client: KubeClient;
let cache: DeviceCache;
let plugin: ReturnType<typeof createDynamicResources>;
let events: ClusterEvent[];
const stop = { controller: new AbortController() };
const { view } = makeCluster({ nodes: [{ name: 'a' }, { name: 'b' }] });

const claims = () => client.resource<ResourceClaim>(resources.resourceClaims);
const settle = async () => {
  for (let turn = 0; turn < 30; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
};

beforeEach(async () => {
  const clock = new FakeClock();
  stop.controller = new AbortController();
  cluster = new MemoryCluster(clock);
  client = cluster.client();
  const factory = createInformerFactory({ client, clock, log: silentLogger, random: () => 0, freeze: true });
  cache = new DeviceCache(factory);
  events = [];
  cache.watch((event) => events.push(event));
  plugin = createDynamicResources({
    ...{ client, cache, log: silentLogger },
    selectors: new DeviceSelectors(() => ({ ok: true, matches: () => true })),
  });
  factory.start(stop.controller.signal);
  await client.resource<DeviceClass>(resources.deviceClasses).create({ metadata: { name: 'gpu' }, spec: {} });
  await client.resource<ResourceSlice>(resources.resourceSlices).create({
    metadata: { name: 's' },
    spec: {
      ...{ driver: 'd', nodeName: 'a', devices: [{ name: 'gpu-0' }] },
      pool: { name: 'a', generation: 1, resourceSliceCount: 1 },
    },
  });
  await settle();
});
afterEach(() => stop.controller.abort());

async function addClaim(name: string, request: object = REQUEST): Promise<void> {
  await claims().create({
    metadata: { name, namespace: NAMESPACE },
    spec: { devices: { requests: [request] } },
  } as never);
  await settle();
}

const podWith = (claim: string, name = 'web'): Pod =>
  makePod({ name, spec: { resourceClaims: [{ name: 'card', resourceClaimName: claim }] } });

/** Names of the nodes that fit, or why there is none. */
function look(pod: Pod): string[] | string {
  const { feasible, diagnosis } = filterNodes(createPodInfo(pod), view, [plugin.filter]);
  return feasible.length > 0 ? feasible.map(({ name }) => name) : renderUnschedulable(diagnosis);
}

/** As the scheduler does it: filter, then reserve on the node, with the same version of the pod. */
function place(pod: Pod, node = 'a') {
  const info = createPodInfo(pod);
  filterNodes(info, view, [plugin.filter]);
  return plugin.reserve.reserve(info, view.node(node)!, view);
}

const signal = new AbortController().signal;

describe('a pod with a claim', () => {
  it('fits where the devices are; they are written into the claim and reserved before it is bound', async () => {
    await addClaim('c');
    const pod = podWith('c');
    expect(look(pod)).toEqual(['a']);
    await place(pod)?.fulfil(signal);
    const { status, metadata } = await claims().fetch('c', NAMESPACE);
    expect(status).toMatchObject({
      allocation: { devices: { results: [{ request: 'r', driver: 'd', pool: 'a', device: 'gpu-0' }] } },
      reservedFor: [{ resource: 'pods', name: 'web', uid: pod.metadata.uid }],
    });
    expect(metadata.finalizers).toEqual(['resource.kubernetes.io/delete-protection']);
  });

  it('takes nothing that was promised to another a moment ago, and is woken when that comes to nothing', async () => {
    await addClaim('c');
    await addClaim('other');
    const reservation = place(podWith('c'));
    events.length = 0;
    expect(look(podWith('other', 'second'))).toBe('0/2 nodes are available: 2 cannot allocate all claims.');
    expect(look(podWith('c', 'third'))).toBe(
      '0/2 nodes are available: resource claim default/c is in the process of being allocated.',
    );
    await claims().delete({ name: 'c', namespace: NAMESPACE });
    await expect(reservation?.fulfil(signal)).rejects.toThrow('running PreBind plugin "DynamicResources": ');
    const waiting = podWith('other', 'second');
    expect(events.some((event) => plugin.filter.isHelpedBy(event, createPodInfo(waiting), view))).toBe(true);
    expect(look(waiting)).toEqual(['a']);
  });

  it('is written again when somebody else wrote the claim meanwhile', async () => {
    await addClaim('c');
    const reservation = place(podWith('c'));
    const claim = await claims().fetch('c', NAMESPACE);
    await claims().update({ ...claim, metadata: { ...claim.metadata, labels: { touched: 'yes' } } });
    await reservation?.fulfil(signal);
    expect((await claims().fetch('c', NAMESPACE)).status?.reservedFor).toHaveLength(1);
  });

  it('shares a claim that has its devices, on the nodes where they are', async () => {
    await addClaim('c');
    await place(podWith('c'))?.fulfil(signal);
    await settle();
    const second = podWith('c', 'second');
    expect(look(second)).toEqual(['a']);
    await place(second)?.fulfil(signal);
    expect((await claims().fetch('c', NAMESPACE)).status?.reservedFor).toHaveLength(2);
    const { feasible, diagnosis } = filterNodes(createPodInfo(second), makeCluster({ nodes: [{ name: 'b' }] }).view, [
      plugin.filter,
    ]);
    expect(feasible).toEqual([]);
    expect(renderUnschedulable(diagnosis)).toBe('0/1 nodes are available: 1 resourceclaim not available on the node.');
  });

  it('may have devices that another claim has given back', async () => {
    await addClaim('c');
    await place(podWith('c'))?.fulfil(signal);
    await addClaim('other');
    const waiting = podWith('other', 'second');
    expect(look(waiting)).toBe('0/2 nodes are available: 2 cannot allocate all claims.');
    events.length = 0;
    const claim = await claims().fetch('c', NAMESPACE);
    await claims().update({ ...claim, status: {} }, 'status');
    await settle();
    const helps = (event: ClusterEvent) => plugin.filter.isHelpedBy(event, createPodInfo(waiting), view);
    expect(events.map((event) => [event.kind, helps(event)])).toEqual([['deviceClaimChanged', true]]);
    expect(look(waiting)).toEqual(['a']);
  });

  it('has its devices taken back when it fits elsewhere only, unless another pod uses them', async () => {
    await addClaim('c');
    const pod = podWith('c');
    await place(pod)?.fulfil(signal);
    await settle();
    const b = makeCluster({ nodes: [{ name: 'b' }] }).view;
    const fail = async (waiting: Pod) => {
      const info = createPodInfo(waiting);
      expect(filterNodes(info, b, [plugin.filter]).feasible).toEqual([]);
      await plugin.filter.onUnschedulable?.(info);
      await settle();
      return (await claims().fetch('c', NAMESPACE)).status;
    };
    expect((await fail(podWith('c', 'second')))?.allocation).toBeDefined();
    expect(await fail(pod)).toEqual({});
    expect(look(pod)).toEqual(['a']);
  });

  it('is told what is missing', async () => {
    const told = '0/2 nodes are available: ';
    expect(look(podWith('none'))).toBe(`${told}resourceclaim.resource.k8s.io "none" not found.`);
    const fromTemplate = makePod({ spec: { resourceClaims: [{ name: 'x', resourceClaimTemplateName: 't' }] } });
    expect(look(fromTemplate)).toBe(`${told}pod "default/pod": ResourceClaim not created yet.`);
    await addClaim('c', { name: 'r', exactly: { deviceClassName: 'nope', allocationMode: 'ExactCount', count: 1 } });
    expect(look(podWith('c'))).toBe(`${told}request r: device class nope does not exist.`);
    await addClaim('part', { ...REQUEST, exactly: { ...REQUEST.exactly, capacity: { requests: { memory: '1Gi' } } } });
    expect(look(podWith('part'))).toContain("parts of a device's capacity cannot be allocated");
  });
});
