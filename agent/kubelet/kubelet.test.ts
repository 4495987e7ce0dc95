import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ConfigMap, type Node, type Pod, resources, type Secret } from '#api/object/kinds.ts';
import { objectKey } from '#api/object/kube-object.ts';
import { CriError } from '../cri/runtime.ts';
import { KubeletRig, TEST_IMAGE } from './testing/kubelet-rig.ts';

let rig: KubeletRig;
beforeEach(async () => {
  rig = new KubeletRig();
  await rig.start();
});
afterEach(() => rig.stop());

const pods = () => rig.client.resource<Pod>(resources.pods);
const deletePod = async (name = 'web', gracePeriodSeconds?: number) => {
  await pods().delete({
    name,
    namespace: 'default',
    ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
  });
  await rig.settle();
};

describe('a pod', () => {
  test('comes up and is reported running and ready', async () => {
    await rig.createPod();
    const { status } = rig.pod()!;
    expect(status).toMatchObject({
      phase: 'Running',
      podIP: '10.244.0.2',
      hostIP: '192.168.1.10',
      qosClass: 'BestEffort',
    });
    expect(rig.condition('Ready')?.status).toBe('True');
    expect(rig.containerStatus()).toMatchObject({ ready: true, started: true, restartCount: 0 });
    expect(rig.containerStatus()?.containerID).toMatch(/^containerd:\/\/container-/);
    expect(await rig.eventTextsInTheEnd()).toEqual(
      expect.arrayContaining(['Created: Container created', 'Started: Container started']),
    );
  });

  test('costs one fsync and no needless call of the runtime', async () => {
    const before = rig.runtime.calls.length;
    await rig.createPod();
    const methods = rig.runtime.calls.slice(before).map((call) => call.method);
    expect(methods).toEqual([
      'imageStatus',
      'runSandbox',
      'sandboxStatus',
      'createContainer',
      'startContainer',
      'containerStatus',
    ]);
    expect(rig.host.fs.durableWrites.filter((path) => path.includes('/ledger/'))).toHaveLength(1);
    const patches = rig.cluster.actions.filter(({ verb, resource }) => verb === 'patch' && resource === 'pods');
    expect(patches).toHaveLength(1);
  });

  test.each(['Never', 'Always'] as const)(
    'whose container the runtime refuses to make (%s) waits, and has been restarted no time',
    async (restartPolicy) => {
      let isRefusing = true;
      rig.onCall = async (method, proceed) => {
        if (method === 'createContainer' && isRefusing) throw new CriError(2, 'cannot load seccomp profile');
        return proceed();
      };
      await rig.createPod({ restartPolicy });
      await rig.advance(60_000);
      expect(rig.pod()?.status?.phase).toBe('Pending');
      const waiting = { reason: 'CreateContainerError', message: 'cannot load seccomp profile' };
      expect(rig.containerStatus()).toMatchObject({ restartCount: 0, state: { waiting } });
      isRefusing = false;
      await rig.advance(60_000);
      expect(rig.containerStatus()).toMatchObject({ restartCount: 0, state: { running: {} } });
    },
  );

  test('that reaches its deadline is told of, and ends', async () => {
    await rig.createPod({ activeDeadlineSeconds: 30 });
    await rig.advance(31_000);
    const message = 'Pod was active on the node longer than the specified deadline';
    expect(await rig.eventTextsInTheEnd()).toContain(`DeadlineExceeded: ${message}`);
    expect(rig.pod()?.status).toMatchObject({ phase: 'Failed', reason: 'DeadlineExceeded', message });
  });

  test('is shown creating while its sandbox is made', async () => {
    const release = rig.runtime.hold('runSandbox');
    await rig.createPod();
    await rig.advance(4_999);
    expect(rig.pod()?.status?.startTime).toBeUndefined();
    await rig.advance(1);
    expect(rig.pod()?.status?.phase).toBe('Pending');
    expect(rig.containerStatus()?.state?.waiting?.reason).toBe('ContainerCreating');
    release();
    await rig.settle();
    expect(rig.pod()?.status?.phase).toBe('Running');
  });

  test('has its Events told once nothing has just been started, or after five seconds', async () => {
    const release = rig.runtime.hold('startContainer');
    await rig.createPod();
    const told = () => rig.eventTexts().filter((text) => /^(Created|Started):/.test(text));
    expect(told()).toEqual([]);
    await rig.advance(5_000);
    expect(told()).toEqual(['Created: Container created']);
    release();
    await rig.settle();
    expect(told()).toEqual(['Created: Container created']);
    await rig.advance(100);
    expect(told()).toEqual(['Created: Container created', 'Started: Container started']);
  });

  test('is taken down and its object removed when deleted', async () => {
    await rig.createPod({ terminationGracePeriodSeconds: 5 });
    await deletePod('web', 5);
    expect(rig.runtime.callsOf('stopContainer').at(-1)?.args[1]).toBe(5);
    expect(rig.pod()).toBeUndefined();
    expect(rig.runtime.containers.size + rig.runtime.sandboxes.size).toBe(0);
    expect(await rig.host.fs.list('/var/lib/coracle/agent/ledger')).toEqual([]);
    expect(await rig.host.fs.list('/var/log/pods')).toEqual([]);
  });

  test('restarts its container at once, then with growing pauses', async () => {
    await rig.createPod();
    rig.runtime.exitContainer(rig.runtime.findContainer('app')!.id, 1);
    await rig.settle();
    expect(rig.containerStatus()).toMatchObject({
      restartCount: 1,
      state: { running: {} },
      lastState: { terminated: { exitCode: 1 } },
    });
    rig.runtime.exitContainer(rig.runtime.findContainer('app')!.id, 1);
    await rig.settle();
    expect(rig.containerStatus()?.state?.waiting).toMatchObject({ reason: 'CrashLoopBackOff' });
    expect(rig.containerStatus()?.state?.waiting?.message).toMatch(
      /^back-off 10s restarting failed container=app pod=web_default\(/,
    );
    expect(rig.pod()?.status?.phase).toBe('Running');
    await rig.advance(10_000);
    expect(rig.containerStatus()).toMatchObject({ restartCount: 2, state: { running: {} } });
  });

  test('lives by relisting alone when every event is lost', async () => {
    rig.runtime.dropEvents = true;
    await rig.createPod();
    rig.runtime.exitContainer(rig.runtime.findContainer('app')!.id, 1);
    await rig.advance(10_000);
    expect(rig.containerStatus()).toMatchObject({ restartCount: 1, state: { running: {} } });
  });

  test('with restartPolicy Never ends Succeeded and gives its sandbox back', async () => {
    await rig.createPod({ restartPolicy: 'Never' });
    rig.runtime.exitContainer(rig.runtime.findContainer('app')!.id, 0);
    await rig.settle();
    expect(rig.pod()?.status?.phase).toBe('Succeeded');
    expect(rig.containerStatus()?.state?.terminated).toMatchObject({ exitCode: 0, reason: 'Completed' });
    expect(rig.condition('Ready')).toMatchObject({ status: 'False', reason: 'PodCompleted' });
    expect([...rig.runtime.sandboxes.values()].map((sandbox) => sandbox.ready)).toEqual([false]);
    await deletePod();
    expect(rig.pod()).toBeUndefined();
    expect(rig.runtime.containers.size).toBe(0);
  });

  test('runs its init containers in order before the others', async () => {
    await rig.createPod({
      initContainers: [
        { name: 'first', image: TEST_IMAGE },
        { name: 'side', image: TEST_IMAGE, restartPolicy: 'Always' },
      ],
    });
    expect(rig.runtime.findContainer('app')).toBeUndefined();
    expect(rig.containerStatus()?.state?.waiting?.reason).toBe('PodInitializing');
    rig.runtime.exitContainer(rig.runtime.findContainer('first')!.id, 0);
    await rig.settle();
    expect(rig.runtime.findContainer('side')?.state).toBe('RUNNING');
    expect(rig.pod()?.status?.phase).toBe('Running');
    expect(rig.condition('Initialized')?.status).toBe('True');
  });

  test('gets a new sandbox and new containers when its sandbox dies', async () => {
    await rig.createPod();
    rig.runtime.killSandbox([...rig.runtime.sandboxes.keys()][0]!);
    await rig.advance(10_000);
    expect(rig.containerStatus()).toMatchObject({ restartCount: 1, state: { running: {} } });
    expect(rig.pod()?.status?.podIP).toBe([...rig.runtime.sandboxes.values()].at(-1)?.ips[0]);
    expect(rig.eventTexts()).toContain('SandboxChanged: Pod sandbox changed, it will be killed and re-created.');
  });

  test('says why an image cannot be had', async () => {
    await rig.createPod({ containers: [{ name: 'app', image: 'nowhere/none:1' }] });
    expect(rig.containerStatus()?.state?.waiting?.reason).toBe('ErrImagePull');
    await rig.advance(5_000);
    expect(rig.containerStatus()?.state?.waiting?.reason).toBe('ImagePullBackOff');
    rig.runtime.registry.add('docker.io/nowhere/none:1');
    await rig.advance(10_000);
    expect(rig.pod()?.status?.phase).toBe('Running');
  });

  test('says which ConfigMap its environment lacks, and starts once it exists', async () => {
    const env = [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'settings', key: 'a' } } }];
    await rig.createPod({ containers: [{ name: 'app', image: TEST_IMAGE, env }] });
    expect(rig.containerStatus()?.state?.waiting).toEqual({
      reason: 'CreateContainerConfigError',
      message: 'configmap "settings" not found',
    });
    await rig.client
      .resource(resources.configMaps)
      .create({ metadata: { name: 'settings', namespace: 'default' }, data: { a: '1' } } as never);
    await rig.advance(10_000);
    expect(rig.pod()?.status?.phase).toBe('Running');
  });
});

describe('a pod that changes while it runs', () => {
  const update = async (change: (pod: Pod) => Pod) => {
    await pods().update(change(structuredClone(rig.pod()!)));
    await rig.settle();
  };
  const sizedPod = (cpu: string, memory: string) => ({
    containers: [{ name: 'app', image: TEST_IMAGE, resources: { requests: { cpu, memory }, limits: { cpu, memory } } }],
  });
  const resize = (cpu: string, memory: string) =>
    update((pod) => ({ ...pod, spec: { ...pod.spec!, ...sizedPod(cpu, memory) } }));

  test('runs a container for debugging once, with the processes of its target', async () => {
    await rig.createPod();
    await update((pod) => ({
      ...pod,
      spec: { ...pod.spec!, ephemeralContainers: [{ name: 'tools', image: TEST_IMAGE, targetContainerName: 'app' }] },
    }));
    const target = rig.runtime.findContainer('app')!.id;
    const tools = rig.runtime.findContainer('tools')!.id;
    expect(rig.runtime.containers.get(tools)?.config.namespaces).toMatchObject({ pid: 'TARGET', targetId: target });
    const statuses = () => rig.pod()?.status?.ephemeralContainerStatuses;
    expect(statuses()).toMatchObject([{ name: 'tools', state: { running: {} }, ready: false, restartCount: 0 }]);
    rig.runtime.exitContainer(tools, 3);
    await rig.advance(60_000);
    expect(statuses()).toMatchObject([{ state: { terminated: { exitCode: 3 } }, restartCount: 0 }]);
    expect(rig.pod()?.status?.phase).toBe('Running');
    expect(rig.condition('Ready')?.status).toBe('True');
  });

  test('says that the target of a container for debugging is not there', async () => {
    await rig.createPod();
    await update((pod) => ({
      ...pod,
      spec: { ...pod.spec!, ephemeralContainers: [{ name: 'tools', image: TEST_IMAGE, targetContainerName: 'none' }] },
    }));
    expect(rig.pod()?.status?.ephemeralContainerStatuses?.[0]?.state?.waiting).toEqual({
      reason: 'CreateContainerConfigError',
      message: 'unable to find target container none',
    });
  });

  test('is resized without a restart, and the agent remembers it', async () => {
    await rig.createPod(sizedPod('100m', '64Mi'));
    await resize('200m', '128Mi');
    expect(rig.runtime.callsOf('updateResources')[0]?.args[1]).toMatchObject({
      cpuQuota: 20_000,
      memoryLimitBytes: 128 * 2 ** 20,
    });
    expect(rig.containerStatus()).toMatchObject({
      restartCount: 0,
      allocatedResources: { cpu: '200m', memory: '128Mi' },
      resources: { limits: { cpu: '200m', memory: '128Mi' } },
    });
    expect(rig.condition('PodResizeInProgress')).toBeUndefined();
    const size = '{"cpu":"200m","memory":"128Mi"}';
    const told = `{"containers":[{"name":"app","resources":{"limits":${size},"requests":${size}}}],"generation":2}`;
    const isOfResize = (event: string) => event.startsWith('Resize');
    await rig.advance(5000);
    expect(rig.eventTexts().filter(isOfResize)).toEqual([
      `ResizeStarted: Pod resize started: ${told}`,
      `ResizeCompleted: Pod resize completed: ${told}`,
    ]);
    await rig.restart();
    expect(rig.runtime.callsOf('updateResources')).toHaveLength(1);
    await rig.advance(5000);
    expect(rig.eventTexts().filter(isOfResize)).toHaveLength(2);
  });

  test('that was resized before its container was made is not resized again by the next agent', async () => {
    await rig.createPod({ ...sizedPod('100m', '64Mi'), volumes: [{ name: 'conf', secret: { secretName: 'late' } }] });
    await resize('200m', '128Mi');
    const late = { metadata: { name: 'late', namespace: 'default' } };
    await rig.client.resource<Secret>(resources.secrets).create(late);
    for (let second = 0; second < 120 && rig.runtime.callsOf('startContainer').length === 0; second++)
      await rig.advance(1_000);
    expect(rig.runtime.containers.get(rig.runtime.findContainer('app')!.id)?.config.resources).toMatchObject({
      memoryLimitBytes: 128 * 2 ** 20,
    });
    await rig.restart();
    await rig.advance(5_000);
    expect(rig.runtime.callsOf('updateResources')).toEqual([]);
  });

  test('is resized as a whole, with those of its containers that have no limit of their own', async () => {
    const limited = (memory: string) => ({
      resources: { requests: { cpu: '100m', memory }, limits: { cpu: '200m', memory } },
      containers: [
        { name: 'app', image: TEST_IMAGE },
        { name: 'own', image: TEST_IMAGE, resources: { limits: { cpu: '100m', memory: '16Mi' } } },
      ],
    });
    const { metadata } = await rig.createPod(limited('64Mi'));
    // Without it the API server takes no resize.
    expect(rig.containerStatus()?.resources).toEqual({});
    const file = `/sys/fs/cgroup/kubepods/burstable/pod${metadata.uid}/memory.max`;
    rig.host.fs.seed(file, String(64 * 2 ** 20));
    await update((pod) => ({ ...pod, spec: { ...pod.spec!, ...limited('128Mi') } }));
    expect(await rig.host.fs.readText(file)).toBe(String(128 * 2 ** 20));
    const updates = rig.runtime.callsOf('updateResources').map(({ args }) => args);
    expect(updates).toMatchObject([[rig.runtime.findContainer('app')!.id, { memoryLimitBytes: 128 * 2 ** 20 }]]);
    expect(rig.pod()?.status).toMatchObject({
      resources: { limits: { cpu: '200m', memory: '128Mi' } },
      allocatedResources: { cpu: '100m', memory: '128Mi' },
    });
  });

  test('has the room for what it was granted before a container starts again with it', async () => {
    const growing = (memory: string) => {
      const [app] = sizedPod('100m', memory).containers;
      const resizePolicy = [{ resourceName: 'memory', restartPolicy: 'RestartContainer' }];
      return { containers: [{ ...app!, resizePolicy }] };
    };
    const { metadata } = await rig.createPod(growing('64Mi'));
    const file = `/sys/fs/cgroup/kubepods/pod${metadata.uid}/memory.max`;
    rig.host.fs.seed(file, String(64 * 2 ** 20));
    const seen: string[] = [];
    rig.onCall = async (method, proceed) => {
      if (method === 'startContainer') seen.push(await rig.host.fs.readText(file));
      return proceed();
    };
    await update((pod) => ({ ...pod, spec: { ...pod.spec!, ...growing('128Mi') } }));
    expect(seen).toEqual([String(128 * 2 ** 20)]);
    expect(rig.containerStatus()).toMatchObject({ restartCount: 1, state: { running: {} } });
  });

  test('waits for room with a resize that does not fit, until another pod has gone', async () => {
    await rig.createPod(sizedPod('3', '64Mi'), 'big');
    await rig.createPod(sizedPod('100m', '64Mi'));
    await resize('2', '64Mi');
    const pending = rig.condition('PodResizePending');
    expect(pending).toMatchObject({ status: 'True', reason: 'Deferred' });
    await rig.advance(5000);
    const [told = ''] = rig.eventTexts().filter((event) => event.startsWith('ResizeDeferred: Pod resize Deferred: '));
    expect(JSON.parse(told.slice(told.indexOf('{')))).toMatchObject({ generation: 2, error: pending?.message });
    expect(rig.containerStatus()?.allocatedResources).toMatchObject({ cpu: '100m' });
    await deletePod('big', 0);
    expect(rig.containerStatus()?.allocatedResources).toMatchObject({ cpu: '2' });
    expect(rig.condition('PodResizePending')).toBeUndefined();
  });

  test('says why a resize could not be carried out', async () => {
    await rig.createPod(sizedPod('100m', '64Mi'));
    rig.runtime.usage.set(rig.runtime.findContainer('app')!.id, { memoryUsageBytes: 48 * 2 ** 20 });
    await resize('100m', '32Mi');
    expect(rig.condition('PodResizeInProgress')).toMatchObject({
      reason: 'Error',
      message: 'attempting to set memory limit (33554432) below current usage (50331648)',
    });
  });
});

describe('a restart of the agent', () => {
  test('leaves running containers alone', async () => {
    await rig.createPod();
    const before = rig.runtime.findContainer('app')!.id;
    const calls = rig.runtime.calls.length;
    await rig.restart();
    await rig.advance(20_000);
    const changing = rig.runtime.calls
      .slice(calls)
      .filter(({ method }) => /^(run|create|start|stop|remove)/.test(method));
    expect(changing).toEqual([]);
    expect(rig.containerStatus()).toMatchObject({ restartCount: 0, ready: true });
    expect(rig.runtime.findContainer('app')!.id).toBe(before);
  });

  test('goes on keeping the volumes of running containers up to date', async () => {
    const settings = rig.client.resource<ConfigMap>(resources.configMaps);
    const name = { name: 'settings', namespace: 'default' };
    await settings.create({ metadata: name, data: { greeting: 'hello' } });
    const pod = await rig.createPod({ volumes: [{ name: 'v', configMap: { name: 'settings' } }] });
    const file = `/var/lib/kubelet/pods/${pod.metadata.uid}/volumes/kubernetes.io~configmap/v/greeting`;
    expect(await rig.host.fs.readText(file)).toBe('hello');
    await rig.restart();
    await settings.patch({ ...name, type: 'merge', patch: { data: { greeting: 'good night' } } });
    await rig.advance(1000);
    expect(await rig.host.fs.readText(file)).toBe('good night');
    expect(rig.containerStatus()).toMatchObject({ restartCount: 0, ready: true });
  });

  test('keeps the restart count without a ledger too', async () => {
    await rig.createPod();
    rig.runtime.exitContainer(rig.runtime.findContainer('app')!.id, 1);
    await rig.settle();
    await rig.restart(() => rig.host.fs.remove('/var/lib/coracle/agent/ledger'));
    expect(rig.containerStatus()).toMatchObject({ restartCount: 1, state: { running: {} } });
  });

  test('goes on with a termination that had begun, with the grace that is left', async () => {
    await rig.createPod({ terminationGracePeriodSeconds: 30 });
    rig.runtime.hold('stopContainer');
    await deletePod('web', 30);
    await rig.restart(async () => {
      await rig.clock.advance(20_000);
      rig.runtime.hold('stopContainer')();
    });
    expect(rig.runtime.callsOf('stopContainer').at(-1)?.args[1]).toBe(10);
    expect(rig.pod()).toBeUndefined();
  });

  test('ends what runs here although its pod is gone', async () => {
    const pod = await rig.createPod();
    await rig.restart(() => {
      rig.cluster.commit(resources.pods, 'DELETED', structuredClone(pod) as never);
    });
    expect(rig.runtime.containers.size + rig.runtime.sandboxes.size).toBe(0);
  });
});

describe('the node', () => {
  test('registers itself with labels, capacity and conditions, and keeps its Lease', async () => {
    const node = rig.cluster.objectsOf(resources.nodes).get(objectKey(undefined, 'node-1')) as unknown as Node;
    expect(node.metadata.labels).toMatchObject({ 'kubernetes.io/hostname': 'node-1', 'kubernetes.io/os': 'linux' });
    expect(node.status?.capacity).toMatchObject({ cpu: '4', pods: '110' });
    expect(node.status?.conditions?.find(({ type }) => type === 'Ready')).toMatchObject({
      status: 'True',
      reason: 'KubeletReady',
    });
    expect(rig.keys(resources.leases)).toEqual(['kube-node-lease/node-1']);
  });

  test('refuses a pod that does not fit', async () => {
    await rig.createPod({ containers: [{ name: 'app', image: TEST_IMAGE, resources: { requests: { cpu: '64' } } }] });
    expect(rig.pod()?.status).toMatchObject({ phase: 'Failed', reason: 'OutOfcpu' });
    expect(rig.eventTexts()).toContainEqual(
      expect.stringMatching(/^OutOfcpu: Node didn't have enough resource: cpu, /),
    );
    expect(rig.runtime.sandboxes.size).toBe(0);
  });

  test('does not write when nothing happens', async () => {
    await rig.createPod();
    await rig.advance(1_000);
    const before = rig.cluster.actions.length;
    await rig.advance(60_000);
    const written = rig.cluster.actions.slice(before).filter(({ resource }) => resource !== 'leases');
    expect(written).toEqual([]);
  });

  test('says that it lives as soon as it learns that it was taken for lost', async () => {
    const nodes = rig.client.resource<Node>(resources.nodes);
    const readiness = async () =>
      (await nodes.fetch('node-1')).status?.conditions?.find(({ type }) => type === 'Ready')?.status;
    const conditions = [{ type: 'Ready', status: 'Unknown', reason: 'NodeStatusUnknown' }];
    await nodes.patch({ name: 'node-1', type: 'strategic', subresource: 'status', patch: { status: { conditions } } });
    expect(await readiness()).toBe('Unknown');
    await rig.advance(1_000);
    expect(await readiness()).toBe('True');
    const before = rig.cluster.actions.length;
    await rig.advance(60_000);
    expect(rig.cluster.actions.slice(before).filter(({ resource }) => resource === 'nodes')).toEqual([]);
  });
});
