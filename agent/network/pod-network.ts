import type { Informer } from '#api/client/informer.ts';
import { type IpFamily, parseCidr } from '#api/meta/ip-address.ts';
import type { RangesByFamily } from '#api/meta/ip-ranges.ts';
import type { Node } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Host } from '../host/host.ts';
import { CNI_CONFIG_FILE, POD_BRIDGE, renderCniConfig } from './cni-config.ts';
import type { HostChanges } from './host-changes.ts';
import type { NetworkProblem } from './network-problem.ts';
import { hasTables } from './own-tables.ts';
import { createPathKeeper, type EncryptionOptions } from './paths/path-keeper.ts';
import type { PodTransport } from './paths/pod-paths.ts';
import type { PacketCarrier } from './paths/relay/packet-relay.ts';
import { hostRange } from './paths/vxlan.ts';

export interface PodNetworkOptions {
  readonly host: Host;
  readonly changes: HostChanges;
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodeName: string;
  /** Pod addresses of the whole cluster. */
  readonly clusterCidrs: RangesByFamily;
  readonly cniConfigDirectory: string;
  readonly ipamDirectory: string;
  /** Of pods' interfaces; 0: worked out from the links between nodes. */
  readonly mtu: number;
  readonly transport: PodTransport;
  /** UDP port of the tunnels between nodes. */
  readonly vxlanPort: number;
  readonly encryption: EncryptionOptions;
  /** TCP port that every node answers or refuses. */
  readonly probePort: number;
  /** For nodes that cannot be reached otherwise; absent: they are not. */
  readonly carrier?: PacketCarrier | undefined;
  /** What is in the way of pod traffic changed; told once everything else stands. */
  readonly onProblems: (problems: readonly NetworkProblem[]) => void;
  /** Where pods find the cluster DNS on this node. */
  readonly resolver: { readonly addresses: Readonly<Partial<Record<IpFamily, string>>>; readonly port: number };
  /** `iptables` and `ip6tables` of the variants in use; the latter is asked for where pods have such addresses. */
  readonly iptables: Readonly<Partial<Record<IpFamily, string>>>;
}

export interface PodNetwork {
  /** Writes the runtime's network configuration; idempotent. The runtime picks it up by itself. */
  applyPodCidrs(podCidrs: readonly string[]): Promise<void>;
  /** Keeps routes to the pods of other nodes until aborted. */
  start(nodes: Informer<Node>, signal: AbortSignal): void;
  /** Whether the kernel still leads packets to our rules; true before there are any. */
  isIntact(): Promise<boolean>;
  /** Somebody threw rules of the kernel away: ours are put back. */
  reassert(): Promise<void>;
  /** Takes back everything that applyPodCidrs and start put into the host. */
  cleanUp(): Promise<void>;
}

/** Makes traffic between two ports of a bridge pass iptables; nothing loads it by itself. */
const BRIDGE_MODULE = 'br_netfilter';

/** Keys that pod traffic needs, with the reason in the log when the kernel lacks one. */
const SYSCTLS: Readonly<Record<IpFamily, readonly (readonly [string, string, string])[]>> = {
  IPv4: [
    ['net.ipv4.ip_forward', '1', 'pods cannot be reached from other hosts'],
    // Answers between two pods of one bridge would bypass the translation of Services.
    [
      'net.bridge.bridge-nf-call-iptables',
      '1',
      `pods cannot reach Services whose endpoint is on the same node (module ${BRIDGE_MODULE})`,
    ],
  ],
  IPv6: [
    ['net.ipv6.conf.all.forwarding', '1', 'pods cannot be reached from other hosts by IPv6'],
    [
      'net.bridge.bridge-nf-call-ip6tables',
      '1',
      `pods cannot reach Services of IPv6 whose endpoint is on the same node (module ${BRIDGE_MODULE})`,
    ],
  ],
};

interface OwnChain {
  readonly family: IpFamily;
  readonly table: 'nat' | 'filter';
  readonly chain: string;
  readonly hook: string;
  /** Before what a firewall of the host drops. */
  readonly isFirst: boolean;
  readonly rules: readonly (readonly string[])[];
}

/**
 * What pods need of the host's own tables, whatever the proxy mode: hosts with Docker forward nothing by default, hosts with ufw take
 * nothing in. Of INPUT only the resolver is opened, for pods alone, and the tunnel between nodes.
 */
function ownChains(podCidrs: readonly string[], options: PodNetworkOptions): OwnChain[] {
  return podCidrs.flatMap((podCidr) => {
    const family = parseCidr(podCidr)?.family;
    const clusterCidr = family === undefined ? undefined : options.clusterCidrs[family];
    return family === undefined || clusterCidr === undefined
      ? []
      : familyChains({ family, podCidr, clusterCidr }, options);
  });
}

interface FamilyRanges {
  readonly family: IpFamily;
  readonly podCidr: string;
  readonly clusterCidr: string;
}

function familyChains({ family, podCidr, clusterCidr }: FamilyRanges, options: PodNetworkOptions): OwnChain[] {
  const { resolver, transport, vxlanPort, encryption } = options;
  const address = resolver.addresses[family];
  const dns = (protocol: string) => [
    '-s',
    clusterCidr,
    '-d',
    hostRange(address ?? ''),
    '-p',
    protocol,
    '-m',
    protocol,
    '--dport',
    `${resolver.port}`,
    '-j',
    'ACCEPT',
  ];
  // From whom is judged by a rule of its own, with a set of all nodes: see paths/overlay-guard.ts.
  const tunnel = (port: number) => ['-p', 'udp', '-m', 'udp', '--dport', `${port}`, '-j', 'ACCEPT'];
  return [
    // Pods talk to the world with the node's address; among themselves with their own.
    {
      family,
      table: 'nat',
      chain: 'CORACLE-MASQ',
      hook: 'POSTROUTING',
      isFirst: false,
      rules: [['-s', podCidr, '!', '-d', clusterCidr, '-j', 'MASQUERADE']],
    },
    {
      family,
      table: 'filter',
      chain: 'CORACLE-FORWARD',
      hook: 'FORWARD',
      isFirst: true,
      rules: [
        ['-s', clusterCidr, '-j', 'ACCEPT'],
        ['-d', clusterCidr, '-j', 'ACCEPT'],
      ],
    },
    {
      family,
      table: 'filter',
      chain: 'CORACLE-INPUT',
      hook: 'INPUT',
      isFirst: true,
      rules: [
        ...(address === undefined ? [] : [dns('udp'), dns('tcp')]),
        ...(transport === 'direct' ? [] : [tunnel(vxlanPort)]),
        ...(encryption.isAsked ? [tunnel(encryption.port)] : []),
      ],
    },
  ];
}

type TableOf = Pick<OwnChain, 'family' | 'table'>;

const jumpTo = (hook: string, chain: string): string[] => [
  hook,
  '-m',
  'comment',
  '--comment',
  'coracle pod network',
  '-j',
  chain,
];

/**
 * A kernel that forwards IPv6 believes routers' advertisements no more, and loses its default route within half an hour, unless it is told to
 * believe them nevertheless. Done where a default route came by one, and where that of IPv4 leads: after a start of the host its router may
 * not have spoken yet.
 */
async function keepAdvertisedRoutes({ host, changes, log }: PodNetworkOptions): Promise<void> {
  const listed = await Promise.all([
    host.exec.run(['ip', '-j', '-6', 'route', 'show', 'default', 'proto', 'ra']),
    host.exec.run(['ip', '-j', '-4', 'route', 'show', 'default']),
  ]);
  const routes = listed.flatMap(({ stdout }) =>
    stdout.trim() === '' ? [] : (JSON.parse(stdout) as { readonly dev?: string }[]),
  );
  for (const device of new Set(routes.flatMap(({ dev }) => dev ?? []))) {
    // A dot in the name of a device is written as a slash.
    const sysctl = `net.ipv6.conf.${device.replaceAll('.', '/')}.accept_ra`;
    if ((await host.readSysctl(sysctl)) === '1' && !(await changes.setSysctl(sysctl, '2')))
      log.warn('the kernel refuses a setting', { sysctl, consequence: 'the default route of IPv6 may expire' });
  }
}

export function createPodNetwork(options: PodNetworkOptions): PodNetwork {
  const { host, log } = options;
  const configPath = `${options.cniConfigDirectory}/${CNI_CONFIG_FILE}`;
  const iptables = async ({ family, table }: TableOf, ...args: string[]) => {
    const program = options.iptables[family];
    if (program === undefined)
      throw new Error(`no program for the tables of ${family}: install the package "iptables"`);
    return host.exec.run([program, '-w', '5', '-t', table, ...args]);
  };
  const holds = (table: TableOf, ...args: string[]) =>
    iptables(table, ...args).then(
      () => true,
      () => false,
    );

  /** Brings one chain of ours to hold exactly these rules, and one jump to it. What is right already is not touched. */
  async function ensureChain(own: OwnChain): Promise<void> {
    const { chain, rules } = own;
    const table = own;
    const listed = await iptables(table, '-S', chain).catch(() => undefined);
    if (listed === undefined) await iptables(table, '-N', chain);
    const present = await Promise.all(rules.map((rule) => holds(table, '-C', chain, ...rule)));
    // What an earlier configuration opened (a port of encryption, say) is open no more.
    const standing = (listed?.stdout ?? '').split('\n').filter((line) => line.startsWith('-A ')).length;
    if (!present.every(Boolean) || standing > rules.length) {
      await iptables(table, '-F', chain);
      for (const rule of rules) await iptables(table, '-A', chain, ...rule);
    }
    await ensureJump(own);
  }

  /**
   * Before whatever may drop, but behind the proxy's jumps: what it refuses (no endpoint, foreign source) must not have been accepted
   * already. The proxy puts its own in front; here they may have come first or not.
   */
  async function ensureJump(table: OwnChain): Promise<void> {
    const { chain, hook, isFirst } = table;
    const { stdout } = await iptables(table, '-S', hook);
    const jumps = stdout.split('\n').filter((line) => line.startsWith('-A '));
    const own = jumps.findIndex((line) => line.endsWith(` -j ${chain}`));
    if (!isFirst) {
      if (own === -1) await iptables(table, '-A', ...jumpTo(hook, chain));
      return;
    }
    const proxy = jumps.findLastIndex((line) => / -j KUBE-[A-Z-]+$/.test(line));
    if (own > proxy) return;
    const [, ...jump] = jumpTo(hook, chain);
    await iptables(table, '-I', hook, String(proxy + 2), ...jump);
    // The old one goes once the new one stands, or packets would pass neither.
    if (own !== -1) await iptables(table, '-D', hook, String(own + 1));
  }

  /** Serial: a new MTU and a new range may come at the same time. */
  let applying: Promise<void> = Promise.resolve();
  let ownPodCidrs: readonly string[] = [];
  const paths = createPathKeeper({
    ...options,
    onMtu: () => {
      if (ownPodCidrs.length === 0) return;
      apply(ownPodCidrs).catch((err: unknown) => log.error('pods keep their MTU', { err: describeError(err) }));
    },
  });

  function apply(podCidrs: readonly string[]): Promise<void> {
    applying = applying.catch(() => {}).then(() => applyNow(podCidrs));
    return applying;
  }

  async function applyNow(podCidrs: readonly string[]): Promise<void> {
    // Built into some kernels and missing from others: the warning below tells when it matters.
    await host.exec
      .run(['modprobe', BRIDGE_MODULE])
      .catch((err: unknown) => log.debug('module not loaded', { module: BRIDGE_MODULE, err: describeError(err) }));
    await paths.keepClearTextBack();
    const families = new Set(podCidrs.flatMap((cidr) => parseCidr(cidr)?.family ?? []));
    if (families.has('IPv6')) await keepAdvertisedRoutes(options);
    for (const [name, value, consequence] of [...families].flatMap((family) => SYSCTLS[family])) {
      if (!(await options.changes.setSysctl(name, value)))
        log.warn('the kernel refuses a setting', { sysctl: name, consequence });
    }
    for (const chain of ownChains(podCidrs, options)) await ensureChain(chain);
    const mtu = await paths.podMtu();
    const config = renderCniConfig({ podCidrs, mtu, ipamDirectory: options.ipamDirectory });
    const present = await host.fs.info(configPath);
    if (present !== undefined && (await host.fs.readText(configPath)) === config) return;
    await host.fs.makeDirectory(options.cniConfigDirectory);
    await host.fs.writeAtomic(configPath, config, { mode: 0o644 });
    log.info('wrote the pod network configuration', { path: configPath, podCidrs, mtu });
  }

  return {
    applyPodCidrs(podCidrs) {
      ownPodCidrs = podCidrs;
      return apply(podCidrs);
    },

    start: (nodes, signal) => paths.start(nodes, signal),

    async isIntact() {
      if (ownPodCidrs.length === 0) return true;
      // One that is being set up now is told of by its own events.
      await applying.catch(() => {});
      if (!(await hasTables(host.exec, paths.tables))) return false;
      const jumps = ownChains(ownPodCidrs, options).map((own) => holds(own, '-C', ...jumpTo(own.hook, own.chain)));
      return (await Promise.all(jumps)).every(Boolean);
    },

    async reassert() {
      paths.reassert();
      if (ownPodCidrs.length > 0) await apply(ownPodCidrs);
    },

    async cleanUp() {
      await paths.cleanUp();
      for (const own of ownChains(['0.0.0.0/0', '::/0'], options)) {
        while (await holds(own, '-D', ...jumpTo(own.hook, own.chain)));
        if (await holds(own, '-F', own.chain)) await iptables(own, '-X', own.chain);
      }
      await host.exec
        .run(['ip', 'link', 'del', POD_BRIDGE])
        .catch((err: unknown) => log.debug('no pod bridge to remove', { err: describeError(err) }));
      await host.fs.remove(configPath);
      await host.fs.remove(options.ipamDirectory);
    },
  };
}
