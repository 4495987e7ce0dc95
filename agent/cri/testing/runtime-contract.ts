import { expect, it } from 'vitest';
import type { ContainerConfig, ContainerRuntime, ContainerSecurity, RuntimeEvent, SandboxConfig } from '../runtime.ts';

/** What a test run needs of one implementation. */
export interface RuntimeUnderTest {
  readonly runtime: ContainerRuntime;
  /** Present; its shell is `/bin/sh` where the runtime is a real one. */
  readonly image: string;
  /** Unique per run. */
  readonly podUid: (n: number) => string;
  readonly logRoot: string;
  /** Ends the container's main process with this exit code. */
  exit(containerId: string, exitCode: number): Promise<void>;
}

const SECURITY: ContainerSecurity = {
  privileged: false,
  runAsUser: undefined,
  runAsGroup: undefined,
  supplementalGroups: [],
  readOnlyRootFilesystem: false,
  allowPrivilegeEscalation: true,
  addCapabilities: [],
  dropCapabilities: [],
  seccomp: undefined,
  apparmor: undefined,
  maskedPaths: undefined,
  readonlyPaths: undefined,
};

export function sandboxConfig(uid: string, logRoot: string, attempt = 0): SandboxConfig {
  return {
    identity: { name: `pod-${uid}`, namespace: 'default', uid, attempt },
    hostname: '',
    logDirectory: `${logRoot}/${uid}`,
    dns: undefined,
    portMappings: [],
    labels: { 'io.kubernetes.pod.uid': uid },
    annotations: {},
    cgroupParent: '',
    sysctls: {},
    namespaces: { network: 'NODE', pid: 'CONTAINER', ipc: 'POD' },
    privileged: false,
    security: SECURITY,
  };
}

/** A shell that obeys: exits with the number that a test writes into /exit. */
const OBEDIENT = ['/bin/sh', '-c', 'while [ ! -e /exit ]; do sleep 0.02; done; exit $(cat /exit)'];

export function containerConfig(
  image: string,
  name: string,
  overrides: Partial<ContainerConfig> = {},
): ContainerConfig {
  return {
    name,
    attempt: 0,
    image,
    command: OBEDIENT,
    args: [],
    workingDir: '',
    env: [{ key: 'GREETING', value: 'grüß' }],
    mounts: [],
    labels: { 'io.kubernetes.container.name': name },
    annotations: { 'coracle.dev/test': 'yes' },
    logPath: `${name}/0.log`,
    stdin: false,
    stdinOnce: false,
    tty: false,
    namespaces: { network: 'NODE', pid: 'CONTAINER', ipc: 'POD' },
    security: SECURITY,
    resources: { cpuShares: 2, cpuQuota: 0, cpuPeriod: 100_000, memoryLimitBytes: 0, oomScoreAdj: 1000 },
    ...overrides,
  };
}

/** The behaviour that the kubelet relies on. Each implementation calls this inside its own describe block. */
export function runtimeContract(under: () => RuntimeUnderTest): void {
  let pods = 0;
  const startPod = async (name = 'main') => {
    const { runtime, image, podUid, logRoot } = under();
    const config = sandboxConfig(podUid(++pods), logRoot);
    const sandboxId = await runtime.runSandbox(config, '');
    const containerId = await runtime.createContainer(sandboxId, containerConfig(image, name), config);
    return { config, sandboxId, containerId };
  };

  it('names itself and its API version', async () => {
    expect(await under().runtime.version()).toMatchObject({ name: expect.stringMatching(/./), apiVersion: 'v1' });
  });

  it('reports whether runtime and network are ready', async () => {
    const conditions = await under().runtime.status();
    expect(conditions.map(({ type }) => type)).toEqual(expect.arrayContaining(['RuntimeReady', 'NetworkReady']));
  });

  it('lists a sandbox with its identity, labels and readiness', async () => {
    const { runtime } = under();
    const { config, sandboxId } = await startPod();
    const listed = (await runtime.listSandboxes()).find(({ id }) => id === sandboxId);
    expect(listed).toMatchObject({ identity: config.identity, ready: true, labels: config.labels });
    expect(await runtime.sandboxStatus(sandboxId)).toMatchObject({ id: sandboxId, ready: true, ips: [] });
  });

  it('refuses a second sandbox of the same attempt with code 6, and takes the next attempt', async () => {
    const { runtime, logRoot } = under();
    const { config } = await startPod();
    await expect(runtime.runSandbox(config, '')).rejects.toMatchObject({ name: 'CriError', code: 6 });
    const next = sandboxConfig(config.identity.uid, logRoot, 1);
    expect(await runtime.runSandbox(next, '')).not.toBe('');
  });

  it('refuses a second container of the same attempt with code 6', async () => {
    const { runtime, image } = under();
    const { config, sandboxId } = await startPod();
    const again = runtime.createContainer(sandboxId, containerConfig(image, 'main'), config);
    await expect(again).rejects.toMatchObject({ name: 'CriError', code: 6 });
  });

  it('takes a container from created over running to exited with its code', async () => {
    const { runtime, exit } = under();
    const { sandboxId, containerId } = await startPod();
    expect(await runtime.containerStatus(containerId)).toMatchObject({ state: 'CREATED', sandboxId });
    await runtime.startContainer(containerId);
    const running = await runtime.containerStatus(containerId);
    expect(running).toMatchObject({ state: 'RUNNING', name: 'main', attempt: 0, finishedAtMs: 0 });
    expect(running.startedAtMs).toBeGreaterThan(0);
    await exit(containerId, 7);
    await expect
      .poll(() => runtime.containerStatus(containerId), { timeout: 30_000 })
      .toMatchObject({ state: 'EXITED', exitCode: 7, reason: 'Error' });
    const listed = (await runtime.listContainers()).find(({ id }) => id === containerId);
    expect(listed).toMatchObject({ state: 'EXITED', sandboxId, labels: { 'io.kubernetes.container.name': 'main' } });
  });

  it('tells of an exit by an event, after which the status shows it', async () => {
    const { runtime, exit } = under();
    const { containerId } = await startPod();
    await runtime.startContainer(containerId);
    const stop = new AbortController();
    const { promise, resolve } = Promise.withResolvers<string>();
    const onEvent = (event: RuntimeEvent) => {
      if (event.kind === 'containerExited' && event.containerId === containerId)
        resolve(runtime.containerStatus(containerId).then(({ state }) => state));
    };
    runtime.watchEvents(onEvent, stop.signal);
    // A server tells nothing when a subscription stands, so one call after it has to do as a fence.
    await runtime.execSync(containerId, ['/bin/sh', '-c', 'true'], 10);
    await exit(containerId, 0);
    expect(await promise).toBe('EXITED');
    stop.abort();
  });

  it('stops and removes containers, also ones that are gone', async () => {
    const { runtime } = under();
    const { containerId } = await startPod();
    await runtime.startContainer(containerId);
    await runtime.stopContainer(containerId, 0);
    expect(await runtime.containerStatus(containerId)).toMatchObject({ state: 'EXITED', exitCode: 137 });
    await runtime.stopContainer(containerId, 0);
    await runtime.removeContainer(containerId);
    await runtime.removeContainer(containerId);
    await runtime.stopContainer(containerId, 0);
    await expect(runtime.containerStatus(containerId)).rejects.toMatchObject({ name: 'CriError', code: 5 });
  });

  it('stops a sandbox with its containers and removes both, also twice', async () => {
    const { runtime } = under();
    const { sandboxId, containerId } = await startPod();
    await runtime.startContainer(containerId);
    await runtime.stopSandbox(sandboxId);
    expect((await runtime.sandboxStatus(sandboxId)).ready).toBe(false);
    await expect
      .poll(async () => (await runtime.containerStatus(containerId)).state, { timeout: 30_000 })
      .toBe('EXITED');
    await runtime.removeSandbox(sandboxId);
    await runtime.removeSandbox(sandboxId);
    await runtime.stopSandbox(sandboxId);
    expect((await runtime.listSandboxes()).map(({ id }) => id)).not.toContain(sandboxId);
    expect((await runtime.listContainers()).map(({ id }) => id)).not.toContain(containerId);
  });

  it('refuses an unknown image with code 5', async () => {
    const { runtime } = under();
    const { sandboxId, config } = await startPod();
    const missing = runtime.createContainer(sandboxId, containerConfig('coracle.test/absent:1', 'other'), config);
    await expect(missing).rejects.toMatchObject({ name: 'CriError', code: 5 });
  });

  it('finds an image by name and by id, and knows an absent one', async () => {
    const { runtime, image } = under();
    const found = await runtime.imageStatus(image);
    expect(found).toMatchObject({ repoTags: [image] });
    expect((await runtime.imageStatus(found!.id))?.id).toBe(found!.id);
    expect((await runtime.listImages()).map(({ id }) => id)).toContain(found!.id);
    expect(await runtime.imageStatus('coracle.test/absent:1')).toBeUndefined();
    await runtime.removeImage('coracle.test/absent:1');
  });

  it('gives single-use streaming URLs', async () => {
    const { runtime } = under();
    const { sandboxId, containerId } = await startPod();
    await runtime.startContainer(containerId);
    const streams = { tty: false, stdin: true, stdout: true, stderr: true };
    const urls = [
      await runtime.execUrl({ id: containerId, command: ['true'], ...streams }),
      await runtime.attachUrl({ id: containerId, ...streams }),
      await runtime.portForwardUrl(sandboxId, [80]),
    ];
    for (const url of urls) expect(new URL(url).protocol).toBe('http:');
    expect(new Set(urls).size).toBe(3);
  });

  it('changes the limits of a running container, and of none that is not there', async () => {
    const { runtime } = under();
    const { containerId } = await startPod();
    await runtime.startContainer(containerId);
    const memoryLimitBytes = 64 * 2 ** 20;
    const resources = { cpuShares: 512, cpuQuota: 20_000, cpuPeriod: 100_000, memoryLimitBytes, oomScoreAdj: 1000 };
    await runtime.updateResources(containerId, resources);
    const told = (await runtime.containerStatus(containerId)).resources;
    // containerd tells since 1.7.
    if (told !== undefined) expect(told).toMatchObject({ cpuQuota: 20_000, memoryLimitBytes });
    await expect(runtime.updateResources('absent', resources)).rejects.toMatchObject({ name: 'CriError', code: 5 });
  });

  it('tells what it can do and where its images are', async () => {
    const { runtime } = under();
    expect(Array.isArray((await runtime.features()).handlers)).toBe(true);
    expect([undefined, 'cgroupfs', 'systemd']).toContain(await runtime.cgroupDriver());
    expect((await runtime.imageFileSystem())?.mountPoint).toMatch(/^\//);
  });

  it('accounts running containers', async () => {
    const { runtime } = under();
    const { sandboxId, containerId } = await startPod();
    await runtime.startContainer(containerId);
    const stats = (await runtime.listContainerStats()).find((entry) => entry.containerId === containerId);
    expect(stats).toMatchObject({ name: 'main', sandboxId });
    expect(stats!.memoryWorkingSetBytes).toBeGreaterThan(0);
    expect(stats!.readAtMs).toBeGreaterThan(0);
  });
}
