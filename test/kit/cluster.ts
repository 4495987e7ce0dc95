import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, openSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { programFoldersOfEnvironment, withPrograms } from './containerd-releases.ts';
import { renderBusyboxArchive } from './image-archive.ts';
import { type KubectlResult, runKubectl } from './kubectl.ts';
import { createNetworkLab, type LabFamily, type LabHost, type NetworkLab, processesMatching } from './network-lab.ts';
import { endProcesses, removePodLeftovers, unmountBelow } from './pod-leftovers.ts';
import { waitUntil } from './wait-until.ts';

/** One of our processes, run from bin/coracle (the bundle where one was built) in one host of the lab. */
export interface TestProcess {
  readonly pid: number;
  readonly logPath: string;
  /** kill -9, resolves once it is gone. */
  kill(): Promise<void>;
  /** SIGTERM, resolves once it is gone. */
  stop(): Promise<void>;
  /** Same command, same folders; flags that are named get another value, from now on. */
  restart(flags?: Readonly<Record<string, string>>): Promise<void>;
}

export interface TestAgent extends TestProcess {
  readonly nodeName: string;
  readonly host: LabHost;
  readonly socketPath: string;
  readonly folder: string;
}

export interface TestCluster {
  readonly folder: string;
  readonly kubeconfig: string;
  readonly lab: NetworkLab;
  readonly controller: TestProcess;
  readonly agents: readonly TestAgent[];
  /** Runs the real kubectl in the controller's network. */
  kubectl(args: readonly string[], options?: { stdin?: string; timeoutMs?: number }): Promise<KubectlResult>;
  /** The same, and throws with what it printed unless it ended with 0. */
  kubectlOk(args: readonly string[], options?: { stdin?: string; timeoutMs?: number }): Promise<string>;
  destroy(): Promise<void>;
}

export interface ClusterOptions {
  /** Prefix of the names of namespaces and folders. */
  readonly name: string;
  readonly nodes: number;
  /** Nodes on a second link, beyond a router. */
  readonly beyond?: readonly number[];
  /** What addresses hosts have; IPv4 alone by default. */
  readonly families?: readonly LabFamily[];
  readonly image?: string;
  readonly controllerFlags?: readonly string[];
  readonly agentFlags?: readonly string[];
  /** Further flags of one agent. */
  readonly flagsOfAgent?: (index: number) => readonly string[];
  /** For our processes and what they start. */
  readonly environment?: Readonly<Record<string, string>>;
  /** The same for the controller alone. */
  readonly controllerEnvironment?: Readonly<Record<string, string>>;
  /** What the controller needs in its network, started before it; the answer ends it. */
  readonly beforeController?: (hub: LabHost, folder: string) => Promise<() => Promise<void>>;
}

const root = join(import.meta.dirname, '..', '..');
const START_TIMEOUT_MS = 40_000;

const folderOfNode = (folder: string, index: number) => join(folder, `n${index}`);
const dataOfNode = (home: string) => join(home, 'data');
/** Where the agent has its containerd keep images, snapshots and its database. */
const containerdRoot = (folder: string, index: number) => join(dataOfNode(folderOfNode(folder, index)), 'containerd');

/** A whole cluster on this machine: a controller and real nodes on real containerd, each in a network of its own. */
export async function startCluster(options: ClusterOptions): Promise<TestCluster> {
  const folder = await mkdtemp(`/tmp/coracle-${options.name}-`);
  // Whoever is root in a user namespace of a pod is nobody here, and must find the way to its files.
  await chmod(folder, 0o711);
  const lab = createNetworkLab(options.name, options.nodes, {
    beyond: options.beyond ?? [],
    families: options.families ?? ['IPv4'],
  });
  const started: (() => Promise<void>)[] = [];
  const destroy = async () => {
    // What cannot be ended is told, after all else has gone.
    const failures: unknown[] = [];
    for (const stop of started.toReversed()) await stop().catch((err: unknown) => failures.push(err));
    endProcesses(folder);
    unmountBelow(folder);
    for (let index = 0; index < options.nodes; index++)
      await removePodLeftovers(containerdRoot(folder, index)).catch((err: unknown) => failures.push(err));
    lab.destroy();
    await rm(folder, { recursive: true, force: true });
    if (failures.length > 0) throw new AggregateError(failures, `the cluster ${options.name} did not end well`);
  };
  try {
    const kubeconfig = join(folder, 'admin.kubeconfig');
    const stopBefore = await options.beforeController?.(lab.hub, folder);
    if (stopBefore !== undefined) started.push(stopBefore);
    const controller = await startController(options, folder, lab.hub);
    started.push(() => controller.stop());
    const kubectl: TestCluster['kubectl'] = (args, run = {}) =>
      runKubectl(args, { kubeconfig, enter: lab.hub.enter, ...run });
    await waitUntil(
      `the API; see ${controller.logPath}`,
      START_TIMEOUT_MS,
      async () => existsSync(kubeconfig) && (await kubectl(['get', '--raw', '/readyz'])).code === 0,
    );
    const token = execFileSync(
      lab.hub.enter[0]!,
      [...lab.hub.enter.slice(1), join(root, 'bin/coracle'), 'token', 'create'],
      {
        encoding: 'utf8',
        env: { ...process.env, KUBECONFIG: kubeconfig },
      },
    );
    const joinToken = /--token (\S+)/.exec(token)?.[1] ?? '';
    const agents: TestAgent[] = [];
    for (const [index, host] of lab.nodes.entries()) {
      const agent = await startAgent({ options, folder, hub: lab.hub, host, index, joinToken });
      agents.push(agent);
      started.push(() => stopNode(agent));
    }
    const cluster: TestCluster = {
      folder,
      kubeconfig,
      lab,
      controller,
      agents,
      kubectl,
      kubectlOk: async (args, run) => {
        const result = await kubectl(args, run);
        if (result.code !== 0)
          throw new Error(`kubectl ${args.join(' ')}: exit code ${result.code}: ${result.stderr}${result.stdout}`);
        return result.stdout;
      },
      destroy,
    };
    await waitUntil(`${options.nodes} ready nodes; see ${folder}/*/agent.log`, START_TIMEOUT_MS, async () => {
      const { stdout } = await kubectl(['get', 'nodes', '--no-headers']);
      return (stdout.match(/\sReady\s/g) ?? []).length === options.nodes;
    });
    return cluster;
  } catch (err) {
    if (process.env.CORACLE_KEEP === undefined) await destroy();
    throw err;
  }
}

async function startController(options: ClusterOptions, folder: string, host: LabHost): Promise<TestProcess> {
  const { environment, controllerEnvironment } = options;
  const own = { ...options, environment: { ...environment, ...controllerEnvironment } };
  return startProcess(own, host, join(folder, 'controller.log'), [
    join(root, 'bin/coracle'),
    'controller',
    '--data-dir',
    join(folder, 'controller'),
    '--kubeconfig',
    join(folder, 'admin.kubeconfig'),
    '--advertise-address',
    host.address,
    ...(options.controllerFlags ?? []),
  ]);
}

interface AgentStart {
  readonly options: ClusterOptions;
  readonly folder: string;
  readonly hub: LabHost;
  readonly host: LabHost;
  readonly index: number;
  readonly joinToken: string;
}

async function startAgent({ options, folder, hub, host, index, joinToken }: AgentStart): Promise<TestAgent> {
  const home = folderOfNode(folder, index);
  await mkdir(home, { recursive: true });
  const nodeName = `node-${index}`;
  const socketPath = join(home, 'run', 'containerd.sock');
  const flags: Readonly<Record<string, string>> = {
    servers: `https://${hub.address.includes(':') ? `[${hub.address}]` : hub.address}:6443`,
    token: joinToken,
    'node-name': nodeName,
    'node-ip': host.address,
    'data-dir': dataOfNode(home),
    'run-dir': join(home, 'run'),
    'kubelet-dir': join(home, 'kubelet'),
    'pod-logs-dir': join(home, 'pod-logs'),
    'container-logs-dir': join(home, 'container-logs'),
  };
  const argv = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]);
  const agent = await startProcess(options, host, join(home, 'agent.log'), [
    join(root, 'bin/coracle'),
    'agent',
    ...argv,
    ...(options.agentFlags ?? []),
    ...(options.flagsOfAgent?.(index) ?? []),
  ]);
  await waitUntil(`containerd of ${nodeName}; see ${agent.logPath}`, START_TIMEOUT_MS, () => existsSync(socketPath));
  await importImage(socketPath, home, options.image);
  return Object.assign(agent, { nodeName, host, socketPath, folder: home });
}

/** What the tests run; there is no registry. */
async function importImage(socketPath: string, home: string, image: string | undefined): Promise<void> {
  const archive = join(home, 'image.tar');
  await writeFile(archive, renderBusyboxArchive(image));
  await waitUntil(
    'the image import',
    START_TIMEOUT_MS,
    () =>
      spawnSync('ctr', ['--address', socketPath, '-n', 'k8s.io', 'images', 'import', '--no-unpack', archive]).status ===
      0,
  );
}

/** Ends the agent, then its containers and containerd, which outlive the agent on purpose. */
async function stopNode(agent: TestAgent): Promise<void> {
  await agent.stop();
  endProcesses(`${agent.folder}/`);
  await waitUntil(
    `the processes of ${agent.nodeName} to end`,
    10_000,
    () => processesMatching(`${agent.folder}/`).length === 0,
  );
  unmountBelow(agent.folder);
}

async function startProcess(
  { environment = {} }: ClusterOptions,
  host: LabHost,
  logPath: string,
  command: readonly string[],
): Promise<TestProcess> {
  const argv = [...host.enter, ...command];
  let child = launch(argv, logPath, environment);
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(signal);
    const impatience = setTimeout(() => child.kill('SIGKILL'), 20_000);
    await gone;
    clearTimeout(impatience);
  };
  const self = {
    logPath,
    get pid() {
      return child.pid!;
    },
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    async restart(flags: Readonly<Record<string, string>> = {}) {
      for (const [flag, value] of Object.entries(flags)) argv[argv.indexOf(`--${flag}`) + 1] = value;
      await end('SIGKILL');
      child = launch(argv, logPath, environment);
    },
  };
  return self;
}

/** nsenter and bin/coracle exec, so the child's pid is that of the Node process itself. */
function launch(
  [program, ...args]: readonly string[],
  logPath: string,
  environment: Readonly<Record<string, string>>,
): ChildProcess {
  const log = openSync(logPath, 'a');
  const env = { ...withPrograms(programFoldersOfEnvironment()), ...environment };
  return spawn(program!, args, { stdio: ['ignore', log, log], env });
}
