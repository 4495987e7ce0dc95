import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { networkProber } from '#agent/host/network-prober.ts';
import { removeAllPodCgroups } from '#agent/kubelet/cgroups/pod-cgroups.ts';
import { parseCpuSet } from '#agent/kubelet/cpus/cpu-set.ts';
import { createKubelet, type Kubelet } from '#agent/kubelet/kubelet.ts';
import { KUBELET_DEFAULTS, type KubeletConfig } from '#agent/kubelet/kubelet-config.ts';
import { type ConfigMap, type Pod, resources, type Secret } from '#api/object/kinds.ts';
import { objectKey } from '#api/object/kube-object.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { missingForContainerd, startTestContainerd, type TestContainerd } from '#test/kit/containerd.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { MemoryCluster } from '#test/kit/memory-client.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const missing = missingForContainerd();
if (missing !== undefined) console.warn(`kubelet on containerd: skipped, ${missing}`);
const hasSpareCpu = availableParallelism() >= 2;
if (!hasSpareCpu) console.warn('whole CPUs for containers: skipped, needs two CPUs');

const cgroupsOf = (folder: string) => ({ driver: 'cgroupfs', root: `/${folder.split('/').at(-1)}` }) as const;

type PodSpec = NonNullable<Pod['spec']>;
const TIMEOUT_MS = 30_000;

describe.skipIf(missing !== undefined)('the kubelet on containerd', () => {
  let containerd: TestContainerd;
  const cluster = new MemoryCluster();
  const client = cluster.client();
  const pods = client.resource<Pod>(resources.pods);
  let stop = new AbortController();

  function create(overrides: Partial<KubeletConfig> = {}): Kubelet {
    const { folder, host, runtime } = containerd;
    const config: KubeletConfig = {
      ...KUBELET_DEFAULTS,
      nodeName: 'node-1',
      nodeIps: ['127.0.0.1'],
      rootDir: `${folder}/kubelet`,
      podLogsDir: `${folder}/logs/pods`,
      containerLogsDir: `${folder}/logs/containers`,
      ledgerDir: `${folder}/ledger`,
      volatileDir: `${folder}/volatile`,
      cgroups: cgroupsOf(folder),
      version: 'v1.36.0+test',
      ...overrides,
    };
    const common = { clock: systemClock, log: silentLogger, random: Math.random };
    return createKubelet({ client, runtime, host, prober: networkProber, config, ...common });
  }

  beforeAll(async () => {
    containerd = await startTestContainerd({ podSubnet: '10.98.7.0/24', bridgeName: 'corkubelet0' });
    await create().start(stop.signal);
  }, 240_000);

  afterAll(async () => {
    stop.abort();
    if (containerd === undefined) return;
    const { folder, host } = containerd;
    await containerd.stop();
    // The test's own cgroup is above `kubepods`.
    await removeAllPodCgroups(host, cgroupsOf(folder));
    for (const controller of await host.fs.list('/sys/fs/cgroup'))
      await host.exec.run(['rmdir', `/sys/fs/cgroup/${controller}${cgroupsOf(folder).root}`]).catch(() => undefined);
  }, 240_000);

  const podNow = (name: string) =>
    cluster.objectsOf(resources.pods).get(objectKey('default', name)) as unknown as Pod | undefined;

  const isReady = (name: string) =>
    podNow(name)?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;

  async function run(name: string, container: Partial<PodSpec['containers'][number]>, spec: Partial<PodSpec> = {}) {
    const containers = [{ name: 'app', image: BUSYBOX_IMAGE, imagePullPolicy: 'Never' as const, ...container }];
    await pods.create({
      metadata: { name, namespace: 'default' },
      spec: { nodeName: 'node-1', terminationGracePeriodSeconds: 1, containers, ...spec },
      status: { phase: 'Pending' },
    });
  }

  async function remove(name: string): Promise<void> {
    await pods.delete({ name, namespace: 'default', gracePeriodSeconds: 1 });
    await waitUntil(`${name} is gone`, TIMEOUT_MS, () => podNow(name) === undefined);
  }

  async function logOf(name: string): Promise<string> {
    const uid = podNow(name)!.metadata.uid;
    const text = await readFile(`${containerd.folder}/logs/pods/default_${name}_${uid}/app/0.log`, 'utf8');
    return text
      .split('\n')
      .map((line) => line.split(' ').slice(3).join(' '))
      .join('\n')
      .trim();
  }

  const sh = (script: string) => ({ command: ['/bin/sh', '-c', script] });

  test('runs a pod to Ready and removes every trace of it', async () => {
    await run('plain', sh('trap "exit 0" TERM; sleep 600 & wait'));
    await waitUntil('plain is ready', TIMEOUT_MS, () => isReady('plain'));
    expect(podNow('plain')?.status?.podIP).toMatch(/^10\.98\.7\./);
    await remove('plain');
    // The object goes when the last process has ended; the runtime's traces follow.
    const { folder, host, runtime } = containerd;
    const tracesIn = ['kubelet/pods', 'logs/pods', 'logs/containers'].map((path) => `${folder}/${path}`);
    await waitUntil('its traces are gone', TIMEOUT_MS, async () => {
      const names = await Promise.all(tracesIn.map((path) => host.fs.list(path)));
      return names.flat().length + (await runtime.listSandboxes()).length === 0;
    });
  });

  test('gives a container its environment, volumes, hosts file and limits', async () => {
    await client
      .resource<ConfigMap>(resources.configMaps)
      .create({ metadata: { name: 'settings', namespace: 'default' }, data: { colour: 'green' } });
    await client
      .resource<Secret>(resources.secrets)
      .create({ metadata: { name: 'key', namespace: 'default' }, data: { 'a.txt': 'aHVzaA==' } });
    await run(
      'rich',
      {
        ...sh(
          'echo "$COLOUR $IP $EXPANDED"; cat /config/colour /secret/a.txt; echo; grep rich /etc/hosts | cut -f2; touch /scratch/x && echo wrote; echo bye > /dev/termination-log; exit 3',
        ),
        env: [
          { name: 'COLOUR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'colour' } } },
          { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
          { name: 'EXPANDED', value: '<$(COLOUR)>' },
        ],
        resources: { limits: { memory: '64Mi', cpu: '500m' } },
        volumeMounts: [
          { name: 'config', mountPath: '/config' },
          { name: 'secret', mountPath: '/secret' },
          { name: 'scratch', mountPath: '/scratch' },
        ],
      },
      {
        restartPolicy: 'Never',
        volumes: [
          { name: 'config', configMap: { name: 'settings' } },
          { name: 'secret', secret: { secretName: 'key' } },
          { name: 'scratch', emptyDir: {} },
        ],
      },
    );
    await waitUntil('rich has failed', TIMEOUT_MS, () => podNow('rich')?.status?.phase === 'Failed');
    const { podIP, containerStatuses, qosClass } = podNow('rich')!.status!;
    expect(await logOf('rich')).toBe(`green ${podIP} <green>\ngreenhush\nrich\nwrote`);
    expect(containerStatuses?.[0]?.state?.terminated).toMatchObject({ exitCode: 3, reason: 'Error', message: 'bye\n' });
    expect(qosClass).toBe('Guaranteed');
    await remove('rich');
  });

  test('restarts a crashing container and shows CrashLoopBackOff', async () => {
    await run('crash', sh('exit 1'));
    const status = await waitUntil('crash backs off', TIMEOUT_MS, () => {
      const found = podNow('crash')?.status?.containerStatuses?.[0];
      return found?.state?.waiting?.reason === 'CrashLoopBackOff' ? found : undefined;
    });
    expect(status).toMatchObject({ restartCount: 1, lastState: { terminated: { exitCode: 1 } } });
    await remove('crash');
  });

  const update = async (name: string, change: (spec: PodSpec) => PodSpec) => {
    const pod = structuredClone(podNow(name)!);
    await pods.update({ ...pod, spec: change(pod.spec!) });
  };
  const exec = async (name: string, command: string, container = 'app') => {
    const { containerStatuses = [], ephemeralContainerStatuses = [] } = podNow(name)?.status ?? {};
    const status = [...containerStatuses, ...ephemeralContainerStatuses].find((one) => one.name === container);
    const id = status?.containerID?.replace('containerd://', '') ?? '';
    const { stdout } = await containerd.runtime.execSync(id, ['/bin/sh', '-c', command], 10);
    return Buffer.from(stdout).toString().trim();
  };

  test('shows a container for debugging the processes of its target', async () => {
    await run('debugged', sh('exec sleep 600'));
    await waitUntil('debugged is ready', TIMEOUT_MS, () => isReady('debugged'));
    await update('debugged', (spec) => ({
      ...spec,
      ephemeralContainers: [
        { name: 'tools', image: BUSYBOX_IMAGE, command: ['sleep', '601'], targetContainerName: 'app' },
      ],
    }));
    await waitUntil('tools run', TIMEOUT_MS, () => {
      const [status] = podNow('debugged')?.status?.ephemeralContainerStatuses ?? [];
      return status?.state?.running !== undefined;
    });
    expect(await exec('debugged', 'cat /proc/1/cmdline | tr "\\0" " "', 'tools')).toBe('sleep 600');
    await remove('debugged');
  });

  test('resizes a running container in place, up and down', async () => {
    const sizes = (cpu: string, memory: string) => ({ limits: { cpu, memory }, requests: { cpu, memory } });
    await run('sized', { ...sh('exec sleep 600'), resources: sizes('200m', '64Mi') });
    await waitUntil('sized is ready', TIMEOUT_MS, () => isReady('sized'));
    const { version } = await containerd.host.cgroups();
    const limits = async () =>
      version === 2
        ? exec('sized', 'cut -d" " -f1 /sys/fs/cgroup/cpu.max; cat /sys/fs/cgroup/memory.max')
        : exec('sized', 'cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/memory/memory.limit_in_bytes');
    expect(await limits()).toBe(`20000\n${64 * 2 ** 20}`);
    for (const [cpu, memory] of [
      ['400m', '128Mi'],
      ['100m', '32Mi'],
    ] as const) {
      await update('sized', (spec) => ({
        ...spec,
        containers: [{ ...spec.containers[0]!, resources: sizes(cpu, memory) }],
      }));
      await waitUntil(`sized has ${cpu}`, TIMEOUT_MS, () => {
        const [status] = podNow('sized')?.status?.containerStatuses ?? [];
        return status?.resources?.limits?.cpu === cpu;
      });
      expect(await limits()).toBe(`${Number.parseInt(cpu, 10) * 100}\n${Number.parseInt(memory, 10) * 2 ** 20}`);
    }
    expect(podNow('sized')?.status?.containerStatuses?.[0]?.restartCount).toBe(0);
    await remove('sized');
  });

  test('reads variables from the file that an init container wrote, and not through a link', async () => {
    const fileKeyRef = { volumeName: 'env', path: 'a.env', key: 'GREETING' };
    const volumes = [{ name: 'env', emptyDir: {} }];
    const env = [{ name: 'G', valueFrom: { fileKeyRef } }];
    const init = (command: string) => ({
      name: 'init',
      image: BUSYBOX_IMAGE,
      ...sh(command),
      volumeMounts: [{ name: 'env', mountPath: '/env' }],
    });
    await run(
      'envfile',
      { ...sh('echo "$G"'), env },
      {
        restartPolicy: 'Never',
        volumes,
        initContainers: [init(`echo "GREETING='hello there'" > /env/a.env`)],
      },
    );
    await waitUntil('envfile has ended', TIMEOUT_MS, () => podNow('envfile')?.status?.phase === 'Succeeded');
    expect(await logOf('envfile')).toBe('hello there');
    await run(
      'envlink',
      { ...sh('echo "$G"'), env },
      {
        restartPolicy: 'Never',
        volumes,
        initContainers: [init('ln -s /etc/passwd /env/a.env')],
      },
    );
    await waitUntil('envlink is refused', TIMEOUT_MS, () => {
      const [status] = podNow('envlink')?.status?.containerStatuses ?? [];
      return status?.state?.waiting?.reason === 'CreateContainerConfigError';
    });
    await remove('envfile');
    await remove('envlink');
  });

  test('mounts sub-paths of a volume, but not through a link that a container has made', async () => {
    const volumes = [{ name: 'data', emptyDir: {} }];
    const whole = [{ name: 'data', mountPath: '/data' }];
    const init = (command: string) => ({ name: 'init', image: BUSYBOX_IMAGE, ...sh(command), volumeMounts: whole });
    const volumeMounts = [
      { name: 'data', mountPath: '/dir', subPath: 'a/b' },
      { name: 'data', mountPath: '/file', subPath: 'text' },
    ];
    await run(
      'subpath',
      {
        ...sh('cat /file; echo x > /dir/new && ls /whole/a/b'),
        volumeMounts: [...volumeMounts, { name: 'data', mountPath: '/whole' }],
      },
      { restartPolicy: 'Never', volumes, initContainers: [init('echo inside > /data/text')] },
    );
    await waitUntil('subpath has ended', TIMEOUT_MS, () => podNow('subpath')?.status?.phase === 'Succeeded');
    expect(await logOf('subpath')).toBe('inside\nnew');
    await remove('subpath');
    await run(
      'sublink',
      { ...sh('cat /dir/shadow'), volumeMounts: [volumeMounts[0]!] },
      { restartPolicy: 'Never', volumes, initContainers: [init('ln -s /etc /data/a')] },
    );
    const message = await waitUntil('sublink is refused', TIMEOUT_MS, () => {
      const [status] = podNow('sublink')?.status?.containerStatuses ?? [];
      const { reason, message: why } = status?.state?.waiting ?? {};
      return reason === 'CreateContainerConfigError' ? why : undefined;
    });
    expect(message).toContain('failed to prepare subPath for volumeMount "data" of container "app"');
    await remove('sublink');
    const mounts = await containerd.host.mounts.list();
    const ofThis = mounts.filter(({ path }) => path.startsWith(containerd.folder) && path.includes('volume-subpaths'));
    expect(ofThis).toEqual([]);
  });

  test('begins a pod anew where the rule of a container says so', async () => {
    const volumeMounts = [{ name: 'data', mountPath: '/data' }];
    const exitCodes = { operator: 'In' as const, values: [42] };
    await run(
      'anew',
      {
        ...sh('test $(wc -l < /data/runs) -lt 2 && exit 42; exec sleep 600'),
        volumeMounts,
        restartPolicy: 'Never',
        restartPolicyRules: [{ action: 'RestartAllContainers', exitCodes }],
      },
      {
        restartPolicy: 'Never',
        volumes: [{ name: 'data', emptyDir: {} }],
        initContainers: [{ name: 'count', image: BUSYBOX_IMAGE, ...sh('echo run >> /data/runs'), volumeMounts }],
      },
    );
    // Before it ends for the first time it counts as ready, too.
    const restarts = () => podNow('anew')?.status?.containerStatuses?.[0]?.restartCount;
    await waitUntil('anew is ready again', TIMEOUT_MS, () => restarts() === 1 && isReady('anew'));
    expect(podNow('anew')?.status?.initContainerStatuses?.[0]).toMatchObject({ restartCount: 1 });
    expect(podNow('anew')?.status?.containerStatuses?.[0]).toMatchObject({
      restartCount: 1,
      lastState: { terminated: { exitCode: 42 } },
    });
    await remove('anew');
  });

  test('probes over HTTP before it calls a pod ready', async () => {
    await run('probed', {
      ...sh('mkdir /www; echo ok > /www/index.html; exec httpd -f -p 8080 -h /www'),
      readinessProbe: { httpGet: { path: '/index.html', port: 8080 }, periodSeconds: 1 },
    });
    await waitUntil('probed is ready', TIMEOUT_MS, () => isReady('probed'));
    await remove('probed');
  });

  test('a restart of the agent does not touch running containers', async () => {
    await run('stays', sh('sleep 600'));
    await waitUntil('stays is ready', TIMEOUT_MS, () => isReady('stays'));
    const before = podNow('stays')?.status?.containerStatuses?.[0];
    stop.abort();
    stop = new AbortController();
    await create().start(stop.signal);
    await run('next', sh('sleep 600'));
    await waitUntil('next is ready', TIMEOUT_MS, () => isReady('next'));
    expect(podNow('stays')?.status?.containerStatuses?.[0]).toEqual(before);
    await remove('stays');
    await remove('next');
  });

  test('a kill of containerd does not touch running containers, and pods start again once it is back', async () => {
    await run('outlives', sh('sleep 600'));
    await waitUntil('outlives is ready', TIMEOUT_MS, () => isReady('outlives'));
    const before = podNow('outlives')?.status?.containerStatuses?.[0];
    await containerd.kill();
    await run('waits', sh('sleep 600'));
    await containerd.restart();
    await waitUntil('waits is ready', 3 * TIMEOUT_MS, () => isReady('waits'));
    expect(podNow('outlives')?.status?.containerStatuses?.[0]).toEqual(before);
    expect(podNow('waits')?.status?.containerStatuses?.[0]?.restartCount).toBe(0);
    await remove('outlives');
    await remove('waits');
  }, 180_000);

  const cpusOf = async (name: string) =>
    (await exec(name, 'grep Cpus_allowed_list /proc/self/status')).replace(/^.*:\s*/, '');

  test.skipIf(!hasSpareCpu)('gives whole CPUs to whom they are due, and keeps others off them', async () => {
    stop.abort();
    stop = new AbortController();
    const reserved = { milliCpu: 1000, memoryBytes: 0 };
    await create({ cpuManagerPolicy: 'static', reserved }).start(stop.signal);
    await run('shares', sh('exec sleep 600'));
    await waitUntil('shares is ready', TIMEOUT_MS, () => isReady('shares'));
    const all = await cpusOf('shares');
    await run('alone', { ...sh('exec sleep 600'), resources: { limits: { cpu: '1', memory: '32Mi' } } });
    await waitUntil('alone is ready', TIMEOUT_MS, () => isReady('alone'));
    const own = await cpusOf('alone');
    expect(own).toMatch(/^\d+$/);
    expect(parseCpuSet(all)).toContain(Number(own));
    await waitUntil(
      'the others are off it',
      TIMEOUT_MS,
      async () => !parseCpuSet(await cpusOf('shares')).includes(Number(own)),
    );
    await remove('alone');
    await waitUntil('it is given back', TIMEOUT_MS, async () => (await cpusOf('shares')) === all);
    await remove('shares');
  });
});
