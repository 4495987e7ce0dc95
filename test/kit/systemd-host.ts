import { type ChildProcess, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import type { LabHost } from './network-lab.ts';
import { waitUntil } from './wait-until.ts';

/** A host that systemd has booted, with a network of its own. What is written there is gone with it. */
export interface SystemdHost {
  readonly address: string;
  /** Its first process since the last boot, as this host knows it: `/proc/<leader>/root` is its file system. */
  readonly leader: number;
  /** Runs a bash script there. */
  run(script: string, timeoutMs?: number): SpawnSyncReturns<string>;
  /** Throws with what the script said unless it ended with 0. */
  ok(script: string, timeoutMs?: number): string;
  /** Resolves once a shutdown that began in there is complete; `powerOn` boots it again. */
  poweredOff(): Promise<void>;
  powerOn(): Promise<void>;
  stop(): Promise<void>;
}

export interface SystemdHostOptions {
  /** The root of its file system; absent: a copy of this host's. */
  readonly tree?: string;
  /** Whose bridge it is plugged into; absent: nobody's, it is alone. */
  readonly link?: { readonly network: LabHost; readonly bridge: string; readonly address: string };
}

const PROGRAMS = ['unshare', 'systemd-nspawn', '/lib/systemd/systemd'];
const ALONE = '192.0.2.10';
/** Nothing of this host's settings is known there. */
const HOST_ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' };
const repository = join(import.meta.dirname, '..', '..');

/** Why this machine cannot boot such a host, or undefined when it can. */
export function systemdHostProblem(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  for (const program of PROGRAMS) {
    if (spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0) return `needs ${program}`;
  }
  return undefined;
}

/**
 * `$1` is a folder of ours, `$2` a name, `$3` the tree that it starts from, `$4` this repository, `$5` what the host does first when it
 * boots. An overlay in memory over the tree (of this host's own root: nothing is to be installed); a cgroup of its own in each hierarchy
 * that is mounted apart. Once it is off, a line of descriptor 3 powers it on again.
 */
const BOOT = `
set -e
for tree in /sys/fs/cgroup/*/; do
  [ -e "$tree/cgroup.procs" ] && mountpoint -q "$tree" || continue
  mkdir -p "$tree/$2"
  for file in cpuset.cpus cpuset.mems; do [ ! -e "$tree/$file" ] || cat "$tree/$file" >"$tree/$2/$file"; done
  echo $$ >"$tree/$2/cgroup.procs"
done
mount -t tmpfs -o size=3g tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root" "$1/upper-repository" "$1/work-repository" "$1/state"
mount -t overlay overlay -o "lowerdir=$3,upperdir=$1/upper,workdir=$1/work" "$1/root"
if [ "$3" != / ]; then
  echo "$2" >"$1/root/etc/hostname"
  mkdir -p "$1/root/$4"
  mount -t overlay overlay -o "lowerdir=$4,upperdir=$1/upper-repository,workdir=$1/work-repository" "$1/root/$4"
fi
# Services of that host have nothing to do there.
rm -rf "$1/root/etc/systemd/system/multi-user.target.wants"
echo "$5" >"$1/root/etc/prepare-host"
cat >"$1/root/etc/systemd/system/prepare-host.service" <<end
[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=bash /etc/prepare-host
end
mkdir -p "$1/root/etc/systemd/system/sysinit.target.wants"
ln -sf ../prepare-host.service "$1/root/etc/systemd/system/sysinit.target.wants/"
export SYSTEMD_NSPAWN_API_VFS_WRITABLE=1
# The tree under test may lie below /tmp, which a boot would hide or empty.
export SYSTEMD_NSPAWN_TMPFS_TMP=0
ln -sf /dev/null "$1/root/etc/systemd/system/tmp.mount"
mkdir -p "$1/root/etc/tmpfiles.d"
ln -sf /dev/null "$1/root/etc/tmpfiles.d/tmp.conf"
while :; do
  systemd-nspawn -q -D "$1/root" --boot --network-veth --capability=all --system-call-filter='@keyring bpf' --register=no --keep-unit \\
    -M "$2" --resolv-conf=off --link-journal=no --bind="$1/state:/var/lib/coracle" --console=pipe 3<&- || true
  read -r -u 3
done
`;

/** systemd-nspawn leaves the cgroups read-only where it can. */
const prepare = (address: string, router: string) => `
set -e
awk '$3 == "cgroup" {print $2}' /proc/mounts | while read -r tree; do mount -o remount,bind,rw "$tree" || mount -o remount,rw "$tree"; done
ip addr add ${address}/24 dev host0
ip link set host0 up
ip route replace default via ${router}
`;

export async function startSystemdHost(
  name: string,
  { tree = '/', link }: SystemdHostOptions = {},
): Promise<SystemdHost> {
  const folder = await mkdtemp(`/tmp/coracle-${name}-`);
  const machine = `${name}${process.pid}`;
  const address = link?.address ?? ALONE;
  const first = prepare(address, address.replace(/\d+$/, '1'));
  const boot = ['--propagation', 'private', 'bash', '-c', BOOT, 'boot', folder, machine, tree, repository, first];
  const [program = '', ...args] =
    link === undefined
      ? ['unshare', '--mount', '--net', ...boot]
      : [...link.network.enter, 'unshare', '--mount', ...boot];
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (said += chunk));
  let leader: number | undefined;
  const run: SystemdHost['run'] = (script, timeoutMs = 60_000) =>
    spawnSync('nsenter', ['-t', String(leader), '-a', 'bash', '-c', script], {
      encoding: 'utf8',
      timeout: timeoutMs,
      env: HOST_ENVIRONMENT,
    });
  const ok: SystemdHost['ok'] = (script, timeoutMs) => {
    const { status, stdout, stderr } = run(script, timeoutMs);
    if (status !== 0) throw new Error(`exit code ${status} of: ${script}\n${stderr}${stdout}`);
    return stdout;
  };
  const booted = async () => {
    await waitUntil('systemd', 60_000, () => {
      if (child.exitCode !== null) throw new Error(`systemd-nspawn ended: ${said}`);
      leader ??= systemdBelow(child.pid!);
      return leader !== undefined && /^(running|degraded)/.test(run('systemctl is-system-running').stdout);
    });
    ok('systemctl show -P Result prepare-host | grep -qx success');
    // Its end of the cable, in the network that it shares with nobody.
    const cable = `ve-${machine}`.slice(0, 15);
    const plug = link === undefined ? [] : ['master', link.bridge];
    spawnSync('nsenter', ['-t', String(child.pid), '-n', 'ip', 'link', 'set', cable, ...plug, 'up']);
  };
  const poweredOff = async () => {
    await waitUntil('the host to be off', 120_000, () => !existsSync(`/proc/${leader}`));
    leader = undefined;
  };
  const powerOn = async () => {
    (child.stdio[3] as Writable).write('\n');
    await booted();
  };
  const stop = () => end({ child, folder, machine });
  try {
    await booted();
    return {
      address,
      get leader() {
        return leader!;
      },
      ...{ run, ok, poweredOff, powerOn, stop },
    };
  } catch (err) {
    await stop();
    throw err;
  }
}

/** Its first process, once it is that: before come those of the script and of systemd-nspawn. */
function systemdBelow(pid: number): number | undefined {
  return processesBelow(pid).find((one) => readIfThere(`/proc/${one}/comm`) === 'systemd\n');
}

/** Children, and their children. */
function processesBelow(pid: number): number[] {
  const children = (of: number) =>
    readIfThere(`/proc/${of}/task/${of}/children`).split(' ').filter(Boolean).map(Number);
  return children(pid).flatMap((child) => [child, ...children(child)]);
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

interface Running {
  readonly child: ChildProcess;
  readonly folder: string;
  readonly machine: string;
}

/** The first process of a PID namespace takes all others along. */
async function end({ child, folder, machine }: Running): Promise<void> {
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const below = processesBelow(child.pid!);
  child.kill('SIGKILL');
  for (const pid of below) if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await gone;
  await waitUntil('its processes to end', 10_000, () => !below.some((pid) => existsSync(`/proc/${pid}`)));
  await rm(folder, { recursive: true, force: true });
  await waitUntil('its cgroups to go', 10_000, () => {
    spawnSync('find', [
      '/sys/fs/cgroup',
      '-depth',
      '-type',
      'd',
      '-path',
      `*/${machine}*`,
      '-exec',
      'rmdir',
      '{}',
      ';',
    ]);
    const { stdout } = spawnSync('find', ['/sys/fs/cgroup', '-maxdepth', '2', '-name', machine], { encoding: 'utf8' });
    return stdout === '';
  });
}
