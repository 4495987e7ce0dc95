import type { Informer } from '#api/client/informer.ts';
import type { Node } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Host } from '../host/host.ts';
import { CNI_CONFIG_FILE, POD_BRIDGE, renderCniConfig } from './cni-config.ts';
import type { HostChanges } from './host-changes.ts';
import type { NetworkProblem } from './network-problem.ts';
import { createPathKeeper } from './paths/path-keeper.ts';
import type { PodTransport } from './paths/pod-paths.ts';
import type { PacketCarrier } from './paths/relay/packet-relay.ts';

export interface PodNetworkOptions {
  readonly host: Host;
  readonly changes: HostChanges;
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodeName: string;
  readonly clusterCidr: string;
  readonly cniConfigDirectory: string;
  readonly ipamDirectory: string;
  /** Of pods' interfaces; 0: worked out from the links between nodes. */
  readonly mtu: number;
  readonly transport: PodTransport;
  /** UDP port of the tunnels between nodes. */
  readonly vxlanPort: number;
  /** TCP port that every node answers or refuses. */
  readonly probePort: number;
  /** For nodes that cannot be reached otherwise; absent: they are not. */
  readonly carrier?: PacketCarrier | undefined;
  /** What is in the way of pod traffic changed; told once everything else stands. */
  readonly onProblems: (problems: readonly NetworkProblem[]) => void;
  /** Where pods find the cluster DNS on this node. */
  readonly resolver: { readonly address: string; readonly port: number };
  /** `iptables` of the variant in use. */
  readonly iptables: string;
}

export interface PodNetwork {
  /** Writes the runtime's network configuration; idempotent. The runtime picks it up by itself. */
  applyPodCidr(podCidr: string): Promise<void>;
  /** Keeps routes to the pods of other nodes until aborted. */
  start(nodes: Informer<Node>, signal: AbortSignal): void;
  /** Whether the kernel still leads packets to our rules; true before there are any. */
  isIntact(): Promise<boolean>;
  /** Somebody threw rules of the kernel away: ours are put back. */
  reassert(): Promise<void>;
  /** Takes back everything that applyPodCidr and start put into the host. */
  cleanUp(): Promise<void>;
}

/** Makes traffic between two ports of a bridge pass iptables; nothing loads it by itself. */
const BRIDGE_MODULE = 'br_netfilter';

/** Keys that pod traffic needs, with the reason in the log when the kernel lacks one. */
const SYSCTLS: readonly (readonly [string, string, string])[] = [
  ['net.ipv4.ip_forward', '1', 'pods cannot be reached from other hosts'],
  // Answers between two pods of one bridge would bypass the translation of Services.
  [
    'net.bridge.bridge-nf-call-iptables',
    '1',
    `pods cannot reach Services whose endpoint is on the same node (module ${BRIDGE_MODULE})`,
  ],
];

interface OwnChain {
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
function ownChains(podCidr: string, { clusterCidr, resolver, transport, vxlanPort }: PodNetworkOptions): OwnChain[] {
  const dns = (protocol: string) => [
    '-s',
    clusterCidr,
    '-d',
    `${resolver.address}/32`,
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
  const tunnel = ['-p', 'udp', '-m', 'udp', '--dport', `${vxlanPort}`, '-j', 'ACCEPT'];
  return [
    // Pods talk to the world with the node's address; among themselves with their own.
    {
      table: 'nat',
      chain: 'CORACLE-MASQ',
      hook: 'POSTROUTING',
      isFirst: false,
      rules: [['-s', podCidr, '!', '-d', clusterCidr, '-j', 'MASQUERADE']],
    },
    {
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
      table: 'filter',
      chain: 'CORACLE-INPUT',
      hook: 'INPUT',
      isFirst: true,
      rules: [dns('udp'), dns('tcp'), ...(transport === 'direct' ? [] : [tunnel])],
    },
  ];
}

const jumpTo = (hook: string, chain: string): string[] => [
  hook,
  '-m',
  'comment',
  '--comment',
  'coracle pod network',
  '-j',
  chain,
];

export function createPodNetwork(options: PodNetworkOptions): PodNetwork {
  const { host, log } = options;
  const configPath = `${options.cniConfigDirectory}/${CNI_CONFIG_FILE}`;
  const iptables = (table: string, ...args: string[]) =>
    host.exec.run([options.iptables, '-w', '5', '-t', table, ...args]);
  const holds = (table: string, ...args: string[]) =>
    iptables(table, ...args).then(
      () => true,
      () => false,
    );

  /** Brings one chain of ours to hold exactly these rules, and one jump to it. What is right already is not touched. */
  async function ensureChain({ table, chain, hook, isFirst, rules }: OwnChain): Promise<void> {
    const missing = !(await holds(table, '-n', '-L', chain));
    if (missing) await iptables(table, '-N', chain);
    const present = await Promise.all(rules.map((rule) => holds(table, '-C', chain, ...rule)));
    if (!present.every(Boolean)) {
      await iptables(table, '-F', chain);
      for (const rule of rules) await iptables(table, '-A', chain, ...rule);
    }
    await ensureJump({ table, chain, hook, isFirst });
  }

  /**
   * Before whatever may drop, but behind the proxy's jumps: what it refuses (no endpoint, foreign source) must not have been accepted
   * already. The proxy puts its own in front; here they may have come first or not.
   */
  async function ensureJump({ table, chain, hook, isFirst }: Omit<OwnChain, 'rules'>): Promise<void> {
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
  let ownPodCidr: string | undefined;
  const paths = createPathKeeper({
    ...options,
    onMtu: () => {
      if (ownPodCidr === undefined) return;
      apply(ownPodCidr).catch((err: unknown) => log.error('pods keep their MTU', { err: describeError(err) }));
    },
  });

  function apply(podCidr: string): Promise<void> {
    applying = applying.catch(() => {}).then(() => applyNow(podCidr));
    return applying;
  }

  async function applyNow(podCidr: string): Promise<void> {
    // Built into some kernels and missing from others: the warning below tells when it matters.
    await host.exec
      .run(['modprobe', BRIDGE_MODULE])
      .catch((err: unknown) => log.debug('module not loaded', { module: BRIDGE_MODULE, err: describeError(err) }));
    for (const [name, value, consequence] of SYSCTLS) {
      if (!(await options.changes.setSysctl(name, value)))
        log.warn('the kernel refuses a setting', { sysctl: name, consequence });
    }
    for (const chain of ownChains(podCidr, options)) await ensureChain(chain);
    const mtu = await paths.podMtu();
    const config = renderCniConfig({ podCidr, mtu, ipamDirectory: options.ipamDirectory });
    const present = await host.fs.info(configPath);
    if (present !== undefined && (await host.fs.readText(configPath)) === config) return;
    await host.fs.makeDirectory(options.cniConfigDirectory);
    await host.fs.writeAtomic(configPath, config, { mode: 0o644 });
    log.info('wrote the pod network configuration', { path: configPath, podCidr, mtu });
  }

  return {
    applyPodCidr(podCidr) {
      ownPodCidr = podCidr;
      return apply(podCidr);
    },

    start: (nodes, signal) => paths.start(nodes, signal),

    async isIntact() {
      if (ownPodCidr === undefined) return true;
      // One that is being set up now is told of by its own events.
      await applying.catch(() => {});
      const jumps = ownChains(ownPodCidr, options).map(({ table, chain, hook }) =>
        holds(table, '-C', ...jumpTo(hook, chain)),
      );
      return (await Promise.all(jumps)).every(Boolean);
    },

    async reassert() {
      paths.reassert();
      if (ownPodCidr !== undefined) await apply(ownPodCidr);
    },

    async cleanUp() {
      await paths.cleanUp();
      for (const { table, chain, hook } of ownChains('0.0.0.0/0', options)) {
        while (await holds(table, '-D', ...jumpTo(hook, chain)));
        if (await holds(table, '-F', chain)) await iptables(table, '-X', chain);
      }
      await host.exec
        .run(['ip', 'link', 'del', POD_BRIDGE])
        .catch((err: unknown) => log.debug('no pod bridge to remove', { err: describeError(err) }));
      await host.fs.remove(configPath);
      await host.fs.remove(options.ipamDirectory);
    },
  };
}
