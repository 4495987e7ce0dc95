import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KubeClient } from '#api/client/client.ts';
import { createEventRecorder } from '#api/client/event-recorder.ts';
import { createInformerFactory } from '#api/client/informer-factory.ts';
import type { Pod, ResourceClaim } from '#api/object/kinds.ts';
import { type DeviceClass, type ResourceSlice, resources } from '#api/object/kinds.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { MemoryCluster } from '#test/kit/memory-client.ts';
import { createPodInfo, type PodInfo } from '../cache/pod-info.ts';
import type { ClusterEvent } from '../framework/cluster-event.ts';
import { filterNodes } from '../framework/filter-nodes.ts';
import { renderUnschedulable } from '../framework/unschedulable-message.ts';
import { createNodeResourcesFit } from '../plugins/node-resources.ts';
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
let clock: FakeClock;
const stop = { controller: new AbortController() };
const { view } = makeCluster({ nodes: [{ name: 'a' }, { name: 'b' }] });

const claims = () => client.resource<ResourceClaim>(resources.resourceClaims);
const settle = async () => {
  for (let turn = 0; turn < 30; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
};

beforeEach(async () => {
  clock = new FakeClock();
  stop.controller = new AbortController();
  cluster = new MemoryCluster(clock);
  client = cluster.client();
  const factory = createInformerFactory({ client, clock, log: silentLogger, random: () => 0, freeze: true });
  cache = new DeviceCache(factory);
  events = [];
  cache.watch((event) => events.push(event));
  plugin = createDynamicResources({
    ...{ client, cache, clock, log: silentLogger, newUid: () => 'new-uid' },
    events: createEventRecorder({ client, component: 'test', clock, log: silentLogger }),
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

  it('is not bound where its claim was, when that has got other devices meanwhile', async () => {
    await addClaim('c');
    await place(podWith('c'))?.fulfil(signal);
    await settle();
    const reservation = place(podWith('c', 'second'));
    const claim = await claims().fetch('c', NAMESPACE);
    const results = [{ request: 'r', driver: 'd', pool: 'b', device: 'gpu-0' }];
    await claims().update({ ...claim, status: { allocation: { devices: { results } } } } as never, 'status');
    const words = 'running PreBind plugin "DynamicResources": claim default/c got allocated elsewhere in the meantime';
    await expect(reservation?.fulfil(signal)).rejects.toThrow(words);
    expect((await claims().fetch('c', NAMESPACE)).status?.reservedFor).toBeUndefined();
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
  });
});

it('a pod that took all its time looks again after a while, and nobody else does', async () => {
  await addClaim('c');
  let nowMs = 0;
  const slow = createDynamicResources({
    ...{ client, cache, log: silentLogger, newUid: () => 'new-uid' },
    clock: { now: () => clock.now(), after: (ms, fn) => clock.after(ms, fn), monotonic: () => (nowMs += 400) },
    events: createEventRecorder({ client, component: 'test', clock, log: silentLogger }),
    selectors: new DeviceSelectors(() => ({ ok: true, matches: () => true })),
  });
  const info = createPodInfo(podWith('c'));
  const { diagnosis } = filterNodes(info, view, [slow.filter]);
  expect(renderUnschedulable(diagnosis)).toContain('1 timed out trying to allocate devices');
  events.length = 0;
  await slow.filter.onUnschedulable?.(info);
  await clock.advance(5_000);
  const other = createPodInfo(podWith('c', 'other'));
  expect(events).toEqual([{ kind: 'deviceSearchDue', key: info.key }]);
  expect([info, other].map((one) => slow.filter.isHelpedBy(events[0]!, one, view))).toEqual([true, false]);
});

async function setDevices(...devices: readonly object[]): Promise<void> {
  const slices = client.resource<ResourceSlice>(resources.resourceSlices);
  const slice = await slices.fetch('s');
  await slices.update({ ...slice, spec: { ...slice.spec, devices } } as never);
  await settle();
}

it('a part of a device that was promised a moment ago is taken until its claim has it', async () => {
  await setDevices({ name: 'card', allowMultipleAllocations: true, capacity: { memory: { value: '10Gi' } } });
  const request = { ...REQUEST, exactly: { ...REQUEST.exactly, capacity: { requests: { memory: '6Gi' } } } };
  for (const name of ['c', 'd']) await addClaim(name, request);
  const reservation = place(podWith('c'));
  const second = podWith('d', 'second');
  expect(look(second)).toContain('cannot allocate all claims');
  await reservation?.fulfil(signal);
  await settle();
  const { status } = await claims().fetch('c', NAMESPACE);
  expect(status?.allocation?.devices?.results).toMatchObject([
    { device: 'card', shareID: 'new-uid', consumedCapacity: { memory: '6Gi' } },
  ]);
  expect(look(second)).toContain('cannot allocate all claims');
  await setDevices({ name: 'card', allowMultipleAllocations: true, capacity: { memory: { value: '12Gi' } } });
  expect(look(second)).toEqual(['a']);
});

it('nodes that give what is preferred score higher', async () => {
  const firstAvailable = ['x', 'y'].map((name) => ({
    ...{ name, deviceClassName: 'gpu', allocationMode: 'ExactCount', count: name === 'x' ? 2 : 1 },
  }));
  await client.resource<ResourceSlice>(resources.resourceSlices).create({
    metadata: { name: 't' },
    spec: {
      ...{ driver: 'd', nodeName: 'b', devices: [{ name: 'gpu-0' }, { name: 'gpu-1' }] },
      pool: { name: 'b', generation: 1, resourceSliceCount: 1 },
    },
  });
  await addClaim('c', { name: 'r', firstAvailable });
  const pod = podWith('c');
  expect(look(pod)).toEqual(['a', 'b']);
  const info = createPodInfo(pod);
  filterNodes(info, view, [plugin.filter]);
  const scores = view.nodes.map((node) => plugin.score.prepare(info, view, view.nodes)?.score(node) ?? 0);
  expect(scores).toEqual([7, 8]);
});

describe('devices that are to be made ready', () => {
  const SLOW = { name: 'slow', bindingConditions: ['Attached'], bindingFailureConditions: ['Broken'] };
  const tell = async (type: string, message = '') => {
    const claim = await claims().fetch('c', NAMESPACE);
    const condition = { type, status: 'True', reason: 'Told', message, lastTransitionTime: null };
    const devices = [{ driver: 'd', pool: 'a', device: 'slow', conditions: [condition] }];
    await claims().update({ ...claim, status: { ...claim.status, devices } } as never, 'status');
    await settle();
  };
  /** What became of the pod: it may be bound, or why not. */
  async function begin(): Promise<{ readonly pod: Pod; outcome: () => string }> {
    await setDevices(SLOW);
    await addClaim('c');
    const pod = podWith('c');
    let outcome = 'waits';
    place(pod)
      ?.fulfil(signal)
      .then(
        () => (outcome = 'ready'),
        (err: Error) => (outcome = err.message),
      );
    await settle();
    return { pod, outcome: () => outcome };
  }
  const refused = 'running PreBind plugin "DynamicResources": ';

  it('keep the pod from being bound until their driver says that they are', async () => {
    const { outcome } = await begin();
    expect(outcome()).toBe('waits');
    await tell('Other');
    expect(outcome()).toBe('waits');
    await tell('Attached');
    expect(outcome()).toBe('ready');
    const told = [...cluster.objectsOf(resources.events).values()].map((event) => event.message);
    expect(told).toEqual(['waiting for binding conditions for device on node a']);
  });

  it('are not waited for once the pod has gone, however early that was', async () => {
    await setDevices(SLOW);
    await addClaim('c');
    const gone = AbortSignal.abort(new Error('pod does not exist any more'));
    await expect(place(podWith('c'))?.fulfil(gone)).rejects.toThrow(`${refused}pod does not exist any more`);
  });

  it('are given back when their driver says that they never will be', async () => {
    const { pod, outcome } = await begin();
    await tell('Broken', 'no power');
    expect(outcome()).toBe(`${refused}claim c binding failed: reason=Told, message="no power"`);
    const info = createPodInfo(pod);
    const { diagnosis } = filterNodes(info, view, [plugin.filter]);
    expect(renderUnschedulable(diagnosis)).toContain('resourceclaim not available on the node');
    await plugin.filter.onUnschedulable?.(info);
    expect((await claims().fetch('c', NAMESPACE)).status).toEqual({});
  });

  it('are given back when nobody says anything for ten minutes, and a pod that begins to wait in between waits for the rest', async () => {
    const { pod, outcome } = await begin();
    await clock.advance(599_000);
    await settle();
    expect(outcome()).toBe('waits');
    expect(look(pod)).toEqual(['a']);
    await clock.advance(2_000);
    await settle();
    expect(outcome()).toBe(`${refused}claim c binding timeout`);
    expect(look(pod)).toContain('resourceclaim not available on the node');
  });
});

describe('extended resources that a class stands for', () => {
  const RESOURCE = 'example.com/gpu';
  const asking = async (resource = RESOURCE, count = '1') => {
    const wanted = { requests: { cpu: '1m', [resource]: count }, limits: { [resource]: count } };
    const containers = [{ name: 'side' }, { name: 'app', resources: wanted }];
    const pods = client.resource<Pod>(resources.pods);
    return pods.create({ ...makePod({ name: 'web', spec: { containers } as never }) } as never);
  };
  const filters = () => [createNodeResourcesFit((name) => cache.classForResource(name) !== undefined), plugin.filter];
  const seek = (info: PodInfo, among = view) => {
    const { feasible, diagnosis } = filterNodes(info, among, filters());
    return feasible.length > 0 ? feasible.map(({ name }) => name) : renderUnschedulable(diagnosis);
  };
  const setClass = async (spec: object) => {
    const classes = client.resource<DeviceClass>(resources.deviceClasses);
    await classes.update({ ...(await classes.fetch('gpu')), spec } as never);
    await settle();
  };
  const listClaims = async () => (await claims().fetchList()).items;

  it('are devices of it: a claim is made for the pod, which is told', async () => {
    const info = createPodInfo(await asking());
    expect(seek(info)).toBe('0/2 nodes are available: 2 Insufficient example.com/gpu.');
    await setClass({ extendedResourceName: RESOURCE });
    expect(seek(info)).toEqual(['a']);
    await plugin.reserve.reserve(info, view.node('a')!, view)?.fulfil(signal);
    const [claim] = await listClaims();
    const { pod } = info;
    expect(claim).toMatchObject({
      metadata: {
        name: expect.stringMatching(/^web-extended-resources-/),
        ownerReferences: [{ kind: 'Pod', uid: pod.metadata.uid, controller: true }],
      },
      spec: {
        devices: { requests: [{ name: 'container-1-request-1', exactly: { deviceClassName: 'gpu', count: 1 } }] },
      },
      status: { allocation: { devices: { results: [{ device: 'gpu-0' }] } }, reservedFor: [{ name: 'web' }] },
    });
    const told = await client.resource<Pod>(resources.pods).fetch('web', NAMESPACE);
    expect(told.status?.extendedResourceClaimStatus).toEqual({
      resourceClaimName: claim?.metadata.name,
      requestMappings: [{ containerName: 'app', resourceName: RESOURCE, requestName: 'container-1-request-1' }],
    });
  });

  it('go under the name of the class, too; what an attempt before has left goes first', async () => {
    const info = createPodInfo(await asking('deviceclass.resource.kubernetes.io/gpu'));
    expect(seek(info)).toEqual(['a']);
    await plugin.reserve.reserve(info, view.node('a')!, view)?.fulfil(signal);
    await settle();
    expect(seek(info)).toBe('0/2 nodes are available: cannot schedule extended resource claim.');
    await plugin.filter.onUnschedulable?.(info);
    await settle();
    expect(await listClaims()).toEqual([]);
    expect(seek(info)).toEqual(['a']);
  });

  it('are looked for again once a claim that never got devices has gone', async () => {
    const pod = await asking('deviceclass.resource.kubernetes.io/gpu');
    const owner = { apiVersion: 'v1', kind: 'Pod', name: 'web', uid: pod.metadata.uid, controller: true };
    const annotations = { 'resource.kubernetes.io/extended-resource-claim': 'true' };
    await claims().create({
      metadata: { name: 'left', namespace: NAMESPACE, annotations, ownerReferences: [owner] },
      spec: { devices: {} },
    } as never);
    await settle();
    const info = createPodInfo(pod);
    expect(seek(info)).toBe('0/2 nodes are available: cannot schedule extended resource claim.');
    events.length = 0;
    await plugin.filter.onUnschedulable?.(info);
    await settle();
    expect(events.some((event) => plugin.filter.isHelpedBy(event, info, view))).toBe(true);
    expect(seek(info)).toEqual(['a']);
  });

  it('come from a plug-in where there is one; a pod that wants more than there is waits', async () => {
    await setClass({ extendedResourceName: RESOURCE });
    const plugged = makeCluster({ nodes: [{ name: 'a', allocatable: { cpu: '1', pods: '9', [RESOURCE]: '1' } }] }).view;
    const info = createPodInfo(await asking());
    expect(seek(info, plugged)).toEqual(['a']);
    expect(plugin.reserve.reserve(info, plugged.node('a')!, plugged)?.fulfil(signal)).toBeDefined();
    await settle();
    expect(await listClaims()).toEqual([]);
    const greedy = createPodInfo(
      makePod({ spec: { containers: [{ name: 'c', resources: { requests: { [RESOURCE]: '2' } } }] } as never }),
    );
    expect(seek(greedy)).toBe('0/2 nodes are available: 2 cannot allocate all claims.');
    expect(seek(greedy, plugged)).toBe('0/1 nodes are available: 1 Insufficient example.com/gpu.');
  });
});
