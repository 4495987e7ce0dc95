import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * Hosts on one machine: a network namespace for the controller, with a bridge, and one per node hanging on it. Everything stays inside
 * namespaces that the lab made, so no test traffic can leave and the machine's own rules are not touched.
 *
 *   hub (198.51.100.1, br0) -- n0 (198.51.100.10) -- n1 (198.51.100.11) ...
 *
 * Nodes of `beyond` hang on a second link, 203.0.113.0/24, that the hub routes to. With IPv6 the links are fd00:198::/64 and fd00:203::/64,
 * and hosts have the same number in them.
 */
export interface LabHost {
  readonly namespace: string;
  /** Of IPv4, where the lab has it. */
  readonly address: string;
  /** Prefix of a command line that runs in this host's network. `nsenter` keeps the machine's mounts; `ip netns exec` would hide cgroups. */
  readonly enter: readonly string[];
}

export interface NetworkLab {
  readonly hub: LabHost;
  readonly nodes: readonly LabHost[];
  destroy(): void;
}

/** Why this machine cannot run the lab, or undefined when it can. */
export function labProblem(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  for (const program of ['ip', 'nsenter', 'iptables', 'containerd', 'runc']) {
    if (
      spawnSync('sh', ['-c', `command -v ${program}`], { env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin` } })
        .status !== 0
    )
      return `needs ${program}`;
  }
  const probe = `probe-${process.pid}`;
  if (spawnSync('ip', ['netns', 'add', probe]).status !== 0) return 'cannot make network namespaces';
  ip('netns', 'del', probe);
  return undefined;
}

const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });

export interface NetworkLabOptions {
  /** Nodes on the second link. */
  readonly beyond?: readonly number[];
  /** What addresses hosts have; IPv4 alone by default. */
  readonly families?: readonly LabFamily[];
}

export type LabFamily = 'IPv4' | 'IPv6';

const LINKS = [
  { bridge: 'br0', IPv4: '198.51.100.', IPv6: 'fd00:198::' },
  { bridge: 'br1', IPv4: '203.0.113.', IPv6: 'fd00:203::' },
] as const;
const PREFIX_LENGTH: Readonly<Record<LabFamily, number>> = { IPv4: 24, IPv6: 64 };

/** Of the names of namespaces: of this process alone, so that a run neither meets another one nor what one that was killed has left. */
export const labPrefix = (name: string): string => `${name}-${process.pid.toString(36)}`;

const linkOf = (index: number, beyond: readonly number[]) => LINKS[beyond.includes(index) ? 1 : 0];

export function createNetworkLab(name: string, nodeCount: number, options: NetworkLabOptions = {}): NetworkLab {
  const { beyond = [], families = ['IPv4'] } = options;
  const prefix = labPrefix(name);
  const first = families.includes('IPv4') ? 'IPv4' : 'IPv6';
  const hub = host(`${prefix}-hub`, `${LINKS[0][first]}1`);
  const nodes = Array.from({ length: nodeCount }, (_, index) =>
    host(`${prefix}-n${index}`, `${linkOf(index, beyond)[first]}${10 + index}`),
  );
  const destroy = () => {
    for (const { namespace } of [...nodes, hub]) spawnSync('ip', ['netns', 'del', namespace]);
  };
  try {
    wireUp(hub, nodes, { beyond, families });
  } catch (err) {
    destroy();
    throw err;
  }
  return { hub, nodes, destroy };
}

function wireUp(hub: LabHost, nodes: readonly LabHost[], { beyond, families }: Required<NetworkLabOptions>): void {
  const give = (namespace: string, device: string, link: (typeof LINKS)[number], number: number) => {
    for (const family of families)
      ip(
        ...['-n', namespace, 'addr', 'add', `${link[family]}${number}/${PREFIX_LENGTH[family]}`, 'dev', device],
        ...(family === 'IPv6' ? ['nodad'] : []),
      );
  };
  for (const { namespace } of [hub, ...nodes]) {
    ip('netns', 'add', namespace);
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
  }
  for (const link of beyond.length === 0 ? LINKS.slice(0, 1) : LINKS) {
    ip('-n', hub.namespace, 'link', 'add', link.bridge, 'type', 'bridge');
    give(hub.namespace, link.bridge, link, 1);
    ip('-n', hub.namespace, 'link', 'set', link.bridge, 'up');
  }
  const forwarding = 'for i in ipv4/ip_forward ipv6/conf/all/forwarding; do echo 1 > /proc/sys/net/$i; done';
  if (beyond.length > 0) execFileSync(hub.enter[0]!, [...hub.enter.slice(1), 'sh', '-c', forwarding]);
  nodes.forEach((node, index) => {
    ip(
      '-n',
      hub.namespace,
      'link',
      'add',
      `port${index}`,
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'netns',
      node.namespace,
    );
    ip('-n', hub.namespace, 'link', 'set', `port${index}`, 'master', linkOf(index, beyond).bridge, 'up');
    give(node.namespace, 'eth0', linkOf(index, beyond), 10 + index);
    ip('-n', node.namespace, 'link', 'set', 'eth0', 'up');
    for (const family of families)
      ip('-n', node.namespace, 'route', 'add', 'default', 'via', `${linkOf(index, beyond)[family]}1`);
  });
}

function host(namespace: string, address: string): LabHost {
  return { namespace, address, enter: ['nsenter', `--net=/run/netns/${namespace}`, '--'] };
}

/** Process ids whose command line holds `text`; lets a test end exactly what it started. */
export function processesMatching(text: string): number[] {
  const { stdout } = spawnSync('pgrep', ['-f', '--', text], { encoding: 'utf8' });
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map(Number)
    .filter((pid) => pid !== process.pid && commandLine(pid).includes(text));
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}
