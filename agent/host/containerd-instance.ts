import { spawn } from 'node:child_process';
import { open, readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { type Clock, delay } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import { type ContainerdConfigOptions, containerdConfigVersion, renderContainerdConfig } from './containerd-config.ts';
import type { Executor, FileSystem } from './host.ts';
import { PAUSE_IMAGE, renderPauseArchive } from './pause-image.ts';

export interface ContainerdInstanceOptions {
  readonly exec: Executor;
  readonly fs: FileSystem;
  readonly clock: Clock;
  readonly log: Logger;
  /** Images and snapshots; survives reboots. */
  readonly rootDirectory: string;
  /** On a tmpfs. */
  readonly stateDirectory: string;
  readonly socketPath: string;
  readonly configPath: string;
  readonly logPath: string;
  readonly cniConfigDirectory: string;
  readonly registryConfigDirectory: string;
  /** Found by trying the distributions' places when absent. */
  readonly cniBinDirectory?: string;
  readonly snapshotter?: 'overlayfs' | 'native';
  /** Written before the program, e.g. `ip netns exec n1`. */
  readonly commandPrefix?: readonly string[];
}

export interface ContainerdInstance {
  /** For createCriRuntime. */
  readonly endpoint: string;
  /** undefined when an instance was already answering on the socket. */
  readonly pid: number | undefined;
  /** Imports a docker archive into the namespace that CRI sees. */
  importArchive(archive: Uint8Array): Promise<void>;
}

const CNI_BIN_DIRECTORIES = ['/usr/lib/cni', '/opt/cni/bin', '/usr/libexec/cni'];
const START_TIMEOUT_MS = 30_000;
const POLL_MS = 50;
const CAP_SYS_RESOURCE = 24n;

/** Writes configuration for the containerd of this host, without starting anything. Returns the program's path. */
export async function prepareContainerd(options: ContainerdInstanceOptions): Promise<string> {
  const { exec, fs } = options;
  const program = await exec.find('containerd');
  if (program === undefined) throw new Error('containerd is not installed (package containerd)');
  const { stdout: version } = await exec.run([program, '--version']);
  for (const path of [options.rootDirectory, options.stateDirectory]) await fs.makeDirectory(path, 0o711);
  for (const path of [options.socketPath, options.configPath, options.logPath]) await fs.makeDirectory(dirname(path));
  await fs.makeDirectory(options.cniConfigDirectory);
  await fs.makeDirectory(options.registryConfigDirectory);
  const config: ContainerdConfigOptions = {
    configVersion: containerdConfigVersion(version),
    rootDirectory: options.rootDirectory,
    stateDirectory: options.stateDirectory,
    socketPath: options.socketPath,
    sandboxImage: PAUSE_IMAGE,
    cniBinDirectory: options.cniBinDirectory ?? (await findCniBinDirectory(fs)),
    cniConfigDirectory: options.cniConfigDirectory,
    registryConfigDirectory: options.registryConfigDirectory,
    snapshotter: options.snapshotter ?? (await probeSnapshotter(options)),
    systemdCgroup: await isSystemdCgroupHost(fs),
    restrictOomScoreAdj: !(await hasSysResource()),
  };
  await fs.writeAtomic(options.configPath, renderContainerdConfig(config));
  return program;
}

/**
 * Our own containerd: answers on the socket when this resolves, with the sandbox image imported. It is detached, so that it and its pods
 * outlive the agent; where systemd runs it as a unit, it is found answering and nothing is started.
 */
export async function startContainerdInstance(options: ContainerdInstanceOptions): Promise<ContainerdInstance> {
  const { socketPath, log } = options;
  let pid: number | undefined;
  if (!(await isAnswering(socketPath))) {
    const program = await prepareContainerd(options);
    pid = await spawnDetached(
      [...(options.commandPrefix ?? []), program, '--config', options.configPath],
      options.logPath,
    );
    log.info('containerd started', { pid, socketPath });
    await waitUntilAnswering(options);
  }
  const importArchive = (archive: Uint8Array) => importIntoContainerd(options, archive);
  await ensurePauseImage(options, importArchive);
  return { endpoint: `unix://${socketPath}`, pid, importArchive };
}

async function findCniBinDirectory(fs: FileSystem): Promise<string> {
  for (const path of CNI_BIN_DIRECTORIES) if ((await fs.info(`${path}/bridge`)) !== undefined) return path;
  return CNI_BIN_DIRECTORIES[0]!;
}

/** overlayfs cannot lie on every file system (another overlay, some network and USB ones); trying is the only sure test. */
async function probeSnapshotter({
  exec,
  fs,
  rootDirectory,
  log,
}: ContainerdInstanceOptions): Promise<'overlayfs' | 'native'> {
  const probe = `${rootDirectory}/.overlay-probe`;
  try {
    for (const part of ['lower', 'upper', 'work', 'merged']) await fs.makeDirectory(`${probe}/${part}`);
    const layers = `lowerdir=${probe}/lower,upperdir=${probe}/upper,workdir=${probe}/work`;
    await exec.run(['mount', '-t', 'overlay', 'overlay', '-o', layers, `${probe}/merged`]);
    await exec.run(['umount', `${probe}/merged`]);
    return 'overlayfs';
  } catch (err) {
    log.warn('overlayfs does not work here, images are copied instead (slower, more space)', { rootDirectory, err });
    return 'native';
  } finally {
    await fs.remove(probe);
  }
}

async function isSystemdCgroupHost(fs: FileSystem): Promise<boolean> {
  return (
    (await fs.info('/run/systemd/system')) !== undefined &&
    (await fs.info('/sys/fs/cgroup/cgroup.controllers')) !== undefined
  );
}

async function hasSysResource(): Promise<boolean> {
  const status = await readFile('/proc/self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s+(\w+)/m.exec(status)?.[1] ?? '0'}`);
  return ((effective >> CAP_SYS_RESOURCE) & 1n) === 1n;
}

function isAnswering(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    const settle = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
  });
}

async function waitUntilAnswering({ socketPath, logPath, clock }: ContainerdInstanceOptions): Promise<void> {
  const deadlineMs = clock.monotonic() + START_TIMEOUT_MS;
  while (!(await isAnswering(socketPath))) {
    if (clock.monotonic() > deadlineMs)
      throw new Error(`containerd does not answer on ${socketPath} after ${START_TIMEOUT_MS} ms; its log: ${logPath}`);
    await delay(clock, POLL_MS);
  }
}

async function spawnDetached(argv: readonly string[], logPath: string): Promise<number> {
  const logFile = await open(logPath, 'a', 0o640);
  try {
    const [program = '', ...args] = argv;
    const child = spawn(program, args, { detached: true, stdio: ['ignore', logFile.fd, logFile.fd], cwd: '/' });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    child.unref();
    return child.pid!;
  } finally {
    await logFile.close();
  }
}

/** Unpacking is left to CRI, which knows the snapshotter. */
async function importIntoContainerd(
  { exec, fs, socketPath, rootDirectory }: ContainerdInstanceOptions,
  archive: Uint8Array,
): Promise<void> {
  const path = `${rootDirectory}/.import-${process.pid}-${archive.length}.tar`;
  await writeFile(path, archive);
  try {
    await exec.run(['ctr', '--address', socketPath, '--namespace', 'k8s.io', 'images', 'import', '--no-unpack', path], {
      timeoutMs: 300_000,
    });
  } finally {
    await fs.remove(path);
  }
}

async function ensurePauseImage(
  { exec, socketPath }: ContainerdInstanceOptions,
  importArchive: (archive: Uint8Array) => Promise<void>,
): Promise<void> {
  const { stdout } = await exec.run([
    'ctr',
    '--address',
    socketPath,
    '--namespace',
    'k8s.io',
    'images',
    'list',
    '--quiet',
  ]);
  if (stdout.split('\n').includes(PAUSE_IMAGE)) return;
  await importArchive(renderPauseArchive(process.arch === 'x64' ? 'amd64' : process.arch));
}
