import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Event, Pod } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { openClusterPki } from '#controller/pki/cluster-pki.ts';
import { startCluster, type TestCluster } from '#test/kit/cluster.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { type ImageRegistry, startImageRegistry } from '#test/kit/image-registry.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { waitUntil } from '#test/kit/wait-until.ts';
import { HANDLERS, HOST_PORT, lifecyclePods, type PodSpec, REGISTRY_PORT } from './lifecycle-pods.ts';
import { talkToNode } from './talk-to-node.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`e2e pod lifecycle skipped: ${problem}`);

const WAIT_MS = 60_000;
const OWNED = ['of-pod', 'of-node', 'of-plugin', 'of-account', 'of-nobody'];

/** What the kubelet promises of a pod's life, each promise on a real runtime and through kubectl. */
describe.skipIf(problem !== undefined)('the life of a pod', () => {
  let cluster: TestCluster;
  let registry: ImageRegistry | undefined;
  let settings: string;
  const ok = (...args: string[]) => cluster.kubectlOk(args);
  const create = (object: object) => cluster.kubectlOk(['create', '-f', '-'], { stdin: JSON.stringify(object) });
  const podNow = async (name: string) => JSON.parse(await ok('get', 'pod', name, '-o', 'json')) as Pod;
  const stateOf = (pod: Pod, name = 'main') => {
    const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
    return [...containerStatuses, ...initContainerStatuses].find((status) => status.name === name);
  };
  const eventsOf = async (name: string) => {
    const list = await ok('get', 'events', `--field-selector=involvedObject.name=${name}`, '-o', 'json');
    return (JSON.parse(list) as { items: Event[] }).items.map(({ reason, message }) => `${reason} ${message}`);
  };
  const untilPod = (name: string, what: string, holds: (pod: Pod) => boolean) =>
    waitUntil(`${name} ${what}`, WAIT_MS, async () => {
      const pod = await podNow(name);
      return holds(pod) ? pod : undefined;
    });
  const untilEvent = (name: string, event: string) =>
    waitUntil(`event of ${name}: ${event}`, WAIT_MS, async () => (await eventsOf(name)).includes(event));
  const conditionOf = (pod: Pod, type: string) => pod.status?.conditions?.find((one) => one.type === type);
  const untilReady = (name: string) =>
    untilPod(name, 'is ready', (pod) => conditionOf(pod, 'Ready')?.status === 'True');
  const logFolder = (name: string) => join(cluster.folder, 'logs', name);
  const linesOf = (name: string, file: string) =>
    existsSync(join(logFolder(name), file))
      ? readFileSync(join(logFolder(name), file), 'utf8')
          .trim()
          .split('\n')
      : [];
  const inside = async (pod: string, script: string) => (await ok('exec', pod, '--', 'sh', '-c', script)).trim();

  beforeAll(async () => {
    settings = await mkdtemp('/tmp/coracle-lifecycle-');
    await writeCredentialPlugin(settings);
    cluster = await startCluster({
      name: 'life',
      nodes: 1,
      agentFlags: [
        `--image-credential-provider-config=${settings}/plugins.yaml`,
        `--image-credential-provider-bin-dir=${settings}`,
        `--static-pod-dir=${settings}/manifests`,
        '--serialize-image-pulls',
      ],
    });
    const [agent] = cluster.agents;
    registry = await startImageRegistry(agent!.host.enter, REGISTRY_PORT, [
      { repository: 'open' },
      { repository: 'always' },
      { repository: 'signal', stopSignal: 'SIGUSR1' },
      ...OWNED.map((owner) => ({ repository: owner, owner: `${owner}:secret` })),
    ]);
    await writeFile(join(agent!.folder, 'kubelet', 'config.json'), JSON.stringify({ auths: auths('of-node') }));
    for (const owner of ['of-pod', 'of-account']) await create(pullSecret(owner));
    await waitUntil('the account', WAIT_MS, async () => (await cluster.kubectl(['get', 'sa', 'default'])).code === 0);
    await ok('patch', 'sa', 'default', '-p', JSON.stringify({ imagePullSecrets: [{ name: 'of-account' }] }));
    await create(await certificate(settings));
    const overhead = { podFixed: { cpu: '50m', memory: '16Mi' } };
    await create({
      apiVersion: 'node.k8s.io/v1',
      kind: 'RuntimeClass',
      metadata: { name: 'heavy' },
      handler: 'runc',
      overhead,
    });
    await ok('create', 'service', 'clusterip', 'harbour', '--tcp=80');
    const items = lifecyclePods(registry.digests).map(({ name, metadata, spec }) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, ...metadata },
      spec: withLog(spec, logFolder(name)),
    }));
    await create({ apiVersion: 'v1', kind: 'List', items });
  }, 240_000);
  afterAll(async () => {
    registry?.stop();
    await cluster?.destroy();
    await rm(settings, { recursive: true, force: true });
  });

  it('asks by exec, http, https, tcp and gRPC whether containers have started, are ready and live', async () => {
    const handlers = Object.keys(HANDLERS);
    const well = await untilReady('probed');
    for (const name of handlers)
      expect(stateOf(well, name), name).toMatchObject({ started: true, ready: true, restartCount: 0 });
    await ok('exec', 'probed', '-c', 'exec', '--', 'touch', '/state/ill');
    await untilPod('probed', 'has restarted them all', (pod) =>
      handlers.every((name) => (stateOf(pod, name)?.restartCount ?? 0) > 0),
    );
    // The containers that are to start again may not have yet.
    await ok('exec', 'probed', '-c', 'target', '--', 'rm', '/state/ill');
    expect(stateOf(await untilReady('probed'), 'target')).toMatchObject({ restartCount: 0 });
  });

  it('says of what asks in vain which answer it got', async () => {
    const { status } = await untilPod('ill', 'has restarted', ({ status: seen }) =>
      Boolean(seen?.containerStatuses?.every(({ restartCount = 0 }) => restartCount > 0)),
    );
    for (const [name, message] of [
      ['exec', 'is ill\n'],
      ['http', 'HTTP probe failed with statuscode: 404'],
      ['tcp', `dial tcp ${status?.podIP}:9090: connect: connection refused`],
    ]) {
      await untilEvent('ill', `Unhealthy Liveness probe failed: ${message}`);
      await untilEvent('ill', `Killing Container ${name} failed liveness probe, will be restarted`);
    }
  });

  it('runs hooks that are commands, requests and pauses', async () => {
    await untilReady('hooked');
    await ok('delete', 'pod', 'hooked', '--wait');
    const hooks = linesOf('hooked', 'hooks');
    expect(hooks.slice(0, 2).sort()).toEqual(['postStart-exec', 'postStart-http']);
    expect(hooks.slice(2).sort()).toEqual(['preStop-exec', 'preStop-http']);
  });

  it('ends a container whose hook fails, and tells in no Event what the hook said', async () => {
    await untilEvent('bad-hook', 'FailedPostStartHook PostStartHook failed');
    await untilEvent('bad-hook', 'Killing FailedPostStartHook');
    expect((await eventsOf('bad-hook')).join()).not.toContain('s3cret');
  });

  it('tells a probe that fails from one that cannot be asked', async () => {
    const failed = 'Unhealthy Readiness probe failed: command timed out: "sleep 9" timed out after 1s';
    await untilEvent('odd-probes', failed);
    await waitUntil('an error of the probe', WAIT_MS, async () =>
      (await eventsOf('odd-probes')).some((event) =>
        /^Unhealthy Liveness probe errored and resulted in unknown state: .*no such file or directory/.test(event),
      ),
    );
    expect(stateOf(await podNow('odd-probes'))).toMatchObject({ restartCount: 0, ready: false });
  });

  it('starts init containers and sidecars one after the other, and ends them the other way round', async () => {
    const pod = await untilReady('stages');
    expect(stateOf(pod, 'first')?.state?.terminated).toMatchObject({ reason: 'Completed', exitCode: 0 });
    expect(stateOf(pod, 'side-a')).toMatchObject({ started: true, ready: true });
    expect(conditionOf(pod, 'Initialized')?.status).toBe('True');
    await waitUntil('all to have begun', WAIT_MS, () => linesOf('stages', 'order').length === 5);
    expect(linesOf('stages', 'order')).toEqual(['first', 'side-a', 'second', 'side-b', 'main']);
    await ok('delete', 'pod', 'stages', '--wait');
    expect(linesOf('stages', 'order').slice(5)).toEqual(['side-a-preStop', 'main-ends', 'side-b-ends', 'side-a-ends']);
  });

  it('runs containers again by rules and policies of their own', async () => {
    const pod = await untilPod('rules', 'is as its rules say', (seen) => {
      const again = stateOf(seen, 'by-rule');
      return again?.state?.running !== undefined && stateOf(seen, 'by-policy')?.state?.terminated?.exitCode === 0;
    });
    expect(stateOf(pod, 'by-rule')).toMatchObject({ restartCount: 1, lastState: { terminated: { exitCode: 42 } } });
    expect(stateOf(pod, 'by-policy')).toMatchObject({ restartCount: 1 });
    expect(stateOf(pod, 'once')).toMatchObject({ restartCount: 0, state: { terminated: { reason: 'Completed' } } });
    expect(pod.status?.phase).toBe('Running');
  });

  it('shows what containers said at their end, and phase and conditions of a pod that failed', async () => {
    const pod = await untilPod('messages', 'has failed', ({ status }) => status?.phase === 'Failed');
    const ends = ['file', 'logs', 'fine'].map((name) => stateOf(pod, name)?.state?.terminated);
    expect(ends.map((end) => [end?.exitCode, end?.reason, end?.message])).toEqual([
      [3, 'Error', 'in a file of its own\n'],
      [4, 'Error', 'in its log\n'],
      [0, 'Completed', undefined],
    ]);
    const conditions = pod.status?.conditions?.map(({ type, status, reason = '' }) => `${type} ${status} ${reason}`);
    expect(conditions?.sort()).toEqual([
      'ContainersReady False PodFailed',
      'Initialized True ',
      'PodReadyToStartContainers False ',
      'PodScheduled True ',
      'Ready False PodFailed',
    ]);
  });

  it('ends a pod at its deadline', async () => {
    const { status } = await untilPod('deadline', 'has failed', (pod) => pod.status?.phase === 'Failed');
    const message = 'Pod was active on the node longer than the specified deadline';
    expect(status).toMatchObject({ reason: 'DeadlineExceeded', message });
  });

  it('kills what ignores SIGTERM after the grace of its probe', async () => {
    await untilPod('stubborn', 'was restarted', (pod) => (stateOf(pod)?.restartCount ?? 0) > 0);
  });

  it('forgets a pod at once that is deleted by force, and ends its processes in their time', async () => {
    const { uid } = (await untilReady('forced')).metadata;
    await ok('delete', 'pod', 'forced', '--force', '--grace-period=0');
    expect((await cluster.kubectl(['get', 'pod', 'forced'])).stderr).toContain('not found');
    await waitUntil('its processes to end', WAIT_MS, () => cgroupsOf(uid ?? '').length === 0);
  });

  it('ends a container by the signal that its image names', async () => {
    await untilReady('signal');
    await ok('delete', 'pod', 'signal', '--wait');
    expect(linesOf('signal', 'signal')).toEqual(['USR1']);
  });

  it('shares namespaces with the pod or the host as asked', async () => {
    await untilReady('shared');
    expect(await ok('exec', 'shared', '-c', 'b', '--', 'ps')).toContain('sleep 4321');
    await untilReady('host-namespaces');
    const seen = (await ok('logs', 'host-namespaces')).split('\n');
    const script = 'for one in net pid ipc; do readlink /proc/self/ns/$one; done';
    const [program, ...enter] = cluster.agents[0]!.host.enter;
    const own = execFileSync(program!, [...enter, 'sh', '-c', script], { encoding: 'utf8' });
    expect(seen.slice(0, 3)).toEqual(own.trim().split('\n'));
    expect(seen).toContain('nameserver 10.96.0.10');
    expect(seen).toContain('search default.svc.cluster.local svc.cluster.local cluster.local');
  });

  it('gives a pod its names, hosts, resolver and links to Services', async () => {
    await untilReady('names');
    const { status } = await podNow('names');
    const text = await ok('logs', 'names');
    expect(text).toMatch(/^boat\.fleet\.default\.svc\.cluster\.local\n/);
    expect(text).toContain(`${status?.podIP}\tboat.fleet.default.svc.cluster.local\tboat\n`);
    expect(text).toContain('192.0.2.7\tseven\tsept\n');
    expect(text).toMatch(/search example\.test\nnameserver 192\.0\.2\.53\noptions ndots:2\n/);
    expect(text).toContain('KUBERNETES_SERVICE_HOST=');
    expect(text).not.toContain('HARBOUR_SERVICE_HOST=');
    await untilReady('linked');
    const linked = await ok('logs', 'linked');
    expect(linked).toContain('HARBOUR_SERVICE_HOST=');
    const servers = readFileSync('/etc/resolv.conf', 'utf8').match(/^nameserver \S+/gm) ?? [];
    for (const server of servers) expect(linked).toContain(server);
  });

  it('opens host ports', async () => {
    await untilReady('linked');
    const [program, ...enter] = cluster.lab.hub.enter;
    const url = `http://${cluster.agents[0]!.host.address}:${HOST_PORT}/`;
    const answer = execFileSync(program!, [...enter, 'curl', '-sS', '--max-time', '30', url], { encoding: 'utf8' });
    expect(answer).toBe('port\n');
  });

  it('tells a pod all about itself, and keeps its volume up to date', async () => {
    const { metadata, spec, status } = await untilReady('downward');
    const about = (await ok('logs', 'downward')).trim().split('\n');
    expect(about).toEqual(
      [
        'ACCOUNT=default',
        'ANNOTATION=x "y"',
        'CPU=250',
        'DISK=64',
        `HOST_IP=${status?.hostIP}`,
        `HOST_IPS=${status?.hostIP}`,
        'LABEL=d',
        'MEMORY=16',
        'NAME=downward',
        'NAMESPACE=default',
        `NODE=${spec?.nodeName}`,
        `POD_IP=${status?.podIP}`,
        `POD_IPS=${status?.podIP}`,
        `UID=${metadata.uid}`,
      ].map((line) => `D_${line}`),
    );
    expect(await inside('downward', 'cat /about/labels; echo; cat /about/annotations; echo; cat /about/cpu')).toBe(
      'app="d"\nexample.com/a="x \\"y\\""\n250',
    );
    await ok('label', 'pod', 'downward', 'colour=red');
    await waitUntil('the new label', WAIT_MS, async () =>
      (await inside('downward', 'cat /about/labels')).includes('colour="red"'),
    );
  });

  it('holds a pod back at its gates', async () => {
    expect(await ok('get', 'pod', 'gated')).toContain('SchedulingGated');
    const gated = conditionOf(await podNow('gated'), 'PodScheduled');
    expect(gated).toMatchObject({ status: 'False', reason: 'SchedulingGated' });
    await ok('patch', 'pod', 'gated', '--type=json', '-p', '[{"op":"remove","path":"/spec/schedulingGates"}]');
    const pod = await untilPod('gated', 'runs', (seen) => conditionOf(seen, 'ContainersReady')?.status === 'True');
    const message = 'corresponding condition of pod readiness gate "example.com/checked" does not exist.';
    expect(conditionOf(pod, 'Ready')).toMatchObject({ status: 'False', reason: 'ReadinessGatesNotReady', message });
    const checked = { conditions: [{ type: 'example.com/checked', status: 'True' }] };
    await ok('patch', 'pod', 'gated', '--subresource=status', '-p', JSON.stringify({ status: checked }));
    await untilReady('gated');
  });

  it('resizes a container in place, or restarts it where its policy says so', async () => {
    await untilReady('sized');
    const resize = (limits: object) => {
      const resources = { limits, requests: limits };
      const patch = { spec: { containers: [{ name: 'main', resources }] } };
      return ok('patch', 'pod', 'sized', '--subresource=resize', '-p', JSON.stringify(patch));
    };
    await resize({ cpu: '150m', memory: '32Mi' });
    const grown = await untilPod(
      'sized',
      'has more CPU',
      (pod) => stateOf(pod)?.resources?.limits?.cpu === '150m' && conditionOf(pod, 'PodResizeInProgress') === undefined,
    );
    expect(stateOf(grown)?.restartCount).toBe(0);
    await resize({ cpu: '150m', memory: '48Mi' });
    const restarted = await untilPod('sized', 'has more memory', (pod) => stateOf(pod)?.restartCount === 1);
    await untilEvent('sized', 'Killing Container main resize requires restart');
    expect(restarted.metadata.uid).toBe(grown.metadata.uid);
    await untilPod('sized', 'runs with it', (pod) => stateOf(pod)?.resources?.limits?.memory === '48Mi');
  });

  it('limits a pod as a whole, with the overhead of its runtime class', async () => {
    const pod = await untilReady('pod-level');
    expect(pod.spec?.overhead).toEqual({ cpu: '50m', memory: '16Mi' });
    expect(pod.spec?.runtimeClassName).toBe('heavy');
    const [cgroup = ''] = cgroupsOf(pod.metadata.uid ?? '');
    const limit = ['memory.limit_in_bytes', 'memory.max'].map((file) => join(cgroup, file)).find(existsSync);
    expect(Number(readFileSync(limit ?? '', 'utf8'))).toBe(80 * 2 ** 20);
  });

  it('runs images by digest, and pulls as the policy of a container says', async () => {
    const digest = registry?.digests.open ?? '';
    const byDigest = stateOf(await untilReady('by-digest'));
    expect(byDigest?.imageID).toContain(digest);
    const image = `127.0.0.1:${REGISTRY_PORT}/always:1`;
    await untilReady('always');
    const size = ' Image size: \\d+ bytes\\.';
    const pulled = new RegExp(
      `^Pulled Successfully pulled image "${image}" in \\S+ \\(\\S+ including waiting\\)\\.${size}$`,
    );
    await untilEvent('always', `Pulling Pulling image "${image}"`);
    await waitUntil('the pull', WAIT_MS, async () => (await eventsOf('always')).some((event) => pulled.test(event)));
    const present = `Container image "${BUSYBOX_IMAGE}" already present on machine and can be accessed by the pod`;
    await untilEvent('linked', `Pulled ${present}`);
    const never = 'Container image "coracle.test/absent:1" is not present with pull policy of Never';
    await untilEvent('never', `ErrImageNeverPull ${never}`);
    await untilEvent('never', 'Failed Error: ErrImageNeverPull');
    expect(stateOf(await podNow('never'))?.state?.waiting).toEqual({ reason: 'ErrImageNeverPull', message: never });
  });

  it.each(['of-pod', 'of-account', 'of-node', 'of-plugin'])('pulls with the credentials %s', async (name) => {
    await untilReady(name);
  });

  it('pulls nothing without the right credentials, and waits longer from try to try', async () => {
    const { status } = await untilPod(
      'of-nobody',
      'waits',
      (pod) => stateOf(pod)?.state?.waiting?.reason === 'ImagePullBackOff',
    );
    const [container] = status?.containerStatuses ?? [];
    expect(container?.state?.waiting?.message).toMatch(/^Back-off pulling image ".*of-nobody:1": ErrImagePull: .*401/);
    await untilEvent('of-nobody', 'Failed Error: ImagePullBackOff');
    const missing =
      'Unable to retrieve some image pull secrets (nowhere); attempting to pull the image may not succeed.';
    await untilEvent('of-nobody', `FailedToRetrieveImagePullSecret ${missing}`);
    const { stderr } = await cluster.kubectl(['logs', 'of-nobody']);
    expect(stderr).toContain(
      'container "main" in pod "of-nobody" is waiting to start: trying and failing to pull image',
    );
  });

  it('keeps what was pulled with credentials from pods that lack them, after a restart of the agent too', async () => {
    await untilReady('of-pod');
    await untilReady('of-node');
    await cluster.agents[0]!.kill();
    await cluster.agents[0]!.restart();
    const imageOf = (repository: string) => `127.0.0.1:${REGISTRY_PORT}/${repository}:1`;
    const use = (name: string, repository: string, policy: object, secret = 'of-account') =>
      create({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name },
        spec: {
          terminationGracePeriodSeconds: 1,
          imagePullSecrets: [{ name: secret }],
          containers: [{ name: 'main', image: imageOf(repository), ...policy }],
        },
      });
    const never = { imagePullPolicy: 'Never' };
    await use('stranger', 'of-pod', {});
    await use('quiet-stranger', 'of-pod', never);
    await use('anybody', 'of-node', never);
    await use('friend', 'of-pod', never, 'of-pod');
    await untilReady('friend');
    await untilReady('anybody');
    const { status } = await untilPod(
      'stranger',
      'waits',
      (pod) => stateOf(pod)?.state?.waiting?.reason === 'ImagePullBackOff',
    );
    expect(status?.containerStatuses?.[0]?.state?.waiting?.message).toMatch(/^Back-off pulling image ".*401/);
    await untilEvent('stranger', `Pulling Pulling image "${imageOf('of-pod')}"`);
    const message = `Container image "${imageOf('of-pod')}" is not present with pull policy of Never`;
    await untilEvent('quiet-stranger', `ErrImageNeverPull ${message}`);
    await untilEvent('quiet-stranger', 'Failed Error: ErrImageNeverPull');
    const quiet = stateOf(await podNow('quiet-stranger'))?.state?.waiting;
    expect(quiet).toEqual({ reason: 'ErrImageNeverPull', message });
  });

  it('runs pods from a folder of the node, and shows them', async () => {
    const spec: PodSpec = { containers: [{ name: 'main', image: BUSYBOX_IMAGE }], terminationGracePeriodSeconds: 1 };
    const manifest = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'fixed' }, spec };
    await mkdir(join(settings, 'manifests'), { recursive: true });
    const path = join(settings, 'manifests', 'fixed.yaml');
    await writeFile(path, JSON.stringify(manifest));
    await waitUntil(
      'the mirror',
      WAIT_MS,
      async () => (await cluster.kubectl(['get', 'pod', 'fixed-node-0'])).code === 0,
    );
    const mirror = await untilReady('fixed-node-0');
    expect(mirror.metadata.annotations).toHaveProperty(['kubernetes.io/config.mirror']);
    const id = stateOf(mirror)?.containerID;
    await ok('delete', 'pod', 'fixed-node-0', '--force', '--grace-period=0');
    await waitUntil('another mirror', WAIT_MS, async () => {
      const { code, stdout } = await cluster.kubectl(['get', 'pod', 'fixed-node-0', '-o', 'json']);
      if (code !== 0) return false;
      const found = JSON.parse(stdout) as Pod;
      // Another object, and still the same container.
      return found.metadata.uid !== mirror.metadata.uid && stateOf(found)?.containerID === id;
    });
    await rm(path);
    await waitUntil('its end', WAIT_MS, async () => (await cluster.kubectl(['get', 'pod', 'fixed-node-0'])).code !== 0);
  });

  describe('and those who talk to it', () => talkToNode(() => cluster));
});

/** Folders of the pod's cgroup that hold its limits of memory, those of its containers left out. */
function cgroupsOf(uid: string): string[] {
  const found = new Set<string>();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const path = join('/proc', pid, 'cgroup');
    const lines = existsSync(path) ? readQuietly(path).split('\n') : [];
    for (const line of lines) {
      const [, controllers = '', cgroup = ''] = line.split(':');
      const at = cgroup.split('/').findIndex((part) => part.replaceAll('_', '-').includes(uid));
      if (at < 0 || !['memory', ''].includes(controllers)) continue;
      found.add(join('/sys/fs/cgroup', controllers, ...cgroup.split('/').slice(0, at + 1)));
    }
  }
  return [...found];
}

/** Empty where the process has ended meanwhile. */
function readQuietly(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

const auths = (owner: string) => ({
  [`127.0.0.1:${REGISTRY_PORT}/${owner}`]: { auth: Buffer.from(`${owner}:secret`).toString('base64') },
});

const pullSecret = (owner: string) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: owner },
  type: 'kubernetes.io/dockerconfigjson',
  stringData: { '.dockerconfigjson': JSON.stringify({ auths: auths(owner) }) },
});

/** Every container may write to the pod's folder of the host, which outlives it. */
const withLog = (spec: PodSpec, path: string): PodSpec => ({
  terminationGracePeriodSeconds: 1,
  ...spec,
  volumes: [...(spec.volumes ?? []), { name: 'log', hostPath: { path, type: 'DirectoryOrCreate' } }],
});

async function writeCredentialPlugin(folder: string): Promise<void> {
  const apiVersion = 'credentialprovider.kubelet.k8s.io/v1';
  const auth = { [`127.0.0.1:${REGISTRY_PORT}/of-plugin`]: { username: 'of-plugin', password: 'secret' } };
  const answer = { apiVersion, kind: 'CredentialProviderResponse', cacheKeyType: 'Image', auth };
  await writeFile(join(folder, 'plugin'), `#!/bin/sh\ncat > /dev/null\necho '${JSON.stringify(answer)}'\n`);
  await chmod(join(folder, 'plugin'), 0o755);
  const provider = { name: 'plugin', apiVersion, matchImages: [`127.0.0.1:${REGISTRY_PORT}/of-plugin`] };
  const config = {
    apiVersion: 'kubelet.config.k8s.io/v1',
    kind: 'CredentialProviderConfig',
    providers: [{ ...provider, defaultCacheDuration: '1m' }],
  };
  await writeFile(join(folder, 'plugins.yaml'), JSON.stringify(config));
}

async function certificate(folder: string): Promise<object> {
  const dir = join(folder, 'pki');
  await mkdir(dir);
  const { serving } = await openClusterPki({
    dir,
    clock: systemClock,
    log: silentLogger,
    hostnames: ['localhost'],
    addresses: ['127.0.0.1'],
    serviceIp: '10.96.0.1',
    clusterDomain: 'cluster.local',
  });
  const stringData = { 'tls.crt': serving.certificatePem, 'tls.key': serving.privateKeyPem };
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'tls' }, type: 'kubernetes.io/tls', stringData };
}
