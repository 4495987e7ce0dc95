import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { type Dirent, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Everything of a host that an installation could leave behind, as `category: item` -> fingerprint. */
export type HostSnapshot = ReadonlyMap<string, string>;

/** What may differ after scripts/down, and why. Checked in on purpose: the list may only shrink. */
export const ALLOWED_LEFTOVERS: readonly { readonly pattern: RegExp; readonly reason: string }[] = [
  {
    pattern:
      /^file: \/(var\/lib\/(apt|dpkg|systemd)|var\/cache|var\/log\/(apt|dpkg|alternatives)|etc\/alternatives|usr\/share|etc\/ld\.so\.cache)/,
    reason: 'the package manager writes here; installed packages stay',
  },
  {
    pattern: /^file: \/(root|home\/[^/]+)\/\.(npm|cache|config|kube)/,
    reason: 'caches of npm and kubectl belong to the user',
  },
  {
    pattern: /^file: \/(var\/lib\/containerd|etc\/containerd|var\/lib\/containers)/,
    reason: 'folders of the containerd package',
  },
  {
    pattern: /^file: \/var\/log\/(journal|wtmp|btmp|lastlog|syslog|daemon|kern|messages)/,
    reason: 'the host’s own logs',
  },
  {
    pattern: /^file: \/run\/(systemd|udev|log|utmp|xtables\.lock|netns|lock|user|dbus)/,
    reason: 'run-time state of the host’s own services',
  },
  {
    pattern:
      /^sysctl: (fs\.(dentry-state|file-nr|inode-(nr|state))|kernel\.(ns_last_pid|pty\.nr|random\.|cap_last_cap)|net\.netfilter\.nf_conntrack_count|fs\.quota|kernel\.sched)/,
    reason: 'counters of the kernel',
  },
  {
    pattern: /^sysctl: net\.(ipv[46]\.conf\.default|ipv[46]\.neigh|netfilter\.|netfilter|bridge)/,
    reason: 'keys that appear with a kernel module, which cannot be unloaded while others use it',
  },
];

const SCANNED = [
  '/etc',
  '/usr/bin',
  '/usr/sbin',
  '/usr/lib/systemd',
  '/usr/lib/coracle',
  '/usr/local/bin',
  '/usr/local/sbin',
  '/opt',
  '/var',
  '/run',
  '/root',
  '/home',
  '/srv',
  '/boot',
];
const SKIPPED = new Set([
  '/var/lib/dpkg',
  '/var/lib/apt',
  '/var/cache',
  '/root/.npm',
  '/root/.cache',
  '/root/.pyenv',
  '/root/.cargo',
  '/root/.rustup',
  '/run/netns',
]);
const MAX_HASHED_BYTES = 4 * 1024 * 1024;

export function takeHostSnapshot(): HostSnapshot {
  const snapshot = new Map<string, string>();
  const owned = packageFiles();
  for (const folder of SCANNED) scan(folder, owned, snapshot);
  addLines(
    snapshot,
    'mount',
    readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[4] ?? ''),
  );
  addLines(
    snapshot,
    'address',
    output('ip', '-o', 'addr', 'show').map((line) =>
      line
        .replace(/^\d+: /, '')
        .replace(/valid_lft.*/, '')
        .trim(),
    ),
  );
  addLines(snapshot, 'route', output('ip', 'route', 'show', 'table', 'all'));
  addLines(
    snapshot,
    'link',
    output('ip', '-o', 'link', 'show').map((line) => /^\d+: ([^:@]+)/.exec(line)?.[1] ?? ''),
  );
  for (const program of ['iptables-nft-save', 'iptables-legacy-save', 'ip6tables-nft-save'])
    addLines(snapshot, program, output(program).filter(isRule));
  addLines(
    snapshot,
    'nft',
    output('nft', 'list', 'ruleset').filter((line) => line.startsWith('table') || line.includes('chain')),
  );
  addLines(snapshot, 'cgroup', cgroups());
  addLines(snapshot, 'user', readFileSync('/etc/passwd', 'utf8').split('\n'));
  for (const line of output('sysctl', '-a')) {
    const [key = '', value = ''] = line.split(' = ');
    snapshot.set(`sysctl: ${key}`, value);
  }
  addLines(snapshot, 'process', processes());
  return snapshot;
}

/** Differences that nothing on the allow-list explains, one line each. */
export function compareHosts(before: HostSnapshot, after: HostSnapshot): string[] {
  const differences: string[] = [];
  for (const [item, value] of after) {
    if (!before.has(item)) differences.push(`appeared: ${item}`);
    else if (before.get(item) !== value) differences.push(`changed: ${item}: ${before.get(item)} -> ${value}`);
  }
  // Processes and their cgroups come and go on any host; what we could take away by mistake is everything else.
  const comesAndGoes = /^(process|cgroup): /;
  for (const item of before.keys())
    if (!after.has(item) && !comesAndGoes.test(item)) differences.push(`vanished: ${item}`);
  return differences.filter(
    (line) => !ALLOWED_LEFTOVERS.some(({ pattern }) => pattern.test(line.replace(/^\w+: /, ''))),
  );
}

const isRule = (line: string): boolean =>
  line.startsWith('-A') ||
  (line.startsWith(':') && !/^:(INPUT|OUTPUT|FORWARD|PREROUTING|POSTROUTING) ACCEPT/.test(line));

function addLines(snapshot: Map<string, string>, category: string, lines: readonly string[]): void {
  for (const line of lines) if (line.trim() !== '') snapshot.set(`${category}: ${line.replace(/\[\d+:\d+\]/, '')}`, '');
}

function output(program: string, ...args: string[]): string[] {
  return spawnLines(program, args);
}

function spawnLines(program: string, args: readonly string[]): string[] {
  const { stdout } = spawnSync(program, args, {
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
  return (stdout ?? '').split('\n');
}

/** Files that belong to a Debian package: those may come and stay. */
function packageFiles(): Set<string> {
  const list = execFileSync('sh', ['-c', 'cat /var/lib/dpkg/info/*.list'], {
    encoding: 'utf8',
    maxBuffer: 512 * 1024 * 1024,
  });
  return new Set(list.split('\n').flatMap((path) => [path, path.replace(/^\/(bin|sbin|lib)\//, '/usr/$1/')]));
}

function scan(folder: string, owned: ReadonlySet<string>, snapshot: Map<string, string>): void {
  if (SKIPPED.has(folder)) return;
  let entries: Dirent[];
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    // Gone since its parent was read, or not there at all: nothing to remember.
    return;
  }
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (!owned.has(path)) snapshot.set(`file: ${path}`, fingerprint(path, entry));
    if (entry.isDirectory()) scan(path, owned, snapshot);
  }
}

function fingerprint(path: string, entry: Dirent): string {
  try {
    if (entry.isSymbolicLink()) return `-> ${readlinkSync(path)}`;
    if (!entry.isFile()) return entry.isDirectory() ? 'directory' : 'special';
    const { size, mtimeMs } = lstatSync(path);
    return size > MAX_HASHED_BYTES
      ? `${size} ${mtimeMs}`
      : createHash('sha256').update(readFileSync(path)).digest('hex');
  } catch {
    return 'gone';
  }
}

/**
 * All cgroups but the ones beside our own: there whoever started this test (a job runner, logind) puts its other sessions, which come and
 * go while it runs. Pods have their own tree at the root.
 */
function cgroups(): string[] {
  const sessions = readFileSync('/proc/self/cgroup', 'utf8')
    .trim()
    .split('\n')
    .map((line) => dirname(line.split(':').slice(2).join(':')))
    .filter((parent) => parent !== '/');
  return spawnLines('find', ['/sys/fs/cgroup', '-type', 'd']).filter(
    (path) => !sessions.some((parent) => path.includes(`${parent}/`)),
  );
}

/** What scripts/up starts carries one of these paths; other clusters of the same machine are not its business. */
const OURS = /\/(usr\/lib|run|var\/lib)\/coracle\b/;

/** Command lines of processes that scripts/up has started. */
function processes(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
        return OURS.test(line) ? [line] : [];
      } catch {
        return [];
      }
    });
}
