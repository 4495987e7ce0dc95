import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createKubelet } from '#agent/kubelet/kubelet.ts';
import { KUBELET_DEFAULTS } from '#agent/kubelet/kubelet-config.ts';
import { FakeProber, TEST_IMAGE } from '#agent/kubelet/testing/kubelet-rig.ts';
import { type ConfigMap, type Event, type Lease, type Node, type Pod, resources } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { createLogger } from '#base/logger.ts';
import {
  asCertificate,
  createSecuredServer,
  type SecuredServer,
} from '#controller/apiserver/testing/secured-server.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { FakeRuntime } from '#test/kit/fake-runtime.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const NODE_USER = 'system:node:node-1';
const TIMEOUT_MS = 10_000;

let server: SecuredServer;
let runtime: FakeRuntime;
let host: FakeHost;
let stop: AbortController;

const admin = () => server.clientAs(asCertificate('admin', 'system:masters'));
const pods = () => admin().resource<Pod>(resources.pods);

beforeEach(async () => {
  server = await createSecuredServer();
  await admin()
    .resource(resources.serviceAccounts)
    .create({ metadata: { name: 'default', namespace: 'default' } });
  await admin()
    .resource<ConfigMap>(resources.configMaps)
    .create({ metadata: { name: 'kube-root-ca.crt', namespace: 'default' }, data: { 'ca.crt': 'PEM' } });
  runtime = new FakeRuntime({ clock: systemClock, images: [TEST_IMAGE] });
  host = new FakeHost();
  stop = new AbortController();
  const kubelet = createKubelet({
    client: server.clientAs(asCertificate(NODE_USER, 'system:nodes')),
    runtime,
    host,
    prober: new FakeProber(),
    clock: systemClock,
    log: createLogger('kubelet', 'error'),
    random: Math.random,
    config: {
      ...KUBELET_DEFAULTS,
      nodeName: 'node-1',
      nodeIps: ['192.168.1.10'],
      ledgerDir: '/var/lib/coracle/agent/ledger',
      version: 'v1.36.0+test',
    },
  });
  await kubelet.start(stop.signal);
});

afterEach(() => {
  stop.abort();
  server.stop();
});

/** Requests of the node that the audit log shows as refused. */
function denials(): string[] {
  return server.auditLines
    .map(
      (line) =>
        JSON.parse(line) as {
          user?: { username?: string };
          responseStatus?: { code?: number };
          verb?: string;
          requestURI?: string;
        },
    )
    .filter(({ user, responseStatus }) => user?.username === NODE_USER && (responseStatus?.code ?? 0) >= 400)
    .filter(({ responseStatus }) => responseStatus?.code !== 404)
    .map(({ verb, requestURI, responseStatus }) => `${responseStatus?.code} ${verb} ${requestURI}`);
}

async function createPod(spec: Partial<NonNullable<Pod['spec']>> = {}): Promise<void> {
  await pods().create({
    metadata: { name: 'web', namespace: 'default' },
    spec: { nodeName: 'node-1', containers: [{ name: 'app', image: TEST_IMAGE }], ...spec },
  });
}

const isReady = (pod: Pod) => pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');

function webIs(what: string, condition: (pod: Pod) => boolean | undefined): Promise<Pod> {
  return waitUntil(`web is ${what}`, TIMEOUT_MS, async () => {
    const pod = await pods().fetch('web', 'default');
    return condition(pod) === true ? pod : undefined;
  });
}

describe('the kubelet on the real API server, as its node', () => {
  test('registers its Node and keeps its Lease', async () => {
    const node = await waitUntil('the Node is registered', TIMEOUT_MS, async () => {
      const found = await admin().resource<Node>(resources.nodes).fetch('node-1');
      return found.status?.conditions === undefined ? undefined : found;
    });
    expect(node.status?.nodeInfo?.kubeletVersion).toBe('v1.36.0+test');
    const lease = await waitUntil('the Lease is kept', TIMEOUT_MS, () =>
      admin().resource<Lease>(resources.leases).fetch('node-1', 'kube-node-lease'),
    );
    expect(lease.spec?.holderIdentity).toBe('node-1');
    expect(lease.metadata.ownerReferences?.[0]).toMatchObject({ kind: 'Node', name: 'node-1', uid: node.metadata.uid });
    expect(denials()).toEqual([]);
  });

  test('brings a pod up with its token, restarts it, and takes it down', async () => {
    await createPod({ terminationGracePeriodSeconds: 3 });
    const pod = await webIs('ready', isReady);
    expect(pod.status).toMatchObject({ phase: 'Running', podIP: '10.244.0.2', podIPs: [{ ip: '10.244.0.2' }] });
    const mount = runtime.findContainer('app')!.id;
    const { config } = runtime.containers.get(mount)!;
    const token = config.mounts.find(({ containerPath }) => containerPath.endsWith('/serviceaccount'))!;
    expect(await host.fs.readText(`${token.hostPath}/..data/token`)).toMatch(/^ey/);
    expect(await host.fs.readText(`${token.hostPath}/..data/ca.crt`)).toBe('PEM');
    expect(config.env.find(({ key }) => key === 'KUBERNETES_SERVICE_HOST')?.value).toBe('10.96.0.1');

    runtime.exitContainer(mount, 7);
    const restarted = await webIs('restarted', ({ status }) => status?.containerStatuses?.[0]?.restartCount === 1);
    expect(restarted.status?.containerStatuses?.[0]?.lastState?.terminated).toMatchObject({
      exitCode: 7,
      reason: 'Error',
    });

    runtime.exitContainer(runtime.findContainer('app')!.id, 7);
    await webIs(
      'waiting',
      ({ status }) => status?.containerStatuses?.[0]?.state?.waiting?.reason === 'CrashLoopBackOff',
    );
    await pods().delete({ name: 'web', namespace: 'default' });
    await waitUntil(
      'web is gone',
      TIMEOUT_MS,
      async () => (await pods().fetchList({ namespace: 'default' })).items.length === 0,
    );
    const events = await admin().resource<Event>(resources.events).fetchList({ namespace: 'default' });
    expect(events.items.map(({ reason }) => reason)).toEqual(
      expect.arrayContaining(['Pulled', 'Created', 'Started', 'BackOff']),
    );
    expect(denials()).toEqual([]);
  });

  test('says again what another has written over it', async () => {
    await createPod();
    const pod = await webIs('ready', isReady);
    const conditions = pod.status?.conditions?.map((condition) =>
      condition.type === 'Ready' ? { ...condition, status: 'False' as const } : condition,
    );
    await pods().update({ ...pod, status: { ...pod.status, conditions } } as Pod, 'status');
    await webIs('ready again', isReady);
  });

  test('shows a ConfigMap in a volume and follows its changes', async () => {
    const maps = admin().resource<ConfigMap>(resources.configMaps);
    const created = await maps.create({
      metadata: { name: 'settings', namespace: 'default' },
      data: { colour: 'red' },
    });
    await createPod({
      automountServiceAccountToken: false,
      volumes: [{ name: 'config', configMap: { name: 'settings' } }],
      containers: [{ name: 'app', image: TEST_IMAGE, volumeMounts: [{ name: 'config', mountPath: '/config' }] }],
    });
    await webIs('ready', isReady);
    const { mounts } = runtime.containers.get(runtime.findContainer('app')!.id)!.config;
    const folder = mounts.find(({ containerPath }) => containerPath === '/config')!.hostPath;
    const colour = () => host.fs.readText(`${folder}/..data/colour`);
    expect(await colour()).toBe('red');
    await maps.update({ ...created, data: { colour: 'blue' } });
    await waitUntil('the volume is blue', TIMEOUT_MS, async () => (await colour()) === 'blue');
    expect(denials()).toEqual([]);
  });
});
