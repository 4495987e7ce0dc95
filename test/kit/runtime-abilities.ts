import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createGrpcCaller } from '#agent/cri/grpc-caller.ts';
import { type ContainerConfig, CriError, type NamespaceModes } from '#agent/cri/runtime.ts';
import { containerConfig, sandboxConfig } from '#agent/cri/testing/runtime-contract.ts';
import { loadWireProtocol } from '#agent/cri/wire-protocol.ts';
import { delay, systemClock } from '#base/clock.ts';
import type { TestContainerd } from './containerd.ts';
import { BUSYBOX_IMAGE } from './image-archive.ts';

/** What not every runtime can do, found by doing it. The names are those of the rows of docs/runtimes.md. */
const PROBES: Readonly<Record<string, (lab: RuntimeLab) => Promise<boolean>>> = {
  'CRI event stream': tellsExits,
  'Resources of a container in its status': async (lab) => (await lab.status()).resources !== undefined,
  'User and groups of a container in its status': async (lab) => (await lab.status()).user !== undefined,
  'Pinned images are told': async ({ containerd }) =>
    (await containerd.runtime.listImages()).some(({ pinned }) => pinned),
  'cgroup driver is told': async ({ containerd }) => (await containerd.runtime.cgroupDriver()) !== undefined,
  'CDI devices': obeysCdi,
  'Strict supplemental groups': isStrictAboutGroups,
  'Recursive read-only mounts': protectsMountsBelow,
  'User namespaces': hasUserNamespaces,
  Checkpoints: knowsCheckpoints,
  'Image volumes': async (lab) => (await lab.imageVolume('')).includes('bin'),
  'Sub-paths of image volumes': async (lab) => (await lab.imageVolume('etc')).startsWith('group'),
  'Stop signal of the pod': obeysStopSignal,
};

interface RuntimeLab {
  readonly containerd: TestContainerd;
  /** Starts a container in the one sandbox of the lab, or in another one where it is to have other namespaces. */
  start(overrides?: Partial<ContainerConfig>, namespaces?: Partial<NamespaceModes>): Promise<string>;
  /** What a command prints in a running container. */
  print(id: string, command: string): Promise<string>;
  status(): ReturnType<TestContainerd['runtime']['containerStatus']>;
  /** What is in an image that is mounted into a container. */
  imageVolume(subPath: string): Promise<string>;
}

/** Rejects where the runtime does something that none does, such as to fail in a way of its own. */
export async function findAbilities(containerd: TestContainerd): Promise<Readonly<Record<string, boolean>>> {
  const lab = await createLab(containerd);
  const found: Record<string, boolean> = {};
  for (const [name, probe] of Object.entries(PROBES)) found[name] = await probe(lab);
  return found;
}

async function createLab(containerd: TestContainerd): Promise<RuntimeLab> {
  const { runtime, folder } = containerd;
  const base = sandboxConfig(randomUUID(), `${folder}/logs`);
  const shared = { config: base, id: await runtime.runSandbox(base, '') };
  const ownSandbox = async (namespaces: NamespaceModes) => {
    const config = { ...sandboxConfig(randomUUID(), `${folder}/logs`), namespaces };
    return { config, id: await runtime.runSandbox(config, '') };
  };
  const start: RuntimeLab['start'] = async (overrides = {}, changed) => {
    const namespaces = { ...base.namespaces, ...changed };
    const sandbox = changed === undefined ? shared : await ownSandbox(namespaces);
    const config = containerConfig(BUSYBOX_IMAGE, `c-${randomUUID()}`, {
      command: ['sleep', 'infinity'],
      ...overrides,
    });
    const id = await runtime.createContainer(sandbox.id, { ...config, namespaces }, sandbox.config);
    await runtime.startContainer(id);
    return id;
  };
  const print: RuntimeLab['print'] = async (id, command) => {
    const { stdout } = await runtime.execSync(id, ['/bin/sh', '-c', command], 30);
    return Buffer.from(stdout).toString().trim();
  };
  const plain = await start();
  return {
    containerd,
    start,
    print,
    status: () => runtime.containerStatus(plain),
    async imageVolume(subPath) {
      const image = { id: (await runtime.imageStatus(BUSYBOX_IMAGE))!.id, subPath };
      const mount = { containerPath: '/image', hostPath: '', readOnly: true, propagation: 'PRIVATE', image } as const;
      try {
        return await print(await start({ mounts: [mount] }), 'ls /image');
      } catch (err) {
        if (err instanceof CriError && err.message.includes('failed to mkdir ""')) return '';
        throw err;
      }
    },
  };
}

async function tellsExits({ containerd, start }: RuntimeLab): Promise<boolean> {
  const caller = createGrpcCaller({ endpoint: `unix://${containerd.socketPath}`, clock: systemClock });
  const stop = new AbortController();
  const told = Promise.withResolvers<boolean>();
  const onMessage = () => told.resolve(true);
  const options = { onMessage, signal: stop.signal };
  caller.serverStream(loadWireProtocol().runtime, 'GetContainerEvents', {}, options).catch((err: unknown) => {
    if (err instanceof CriError && err.code === 12) told.resolve(false);
    else told.reject(err);
  });
  try {
    // The first one may have begun before the stream did.
    const another = async () => {
      while (!stop.signal.aborted) await start({ command: ['true'] });
    };
    const starting = another();
    const isTold = await told.promise;
    stop.abort();
    await starting;
    return isTold;
  } finally {
    stop.abort();
    caller.close();
  }
}

async function obeysCdi({ start, print }: RuntimeLab): Promise<boolean> {
  const kind = `coracle.test/d-${randomUUID()}`;
  const path = `/var/run/cdi/${kind.replace('/', '-')}.json`;
  await mkdir('/var/run/cdi', { recursive: true });
  const devices = [{ name: 'one', containerEdits: { env: ['CDI_DEVICE=yes'] } }];
  await writeFile(path, JSON.stringify({ cdiVersion: '0.5.0', kind, devices }));
  try {
    return (await print(await startOnce(() => start({ cdiDevices: [`${kind}=one`] })), 'echo $CDI_DEVICE')) === 'yes';
  } finally {
    await rm(path);
  }
}

/** A runtime hears of a new device in its own time. */
async function startOnce(start: () => Promise<string>): Promise<string> {
  for (let tries = 0; ; tries++) {
    try {
      return await start();
    } catch (err) {
      if (tries === 50 || !(err instanceof CriError && err.message.includes('unresolvable CDI'))) throw err;
      await delay(systemClock, 100);
    }
  }
}

/** The image has nobody in the group 60. */
async function isStrictAboutGroups({ containerd, start, print }: RuntimeLab): Promise<boolean> {
  const { supplementalGroupsPolicy } = await containerd.runtime.features();
  const security = containerConfig(BUSYBOX_IMAGE, 'x').security;
  const groupsWith = async (policy: 'Merge' | 'Strict') =>
    print(await start({ security: { ...security, runAsUser: 65534, supplementalGroupsPolicy: policy } }), 'id -G');
  if (!(await groupsWith('Merge')).split(' ').includes('60')) throw new Error('groups of the image are not given');
  return isAsTold(supplementalGroupsPolicy, !(await groupsWith('Strict')).split(' ').includes('60'));
}

async function protectsMountsBelow({ containerd, start, print }: RuntimeLab): Promise<boolean> {
  const { handlers } = await containerd.runtime.features();
  const hostPath = await mkdtemp(`${containerd.folder}/mounts-`);
  await mkdir(`${hostPath}/below`);
  await containerd.host.exec.run(['mount', '-t', 'tmpfs', 'tmpfs', `${hostPath}/below`]);
  const mount = {
    containerPath: '/m',
    hostPath,
    readOnly: true,
    recursiveReadOnly: true,
    propagation: 'PRIVATE',
  } as const;
  const said = await print(await start({ mounts: [mount] }), 'touch /m/below/x 2>&1 || true');
  return isAsTold(handlers[0]?.recursiveReadOnlyMounts, said.includes('Read-only'));
}

async function hasUserNamespaces({ containerd, start, print }: RuntimeLab): Promise<boolean> {
  const { handlers } = await containerd.runtime.features();
  const hostPath = await mkdtemp(`${containerd.folder}/volume-`);
  const mount = { containerPath: '/v', hostPath, readOnly: false, propagation: 'PRIVATE' } as const;
  const userMappings = [{ hostId: 655_360, containerId: 0, length: 65_536 }];
  let works = false;
  try {
    const id = await start({ mounts: [mount] }, { network: 'POD', userMappings });
    works = /^0 +655360 +65536 0$/.test(
      await print(id, 'touch /v/f; echo $(cat /proc/self/uid_map) $(stat -c %u /v/f)'),
    );
  } catch (err) {
    if (!(err instanceof CriError && err.message.includes('idmap mounts'))) throw err;
  }
  return isAsTold(handlers[0]?.userNamespaces, works);
}

/** Whether one can be made depends on the host (criu, capabilities); a runtime that knows none says so. */
async function knowsCheckpoints({ containerd, status }: RuntimeLab): Promise<boolean> {
  try {
    await containerd.runtime.checkpointContainer((await status()).id, `${containerd.folder}/checkpoint.tar`, 30);
    return true;
  } catch (err) {
    if (!(err instanceof CriError)) throw err;
    return err.code !== 12;
  }
}

async function obeysStopSignal({ containerd, start }: RuntimeLab): Promise<boolean> {
  const script = 'trap "exit 5" USR1; trap "exit 6" TERM; touch /ready; while :; do sleep 0.02; done';
  const id = await start({ stopSignal: 'SIGUSR1', command: ['/bin/sh', '-c', script] });
  await containerd.runtime.execSync(id, ['/bin/sh', '-c', 'until [ -e /ready ]; do sleep 0.02; done'], 30);
  await containerd.runtime.stopContainer(id, 30);
  return (await containerd.runtime.containerStatus(id)).exitCode === 5;
}

/** The agent believes what a runtime tells of itself. */
function isAsTold(told: boolean | undefined, seen: boolean): boolean {
  if (seen !== (told ?? false)) throw new Error(`the runtime tells ${told}, and does ${seen}`);
  return seen;
}
