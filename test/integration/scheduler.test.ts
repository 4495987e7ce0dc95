import { afterEach, describe, expect, it } from 'vitest';
import { createEventRecorder } from '#api/client/event-recorder.ts';
import { createInformerFactory } from '#api/client/informer-factory.ts';
import {
  type DeviceClass,
  type Event,
  type Namespace,
  type Node,
  type Pod,
  type ResourceClaim,
  type ResourceSlice,
  resources,
} from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { compileDeviceSelector } from '#controller/apiserver/cel/device-selector.ts';
import { asCertificate, asComponent, createSecuredServer } from '#controller/apiserver/testing/secured-server.ts';
import { startScheduler } from '#controller/scheduler/start-scheduler.ts';

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** The scheduler on the real API server, as itself, with the role that Kubernetes gives it. */
async function setUp() {
  const server = await createSecuredServer();
  const admin = server.clientAs(asCertificate('admin', 'system:masters'));
  const client = server.clientAs(asComponent('system:kube-scheduler'));
  const abort = new AbortController();
  const shared = { client, clock: systemClock, log: silentLogger };
  const events = createEventRecorder({ ...shared, component: 'default-scheduler' });
  const running = startScheduler(
    { ...shared, compileDeviceSelector, events, informers: createInformerFactory(shared), random: Math.random },
    abort.signal,
  );
  cleanups.push(
    () => server.stop(),
    () => running,
    () => abort.abort(),
  );
  const of = {
    namespaces: admin.resource<Namespace>(resources.namespaces),
    nodes: admin.resource<Node>(resources.nodes),
    pods: admin.resource<Pod>(resources.pods),
    events: admin.resource<Event>(resources.events),
    classes: admin.resource<DeviceClass>(resources.deviceClasses),
    slices: admin.resource<ResourceSlice>(resources.resourceSlices),
    claims: admin.resource<ResourceClaim>(resources.resourceClaims),
  };
  const account = admin.resource(resources.serviceAccounts);
  await account.create({ metadata: { name: 'default', namespace: 'default' } });
  /** Requests of the scheduler that the audit log shows as refused. */
  const denials = () =>
    server.auditLines
      .map((line) => JSON.parse(line) as { user?: { username?: string }; responseStatus?: { code?: number } })
      .filter(({ user, responseStatus }) => user?.username === 'system:kube-scheduler' && responseStatus?.code === 403);
  return { of, denials };
}

type Clients = Awaited<ReturnType<typeof setUp>>['of'];

async function addNode({ nodes }: Clients, name: string, taints: object[] = []) {
  const metadata = { name, labels: { 'kubernetes.io/hostname': name } };
  const created = await nodes.create({ metadata });
  // Takes the place of the not-ready taint that admission gives to new nodes.
  const node = await nodes.update({ ...created, spec: { taints } } as Node);
  const allocatable = { cpu: '2', memory: '4Gi', pods: '110' };
  await nodes.update({ ...node, status: { capacity: allocatable, allocatable } }, 'status');
}

function addPod({ pods }: Clients, name: string, cpu: string) {
  return pods.create({
    metadata: { name, namespace: 'default', labels: { app: 'web' } },
    spec: { containers: [{ name: 'c', image: 'app:v1', resources: { requests: { cpu } } }] },
  });
}

const soon = { timeout: 60_000, interval: 20 };

describe('scheduler on the real API server', () => {
  it('binds pods, spreads them, and says what it did', async () => {
    const { of, denials } = await setUp();
    for (const name of ['a', 'b']) await addNode(of, name);
    for (let i = 0; i < 4; i++) await addPod(of, `p${i}`, '100m');
    const nodesOf = async () => (await of.pods.fetchList()).items.map(({ spec }) => spec?.nodeName).sort();
    await expect.poll(nodesOf, soon).toEqual(['a', 'a', 'b', 'b']);
    const pod = await of.pods.fetch('p0', 'default');
    expect(pod.status?.conditions?.find(({ type }) => type === 'PodScheduled')?.status).toBe('True');
    const messages = async () =>
      (await of.events.fetchList({ namespace: 'default' })).items.map(({ message }) => message);
    await expect.poll(messages, soon).toContain(`Successfully assigned default/p0 to ${pod.spec?.nodeName}`);
    expect(denials()).toEqual([]);
  });

  it('reports a pod that fits nowhere and places it when room is made', async () => {
    const { of, denials } = await setUp();
    await addNode(of, 'a', [{ key: 'dedicated', value: 'db', effect: 'NoSchedule' }]);
    await addNode(of, 'b');
    await addPod(of, 'first', '1500m');
    await expect.poll(async () => (await of.pods.fetch('first', 'default')).spec?.nodeName, soon).toBe('b');
    await addPod(of, 'second', '1500m');
    const conditionOf = async () => {
      const { status } = await of.pods.fetch('second', 'default');
      const condition = status?.conditions?.find(({ type }) => type === 'PodScheduled');
      return [condition?.status, condition?.reason, condition?.message];
    };
    const message = '0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s).';
    await expect.poll(conditionOf, soon).toEqual(['False', 'Unschedulable', message]);
    await of.pods.delete({ name: 'first', namespace: 'default', gracePeriodSeconds: 0 });
    await expect.poll(async () => (await of.pods.fetch('second', 'default')).spec?.nodeName, soon).toBe('b');
    await expect.poll(conditionOf, soon).toEqual(['True', undefined, undefined]);
    expect(denials()).toEqual([]);
  });

  it('gives a claim its device and places its pod there, and the next one when it is free again', async () => {
    const { of, denials } = await setUp();
    for (const name of ['a', 'b']) await addNode(of, name);
    const pool = { name: 'b', generation: 1, resourceSliceCount: 1 };
    const device = { name: 'x', attributes: { model: { string: 'fast' } } };
    await of.slices.create({
      metadata: { name: 's' },
      spec: { driver: 'd.test', nodeName: 'b', pool, devices: [device] },
    });
    const expression = 'device.attributes["d.test"].model == "fast"';
    await of.classes.create({ metadata: { name: 'fast' }, spec: { selectors: [{ cel: { expression } }] } });
    const devices = { requests: [{ name: 'r', exactly: { deviceClassName: 'fast' } }] };
    const add = async (name: string) => {
      await of.claims.create({ metadata: { name, namespace: 'default' }, spec: { devices } });
      const resourceClaims = [{ name: 'card', resourceClaimName: name }];
      const spec = { resourceClaims, containers: [{ name: 'c', image: 'app:v1' }] };
      return of.pods.create({ metadata: { name, namespace: 'default' }, spec });
    };
    const nodeOf = async (name: string) => (await of.pods.fetch(name, 'default')).spec?.nodeName;
    const first = await add('first');
    await expect.poll(() => nodeOf('first'), soon).toBe('b');
    const given = await of.claims.fetch('first', 'default');
    expect(given.status?.reservedFor).toEqual([{ resource: 'pods', name: 'first', uid: first.metadata.uid }]);
    await add('second');
    const message = async () => (await of.pods.fetch('second', 'default')).status?.conditions?.[0]?.message;
    await expect.poll(message, soon).toBe('0/2 nodes are available: 2 cannot allocate all claims.');
    await of.claims.update({ ...given, status: {} }, 'status');
    await expect.poll(() => nodeOf('second'), soon).toBe('b');
    expect(denials()).toEqual([]);
  });
});
