import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { processesMatching } from './network-lab.ts';
import { waitUntil } from './wait-until.ts';

const NETWORK_NAMESPACES = '/run/netns';
const CNI_RESULTS = '/var/lib/cni/results';
const CGROUPS = '/sys/fs/cgroup';
const PATIENCE_MS = 30_000;

/**
 * Removes what pods have outside the folders of a containerd that was killed with its shims: processes, cgroups, network namespaces, notes of
 * CNI plug-ins. What is its own stands in its database, so nothing of another containerd is touched. `root` is its root folder.
 */
export async function removePodLeftovers(root: string): Promise<void> {
  const text = databaseOf(root);
  if (text === undefined) return;
  await removeCgroups(namesIn(text, /"cgroupsPath":"(\/[^":]+)"/g));
  for (const name of networkNamespacesIn(text))
    if (existsSync(join(NETWORK_NAMESPACES, name))) spawnSync('ip', ['netns', 'delete', name]);
  for (const file of cniResultsOf((sandbox) => text.includes(sandbox)))
    rmSync(join(CNI_RESULTS, file), { force: true });
}

/** What containerd notes, as text; what it no longer uses stands in it for a while. */
export function databaseOf(root: string): string | undefined {
  const database = join(root, 'io.containerd.metadata.v1.bolt', 'meta.db');
  return existsSync(database) ? readFileSync(database, 'latin1') : undefined;
}

/** Names of the network namespaces of pods that a database of containerd names. */
export const networkNamespacesIn = (database: string): ReadonlySet<string> =>
  namesIn(database, /"\/var\/run\/netns\/(cni-[0-9a-f-]{36})"/g);

/** Notes of CNI plug-ins about sandboxes, as file names. */
export function cniResultsOf(isWanted: (sandboxId: string) => boolean): string[] {
  const files = existsSync(CNI_RESULTS) ? readdirSync(CNI_RESULTS) : [];
  return files.filter((file) => {
    const sandbox = /-([0-9a-f]{64})-/.exec(file)?.[1];
    return sandbox !== undefined && isWanted(sandbox);
  });
}

const namesIn = (text: string, pattern: RegExp) => new Set(Array.from(text.matchAll(pattern), ([, name = '']) => name));

/** Those of containers with the processes in them, then that of their pod, unless a copy of the node has containers of the same pod. */
async function removeCgroups(paths: ReadonlySet<string>): Promise<void> {
  const pods = [...paths].map(dirname).filter((path) => basename(path).startsWith('pod'));
  // In the hierarchy of cgroup v2, and in each one of v1.
  const foldersOf = (path: string) => globSync([`${CGROUPS}${path}`, `${CGROUPS}/*${path}`]);
  const present = () => {
    const ofContainers = [...paths].flatMap(foldersOf);
    const ours = new Set(ofContainers);
    return [
      ...ofContainers,
      ...[...new Set(pods)].flatMap(foldersOf).filter((pod) => groupsIn(pod).every((one) => ours.has(one))),
    ];
  };
  await waitUntil('the cgroups of pods to go', PATIENCE_MS, () => {
    const found = present();
    if (found.length === 0) return true;
    for (const path of found) for (const pid of processesIn(path)) killQuietly(pid);
    spawnSync('rmdir', found);
    return present().length === 0;
  });
}

function groupsIn(cgroup: string): string[] {
  try {
    const entries = readdirSync(cgroup, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(cgroup, name));
  } catch (err) {
    if (isGone(err)) return [];
    throw err;
  }
}

function processesIn(cgroup: string): number[] {
  try {
    return readFileSync(`${cgroup}/cgroup.procs`, 'utf8').split('\n').filter(Boolean).map(Number);
  } catch (err) {
    if (isGone(err)) return [];
    throw err;
  }
}

/** Processes with the text in their command line, and the containers of those that are shims: a container outlives its shim. */
export function endProcesses(text: string): void {
  const pids = processesMatching(text);
  for (const pid of [...pids.flatMap(containersOf), ...pids]) killQuietly(pid);
}

function containersOf(pid: number): number[] {
  try {
    if (!readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('containerd-shim')) return [];
    // The shim has several threads, and each lists the children that it started.
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    );
  } catch (err) {
    if (isGone(err)) return [];
    throw err;
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (err) {
    if (!isGone(err)) throw err;
  }
}

/** It ended, or was removed, since it was listed. */
function isGone(err: unknown): boolean {
  return ['ENOENT', 'ENODEV', 'ESRCH'].includes((err as NodeJS.ErrnoException).code ?? '');
}

/** Lazily: what still holds a file open keeps it. */
export function unmountBelow(folder: string): void {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((path) => path.startsWith(`${folder}/`));
  for (const path of mounts.toReversed()) spawnSync('umount', ['-l', path]);
}
