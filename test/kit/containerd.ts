import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type CriRuntime, createCriRuntime } from '#agent/cri/cri-runtime.ts';
import { type ContainerdInstance, startContainerdInstance } from '#agent/host/containerd-instance.ts';
import type { Executor, Host } from '#agent/host/host.ts';
import { createLinuxHost } from '#agent/host/linux-host.ts';
import { delay, systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { programFoldersOfEnvironment, withPrograms } from './containerd-releases.ts';
import { renderBusyboxArchive } from './image-archive.ts';
import { endProcesses, removePodLeftovers, unmountBelow } from './pod-leftovers.ts';

export interface TestContainerd extends ContainerdInstance {
  /** Temporary folder of this instance: root, state, logs, CNI configuration. */
  readonly folder: string;
  readonly socketPath: string;
  readonly cniConfigDirectory: string;
  readonly runtime: CriRuntime;
  readonly host: Host;
  /** kill -9 of the daemon; containers go on under their shims. */
  kill(): Promise<void>;
  /** Starts the daemon again on the same folders. */
  restart(): Promise<void>;
  /** Ends all sandboxes and the daemon, unmounts what they left and deletes the folder. */
  stop(): Promise<void>;
}

export interface TestContainerdOptions {
  /** A bridge of its own with addresses from this subnet, e.g. `10.88.0.0/24`; without it only host-network sandboxes run. */
  readonly podSubnet?: string;
  readonly bridgeName?: string;
  /** Runs the daemon in this network namespace. */
  readonly networkNamespace?: string;
  readonly withBusybox?: boolean;
  /** Where containerd, its shims and runc are looked for before the host's own. */
  readonly programFolders?: readonly string[];
}

/** undefined when tests can run real containers here, else what is missing. */
export function missingForContainerd(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root';
  for (const path of ['/usr/bin/containerd', '/usr/sbin/runc', '/bin/busybox', '/usr/lib/cni/bridge'])
    if (!existsSync(path)) return `${path} is missing`;
  return undefined;
}

/** A private containerd that nobody else on the machine sees. */
export async function startTestContainerd(options: TestContainerdOptions = {}): Promise<TestContainerd> {
  const { networkNamespace, withBusybox = true, programFolders = programFoldersOfEnvironment() } = options;
  const folder = await mkdtemp('/tmp/coracle-containerd-');
  // Whoever is root in a user namespace of a pod is nobody here, and must find the way to its files.
  await chmod(folder, 0o711);
  const host = withTheirs(createLinuxHost(), programFolders);
  const cniConfigDirectory = `${folder}/cni`;
  await mkdir(cniConfigDirectory);
  if (options.podSubnet !== undefined)
    await writeFile(`${cniConfigDirectory}/10-test.conflist`, renderCniConfig(folder, options));
  const socketPath = `${folder}/containerd.sock`;
  const start = () =>
    startContainerdInstance({
      exec: host.exec,
      fs: host.fs,
      clock: systemClock,
      log: silentLogger,
      rootDirectory: `${folder}/root`,
      stateDirectory: `${folder}/state`,
      socketPath,
      configPath: `${folder}/config.toml`,
      logPath: `${folder}/containerd.log`,
      cniConfigDirectory,
      registryConfigDirectory: `${folder}/registries`,
      commandPrefix: [
        ...(networkNamespace === undefined ? [] : ['ip', 'netns', 'exec', networkNamespace]),
        // The shims and runc are looked up in it.
        ...['env', `PATH=${withPrograms(programFolders).PATH}`],
      ],
    });
  let instance = await start();
  const runtime = createCriRuntime({ endpoint: instance.endpoint, clock: systemClock, log: silentLogger });
  if (withBusybox) await instance.importArchive(renderBusyboxArchive());
  const kill = async () => {
    if (instance.pid !== undefined) await killAndWait(instance.pid);
  };
  return {
    ...instance,
    importArchive: (archive) => instance.importArchive(archive),
    folder,
    socketPath,
    cniConfigDirectory,
    runtime,
    host,
    kill,
    async restart() {
      await kill();
      instance = await start();
    },
    async stop() {
      try {
        for (const { id } of await runtime.listSandboxes()) {
          await runtime.stopSandbox(id);
          await runtime.removeSandbox(id);
        }
      } finally {
        runtime.close();
        await kill();
        endProcesses(`${folder}/`);
        unmountBelow(folder);
        await removePodLeftovers(`${folder}/root`);
        await deleteBridge(host, options);
        await rm(folder, { recursive: true, force: true });
      }
    },
  };
}

/** The host, with these programs in place of its own. */
function withTheirs(host: Host, folders: readonly string[]): Host {
  const find = async (program: string) =>
    folders.map((folder) => `${folder}/${program}`).find((path) => existsSync(path)) ?? host.exec.find(program);
  const run: Executor['run'] = async ([program, ...args], options) =>
    host.exec.run([program.includes('/') ? program : ((await find(program)) ?? program), ...args], options);
  return { ...host, exec: { ...host.exec, find, run } };
}

function renderCniConfig(folder: string, { podSubnet, bridgeName = 'cortest0' }: TestContainerdOptions): string {
  return JSON.stringify({
    cniVersion: '0.4.0',
    name: 'test',
    plugins: [
      {
        type: 'bridge',
        bridge: bridgeName,
        isGateway: true,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir: `${folder}/ipam`,
          ranges: [[{ subnet: podSubnet }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  });
}

/** The bridge plug-in leaves its bridge behind. */
async function deleteBridge(
  host: Host,
  { podSubnet, bridgeName = 'cortest0', networkNamespace }: TestContainerdOptions,
) {
  const inNamespace = networkNamespace === undefined ? [] : ['-n', networkNamespace];
  const show = await host.exec.run(['ip', ...inNamespace, '-o', 'link', 'show']);
  if (podSubnet === undefined || !show.stdout.includes(` ${bridgeName}: `)) return;
  await host.exec.run(['ip', ...inNamespace, 'link', 'delete', bridgeName]);
}

async function killAndWait(pid: number): Promise<void> {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ESRCH') return;
    throw err;
  }
  // Not until it is a zombie: that is its first thread alone, while the others still hold the socket open and would answer who starts it anew.
  while (existsSync(`/proc/${pid}`)) await delay(systemClock, 10);
}
