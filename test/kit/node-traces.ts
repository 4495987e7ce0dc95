import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestAgent } from './cluster.ts';
import { processesMatching } from './network-lab.ts';
import { cniResultsOf, databaseOf, networkNamespacesIn } from './pod-leftovers.ts';

/** What a node holds, kind by kind. Some of it comes with the first pod and stays: a bridge, chains of rules, unpacked images. */
export type NodeTraces = Readonly<Record<string, readonly string[]>>;

/** Folders of the node that hold things of pods, below the agent's home; what else it keeps is written when it comes to it. */
const FOLDERS = ['kubelet', 'pod-logs', 'container-logs', 'run', 'data/ledger', 'data/copies', 'data/pulls'];
/** Of containerd's own folder. */
const RUNTIME_FOLDERS = ['io.containerd.grpc.v1.cri', 'io.containerd.runtime.v2.task', 'tmpmounts'];

/** Sees what pods of one node leave on it. What lies where all nodes of the machine have theirs is told by names that were seen in use. */
export class NodeWatcher {
  readonly #agent: TestAgent;
  readonly #namespaces = new Set<string>();
  readonly #sandboxes = new Set<string>();
  readonly #uids = new Set<string>();

  constructor(agent: TestAgent) {
    this.#agent = agent;
  }

  /** While pods run: notes what is theirs. */
  see(uids: Iterable<string>): void {
    for (const uid of uids) this.#uids.add(uid);
    for (const name of networkNamespacesIn(databaseOf(this.#containerdRoot) ?? '')) this.#namespaces.add(name);
    for (const id of this.#ctr('containers', 'ls', '-q')) this.#sandboxes.add(id);
  }

  /** How many of each kind were seen. */
  get seen() {
    return { pods: this.#uids.size, containers: this.#sandboxes.size, networks: this.#namespaces.size };
  }

  traces(): NodeTraces {
    const { folder, host } = this.#agent;
    const uids = [...this.#uids].flatMap((uid) => [uid, uid.replaceAll('-', '_')]);
    const inHost = (...argv: [string, ...string[]]) => linesOf(...(host.enter as [string, ...string[]]), ...argv);
    return {
      containers: this.#ctr('containers', 'ls', '-q'),
      tasks: this.#ctr('tasks', 'ls', '-q'),
      snapshots: this.#ctr('snapshots', 'ls'),
      leases: this.#ctr('leases', 'ls', '-q'),
      shims: processesMatching(folder)
        .map(commandOf)
        .filter((command) => command.startsWith('containerd-shim')),
      // The folders themselves are the agent's, which makes each when a pod first needs it.
      files: FOLDERS.map((name) => join(folder, name)).flatMap((own) => filesBelow(own).filter((path) => path !== own)),
      runtimeFiles: RUNTIME_FOLDERS.flatMap((name) => filesBelow(join(this.#containerdRoot, name))),
      mounts: readFileSync('/proc/self/mountinfo', 'utf8')
        .split('\n')
        .map((line) => line.split(' ')[4] ?? '')
        .filter((path) => path.startsWith(folder)),
      cgroups: uids.length === 0 ? [] : cgroupsNaming(uids),
      namespaces: [...this.#namespaces].filter((name) => existsSync(join('/run/netns', name))),
      cniResults: cniResultsOf((sandbox) => this.#sandboxes.has(sandbox)),
      interfaces: inHost('ip', '-o', 'link').map((line) => /^\d+: ([^:@]+)/.exec(line)?.[1] ?? line),
      rules: inHost('iptables-save')
        .filter((line) => !line.startsWith('#'))
        .map((line) => line.replace(/ \[\d+:\d+\]$/, '')),
    };
  }

  /** What of it belongs to pods that were seen, or to any. */
  ofPods(traces: NodeTraces): string[] {
    const names = [...this.#uids, ...this.#sandboxes];
    const { containers = [], tasks = [], shims = [], leases = [], cgroups = [], namespaces = [], ...shared } = traces;
    const named = Object.values(shared)
      .flat()
      .filter((line) => names.some((name) => line.includes(name)));
    return [...containers, ...tasks, ...shims, ...leases, ...cgroups, ...namespaces, ...named];
  }

  get #containerdRoot(): string {
    return join(this.#agent.folder, 'data', 'containerd');
  }

  #ctr(...args: string[]): string[] {
    return linesOf('ctr', '--address', this.#agent.socketPath, '-n', 'k8s.io', ...args);
  }
}

/** What a process of the agent takes. */
export function footprintOf(pid: number) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return {
    rssBytes: Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024,
    files: readdirSync(`/proc/${pid}/fd`).length,
  };
}

const linesOf = (program: string, ...args: string[]): string[] =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    .split('\n')
    .filter(Boolean)
    .sort();

/** Paths of all that is below a folder. */
const filesBelow = (folder: string): string[] =>
  globSync('**', { cwd: folder })
    .map((path) => join(folder, path))
    .sort();

function cgroupsNaming(uids: readonly string[]): string[] {
  const depth = '{,*/}{,*/}{,*/}';
  return globSync(`/sys/fs/cgroup/${depth}*pod*`).filter((path) => uids.some((uid) => path.includes(uid)));
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}
