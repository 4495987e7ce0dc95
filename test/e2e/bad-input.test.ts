import { type ChildProcess, spawn } from 'node:child_process';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Event, Pod } from '#api/object/kinds.ts';
import { startCluster, type TestCluster } from '#test/kit/cluster.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`e2e bad input skipped: ${problem}`);

const REGISTRY_PORT = 5999;
const WAIT_MS = 45_000;
const MIB = 2 ** 20;

type PodSpec = NonNullable<Pod['spec']>;
type Container = PodSpec['containers'][number];

/** What a user sees of a pod that asks for the impossible. */
interface Expected {
  readonly phase?: string;
  /** Of the pod. */
  readonly reason?: string;
  readonly message?: RegExp;
  /** Of its container. */
  readonly waiting?: string;
  readonly waitingMessage?: RegExp;
  readonly terminated?: string;
  readonly log?: string;
  /** `<type> <reason> <message>` */
  readonly event?: RegExp;
}

interface BadPod {
  readonly name: string;
  readonly container?: Partial<Container>;
  readonly spec?: Partial<PodSpec>;
  readonly expected: Expected;
}

const sh = (script: string) => ({ command: ['sh', '-c', script] });
const fromKey = (key: string) => [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'settings', key } } }];
const mounted = { volumeMounts: [{ name: 'v', mountPath: '/v' }] };
const bound = { nodeName: 'node-0' };
const ASK =
  'test -e /tmp/up || until wget -qO- http://127.0.0.1 > /tmp/up; do sleep 0.2; done; wget -qO- http://127.0.0.1';
const image = (name: string) => ({ image: `127.0.0.1:${REGISTRY_PORT}/${name}:1`, imagePullPolicy: 'Always' as const });

const BAD: readonly BadPod[] = [
  {
    name: 'missing-key',
    container: { env: fromKey('nope') },
    expected: {
      phase: 'Pending',
      waiting: 'CreateContainerConfigError',
      waitingMessage: /^couldn't find key nope in ConfigMap default\/settings$/,
      event: /^Warning Failed Error: couldn't find key nope in ConfigMap default\/settings$/,
    },
  },
  {
    name: 'missing-config-map',
    container: { envFrom: [{ configMapRef: { name: 'missing' } }] },
    expected: {
      waiting: 'CreateContainerConfigError',
      waitingMessage: /^configmap "missing" not found$/,
      event: /^Warning Failed Error: configmap "missing" not found$/,
    },
  },
  {
    name: 'missing-volume-key',
    container: mounted,
    spec: { volumes: [{ name: 'v', configMap: { name: 'settings', items: [{ key: 'nope', path: 'a' }] } }] },
    expected: {
      phase: 'Pending',
      waiting: 'ContainerCreating',
      event:
        /^Warning FailedMount MountVolume.SetUp failed for volume "v" : configmap references non-existent config key: nope$/,
    },
  },
  {
    name: 'missing-secret',
    container: mounted,
    spec: { volumes: [{ name: 'v', secret: { secretName: 'missing' } }] },
    expected: {
      waiting: 'ContainerCreating',
      event: /^Warning FailedMount MountVolume.SetUp failed for volume "v" : secret "missing" not found$/,
    },
  },
  {
    name: 'sub-path-through-link',
    container: { volumeMounts: [{ name: 'v', mountPath: '/v', subPath: 'a/b' }] },
    spec: {
      volumes: [{ name: 'v', emptyDir: {} }],
      initContainers: [{ name: 'link', image: BUSYBOX_IMAGE, ...sh('ln -s /etc /v/a'), ...mounted }],
    },
    expected: {
      waiting: 'CreateContainerConfigError',
      waitingMessage: /^failed to prepare subPath for volumeMount "v" of container "main"/,
      event: /^Warning Failed Error: failed to prepare subPath for volumeMount "v" of container "main"/,
    },
  },
  {
    name: 'sub-path-of-nothing',
    container: { volumeMounts: [{ name: 'v', mountPath: '/v', subPathExpr: '$(NOPE)/x' }] },
    spec: { volumes: [{ name: 'v', emptyDir: {} }] },
    expected: {
      waiting: 'CreateContainerConfigError',
      waitingMessage: /^missing value for NOPE$/,
      event: /^Warning Failed Error: missing value for NOPE$/,
    },
  },
  {
    name: 'unknown-handler',
    spec: { runtimeClassName: 'unknown' },
    expected: {
      phase: 'Pending',
      waiting: 'ContainerCreating',
      event: /^Warning FailedCreatePodSandBox Failed to create pod sandbox: .*no runtime for "nowhere" is configured/,
    },
  },
  {
    name: 'port-taken',
    container: { ports: [{ containerPort: 80, hostPort: 8099 }] },
    expected: {
      phase: 'Pending',
      event: /^Warning FailedScheduling 0\/1 nodes are available: 1 node\(s\) didn't have free ports/,
    },
  },
  {
    name: 'port-clash',
    container: { ports: [{ containerPort: 80, hostPort: 8099 }] },
    spec: bound,
    expected: {
      phase: 'Failed',
      reason: 'NodePorts',
      message:
        /^Pod was rejected: Predicate NodePorts failed: node\(s\) didn't have free ports for the requested pod ports$/,
      event:
        /^Warning NodePorts Predicate NodePorts failed: node\(s\) didn't have free ports for the requested pod ports$/,
    },
  },
  {
    name: 'cyclic-env',
    container: {
      ...sh('echo "$A|$B|$C"'),
      env: [
        { name: 'A', value: '$(B)' },
        { name: 'B', value: '<$(A)>' },
        { name: 'C', value: '$(C)' },
      ],
    },
    spec: { restartPolicy: 'Never' },
    // Not refused: a reference to what is not set yet stays as it is.
    expected: { phase: 'Succeeded', log: '$(B)|<$(B)>|$(C)\n' },
  },
  {
    name: 'absent-device',
    container: { resources: { limits: { 'coracle.dev/nothing': 1 } } },
    expected: {
      phase: 'Pending',
      event: /^Warning FailedScheduling 0\/1 nodes are available: 1 Insufficient coracle.dev\/nothing/,
    },
  },
  {
    name: 'unplugged-device',
    container: { resources: { limits: { 'coracle.dev/unplugged': 1 } } },
    spec: bound,
    expected: {
      phase: 'Failed',
      reason: 'OutOfcoracle.dev/unplugged',
      message:
        /^Pod was rejected: Node didn't have enough resource: coracle.dev\/unplugged, requested: 1, used: 0, capacity: 0$/,
      event: /^Warning OutOfcoracle.dev\/unplugged Node didn't have enough resource: /,
    },
  },
  {
    name: 'broken-manifest',
    container: image('garbage'),
    expected: {
      phase: 'Pending',
      waiting: 'ImagePullBackOff',
      waitingMessage: /^Back-off pulling image "127.0.0.1:5999\/garbage:1": ErrImagePull: /,
      event: /^Warning Failed Failed to pull image "127.0.0.1:5999\/garbage:1": /,
    },
  },
  {
    name: 'broken-layer',
    container: image('layer'),
    expected: {
      phase: 'Pending',
      waiting: 'ImagePullBackOff',
      event: /^Warning Failed Failed to pull image "127.0.0.1:5999\/layer:1": /,
    },
  },
  {
    name: 'missing-layer',
    container: image('gap'),
    expected: {
      phase: 'Pending',
      waiting: 'ImagePullBackOff',
      waitingMessage:
        /^Back-off pulling image "\S+\/gap:1": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image /,
      event: /^Warning Failed Failed to pull image "\S+\/gap:1": rpc error: code = NotFound desc = /,
    },
  },
  {
    name: 'other-platform',
    container: image('foreign'),
    expected: {
      phase: 'Pending',
      waiting: 'ImagePullBackOff',
      waitingMessage:
        /: ErrImagePull: rpc error: code = NotFound desc = .*: no match for platform in manifest: not found$/,
      event:
        /^Warning Failed Failed to pull image "\S+\/foreign:1": rpc error: code = NotFound desc = .*no match for platform/,
    },
  },
  {
    name: 'bad-name',
    container: { image: 'NOT/An image' },
    expected: { waiting: 'InvalidImageName', event: /^Warning InspectFailed Failed to apply default image tag/ },
  },
  {
    name: 'no-program',
    container: { command: ['/no/such/program'] },
    spec: { restartPolicy: 'Never' },
    expected: {
      phase: 'Failed',
      terminated: 'StartError',
      event: /^Warning Failed Error: .*no such file or directory/,
    },
  },
  {
    name: 'memory-hog',
    container: {
      ...sh('head -c 200000000 /dev/zero | tail'),
      resources: { limits: { memory: '16Mi' }, requests: { memory: '16Mi' } },
    },
    spec: { restartPolicy: 'Never' },
    expected: { phase: 'Failed', terminated: 'OOMKilled' },
  },
  {
    name: 'fork-bomb',
    // Each tries to have two of itself; the limit of the pod's processes ends that, and the shell says so.
    container: sh('b() { b | b & }; b; sleep 600'),
    expected: { phase: 'Running' },
  },
  {
    name: 'log-flood',
    container: sh('yes "$(head -c 1000 /dev/zero | tr "\\0" x)" | head -c 400000000; sleep 600'),
    expected: { phase: 'Running' },
  },
  {
    name: 'disk-filler',
    container: { ...sh('dd if=/dev/zero of=/v/big bs=1M count=64; sleep 600'), ...mounted },
    spec: { volumes: [{ name: 'v', emptyDir: { sizeLimit: '8Mi' } }] },
    expected: {
      phase: 'Failed',
      reason: 'Evicted',
      message: /^Usage of EmptyDir volume "v" exceeds the limit "8Mi"\. $/,
      event: /^Warning Evicted Usage of EmptyDir volume "v" exceeds the limit "8Mi"/,
    },
  },
  {
    name: 'layer-filler',
    container: {
      ...sh('dd if=/dev/zero of=/big bs=1M count=64; sleep 600'),
      resources: { limits: { 'ephemeral-storage': '8Mi' } },
    },
    expected: {
      phase: 'Failed',
      reason: 'Evicted',
      message: /ephemeral local storage usage exceeds the total limit of containers 8Mi|ephemeral local storage limit/,
    },
  },
];

/** Refused before anything of it exists. */
const REFUSED: readonly { readonly name: string; readonly spec: Partial<PodSpec>; readonly message: RegExp }[] = [
  {
    name: 'an unknown runtime class',
    spec: { runtimeClassName: 'nope' },
    message: /pod rejected: RuntimeClass "nope" not found/,
  },
  {
    name: 'a sub-path that leaves its volume',
    spec: {
      volumes: [{ name: 'v', emptyDir: {} }],
      containers: [
        { name: 'main', image: BUSYBOX_IMAGE, volumeMounts: [{ name: 'v', mountPath: '/v', subPath: '../x' }] },
      ],
    },
    message: /spec\.containers\[0\]\.volumeMounts\[0\]\.subPath: Invalid value: "\.\.\/x": must not contain '\.\.'/,
  },
];

describe.skipIf(problem !== undefined)('pods that ask for the impossible', () => {
  let cluster: TestCluster;
  let registry: ChildProcess | undefined;
  let readySince: string | undefined;
  const ok = (...args: string[]) => cluster.kubectlOk(args);
  const podOf = ({ name, container = {}, spec = {} }: Omit<BadPod, 'expected'>) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'main', image: BUSYBOX_IMAGE, command: ['sleep', '600'], ...container }],
      ...spec,
    },
  });
  const podNow = async (name: string) => JSON.parse(await ok('get', 'pod', name, '-o', 'json')) as Pod;
  const sinceWhenReady = async (name: string) => {
    const ready = (await podNow(name)).status?.conditions?.find(({ type }) => type === 'Ready');
    return ready?.status === 'True' ? ready.lastTransitionTime : undefined;
  };
  const eventsOf = async (name: string) => {
    const list = await ok('get', 'events', `--field-selector=involvedObject.name=${name}`, '-o', 'json');
    return (JSON.parse(list) as { items: Event[] }).items.map(
      ({ type, reason, message }) => `${type} ${reason} ${message}`,
    );
  };

  beforeAll(async () => {
    cluster = await startCluster({
      name: 'bad',
      nodes: 1,
      agentFlags: [
        '--pod-pids-limit=100',
        '--container-log-max-size=1Mi',
        '--container-log-max-files=3',
        '--devices=coracle.dev/unplugged=usb:ffff:ffff',
      ],
    });
    registry = await startBrokenRegistry(cluster.agents[0]!.host.enter);
    const neighbour = podOf({
      name: 'neighbour',
      container: {
        ports: [{ containerPort: 80, hostPort: 8099 }],
        ...sh('echo well > /tmp/index.html; exec httpd -f -p 80 -h /tmp'),
        livenessProbe: { exec: { command: ['true'] }, periodSeconds: 1, timeoutSeconds: 30 },
        // Waits for the server to come up: from then on a single answer that is missing makes the pod unready.
        readinessProbe: {
          exec: { command: ['sh', '-c', ASK] },
          periodSeconds: 1,
          timeoutSeconds: 30,
          failureThreshold: 1,
        },
      },
    });
    const stubborn = podOf({
      name: 'stubborn',
      container: sh('trap "" TERM; while :; do sleep 1; done'),
      spec: { terminationGracePeriodSeconds: 2 },
    });
    const runtimeClass = {
      apiVersion: 'node.k8s.io/v1',
      kind: 'RuntimeClass',
      metadata: { name: 'unknown' },
      handler: 'nowhere',
    };
    await ok('create', 'configmap', 'settings', '--from-literal=a=1');
    await applyAll([runtimeClass, neighbour, stubborn]);
    await ok('wait', '--for=condition=Ready', 'pod/neighbour', 'pod/stubborn', '--timeout=150s');
    readySince = await sinceWhenReady('neighbour');
    await applyAll(BAD.map(podOf));
  }, 240_000);
  afterAll(async () => {
    registry?.kill('SIGKILL');
    await cluster?.destroy();
  });

  const applyAll = (items: readonly object[]) =>
    cluster.kubectlOk(['create', '-f', '-'], { stdin: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });

  it.each(REFUSED)('$name is refused', async ({ spec, message }) => {
    const { code, stderr } = await cluster.kubectl(['create', '-f', '-'], {
      stdin: JSON.stringify(podOf({ name: 'refused', spec })),
    });
    expect(code).not.toBe(0);
    expect(stderr).toMatch(message);
  });

  it.each(BAD)('$name', async ({ name, expected }) => {
    let seen = '';
    await waitUntil(`what is expected of ${name}`, WAIT_MS, async () => {
      const { status } = await podNow(name);
      const events = expected.event === undefined ? [] : await eventsOf(name);
      seen = JSON.stringify({ status, events }, undefined, 1);
      return isAsExpected(expected, status, events);
    }).catch((err: unknown) => {
      throw new Error(`${name} is not as expected: ${seen}`, { cause: err });
    });
    if (expected.log !== undefined) expect(await ok('logs', name)).toBe(expected.log);
  });

  it('a container that ignores SIGTERM is killed once its time is over', async () => {
    const begunMs = performance.now();
    await ok('delete', 'pod', 'stubborn', '--wait');
    const tookMs = performance.now() - begunMs;
    expect(tookMs).toBeGreaterThan(2000);
    // 30 s is what others get.
    expect(tookMs).toBeLessThan(28_000);
    expect(await eventsOf('stubborn')).toContainEqual('Normal Killing Stopping container main');
  });

  it('the processes of a fork bomb stay within the limit of its pod', async () => {
    const uid = (await podNow('fork-bomb')).metadata.uid ?? '';
    const own = await processesOf(uid);
    expect(own).toBeGreaterThan(1);
    expect(own).toBeLessThanOrEqual(100);
    // And it ends like any other.
    await ok('delete', 'pod', 'fork-bomb', '--wait');
    expect(await processesOf(uid)).toBe(0);
  });

  it('the log of a flood is cut to its files', async () => {
    const folder = join(cluster.agents[0]!.folder, 'pod-logs');
    const name = (await readdir(folder)).find((one) => one.startsWith('default_log-flood_')) ?? '';
    await waitUntil('the flood is over and cut', WAIT_MS, async () => {
      const files = await readdir(join(folder, name, 'main'));
      const sizes = await Promise.all(files.map(async (file) => (await stat(join(folder, name, 'main', file))).size));
      return files.length > 1 && files.length <= 3 && sizes.some((size) => size < MIB);
    });
    expect((await ok('logs', 'log-flood', '--tail=1')).length).toBeLessThanOrEqual(1001);
  });

  it('their neighbour did not notice', async () => {
    const [status] = (await podNow('neighbour')).status?.containerStatuses ?? [];
    expect(status).toMatchObject({ ready: true, restartCount: 0 });
    // It was asked every second, and not once was it unready.
    expect(await sinceWhenReady('neighbour')).toBe(readySince);
    expect((await eventsOf('neighbour')).filter((event) => event.startsWith('Warning'))).toEqual([]);
    expect(await ok('exec', 'neighbour', '--', 'echo', 'fine')).toBe('fine\n');
    await applyAll([podOf({ name: 'newcomer' })]);
    await ok('wait', '--for=condition=Ready', 'pod/newcomer', '--timeout=150s');
    expect(await ok('get', 'node', 'node-0')).toMatch(/ Ready /);
  });
});

function isAsExpected(expected: Expected, status: Pod['status'], events: readonly string[]): boolean {
  const state = status?.containerStatuses?.[0]?.state;
  const facts: readonly [string | RegExp | undefined, string | undefined][] = [
    [expected.phase, status?.phase],
    [expected.reason, status?.reason],
    [expected.message, status?.message],
    [expected.waiting, state?.waiting?.reason],
    [expected.waitingMessage, state?.waiting?.message],
    [expected.terminated, state?.terminated?.reason],
  ];
  const holds = facts.every(([want, got]) =>
    want instanceof RegExp ? want.test(got ?? '') : want === undefined || want === got,
  );
  return holds && (expected.event === undefined || events.some((event) => expected.event!.test(event)));
}

/** How many processes the pod's containers have, whatever the hierarchy of cgroups. */
async function processesOf(uid: string): Promise<number> {
  let count = 0;
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const cgroup = await readProc(`/proc/${pid}/cgroup`);
    if (cgroup.includes(uid)) count++;
  }
  return count;
}

async function readProc(path: string): Promise<string> {
  const { readFile } = await import('node:fs/promises');
  return readFile(path, 'utf8').catch(() => '');
}

/**
 * A registry in the node's network: an image whose manifest is no manifest, one whose layer is not what its digest says, one whose layer
 * is not there, and one for other machines.
 */
async function startBrokenRegistry(enter: readonly string[]): Promise<ChildProcess> {
  const script = `
    const { createServer } = require('node:http');
    const { createHash } = require('node:crypto');
    const digest = (text) => 'sha256:' + createHash('sha256').update(text).digest('hex');
    const config = JSON.stringify({ architecture: process.arch === 'x64' ? 'amd64' : process.arch, os: 'linux', config: {}, rootfs: { type: 'layers', diff_ids: [digest('layer')] } });
    const type = 'application/vnd.oci.image.manifest.v1+json';
    const manifest = JSON.stringify({
      schemaVersion: 2, mediaType: type,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digest(config), size: config.length },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digest('layer'), size: 5 }],
    });
    const indexType = 'application/vnd.oci.image.index.v1+json';
    const index = JSON.stringify({
      schemaVersion: 2, mediaType: indexType,
      manifests: [{ mediaType: type, digest: digest('elsewhere'), size: 9, platform: { architecture: 's390x', os: 'linux' } }],
    });
    const gap = manifest.replace(digest('layer'), digest('gap'));
    const answers = { garbage: '{"schemaVersion": 2, "layers": "none', layer: manifest, gap, foreign: index };
    createServer((request, response) => {
      const [, name, kind] = /^\\/v2\\/(\\w+)\\/(manifests|blobs)\\//.exec(request.url) ?? [];
      const body = kind === 'manifests' ? answers[name] : kind === 'blobs' ? (request.url.endsWith(digest(config)) ? config : 'other') : '{}';
      if (name === 'gap' && request.url.endsWith(digest('gap'))) return response.writeHead(404).end();
      const manifestType = name === 'foreign' ? indexType : type;
      response.setHeader('content-type', kind === 'manifests' ? manifestType : 'application/octet-stream');
      response.setHeader('docker-content-digest', digest(body));
      response.setHeader('content-length', body.length);
      response.end(request.method === 'HEAD' ? undefined : body);
    }).listen(${REGISTRY_PORT}, '127.0.0.1', () => console.log('up'));`;
  const [program, ...args] = enter;
  const child = spawn(program!, [...args, process.execPath, '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  return child;
}
