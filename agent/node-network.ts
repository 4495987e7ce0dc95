import type { KubeClient } from '#api/client/client.ts';
import type { Informer } from '#api/client/informer.ts';
import type { IpFamily } from '#api/meta/ip-address.ts';
import type { RangesByFamily } from '#api/meta/ip-ranges.ts';
import type { Node } from '#api/object/kinds.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { configuredBackend } from './configured-backend.ts';
import { podRanges } from './family-settings.ts';
import type { Host } from './host/host.ts';
import { removeDnsAddress, resolverAddresses } from './network/dns/dns-server.ts';
import { HostChanges } from './network/host-changes.ts';
import { type NetworkProblem, NetworkProblems } from './network/network-problem.ts';
import { createNodeInformers } from './network/offline/node-informers.ts';
import type { PodTransport } from './network/paths/pod-paths.ts';
import type { PacketCarrier } from './network/paths/relay/packet-relay.ts';
import { WIREGUARD_KEY_ANNOTATION } from './network/paths/wireguard/node-key.ts';
import { createPodNetwork, type PodNetwork } from './network/pod-network.ts';
import { type PolicyEnforcer, removePolicyTables } from './network/policy/policy-enforcer.ts';
import { SetUp } from './network/set-up.ts';
import { watchHostTrouble } from './network/trouble/watch-host-trouble.ts';
import { type NodeServicesOptions, startServices } from './node-services.ts';
import { cniConfigDirectory } from './own-runtime.ts';
import { chooseIptables } from './proxy/iptables/iptables-binaries.ts';

export interface NodeNetworkOptions extends NodeServicesOptions {
  /** Of this node, as found; absent: as configured. */
  readonly nodeIps?: readonly string[];
  /** For nodes that cannot be reached otherwise. */
  readonly carrier?: PacketCarrier;
  /** What is in the way of pod traffic changed. */
  readonly onProblems?: () => void;
  /** Writes annotations of this node's Node, which the network's own identity may not; null takes one away. */
  readonly annotateNode?: (annotations: Readonly<Record<string, string | null>>) => Promise<void>;
}

/** Services and pod routes of this node; acts as `coracle:netd:<name>`, which reads no pods and no secrets. */
export interface NodeNetwork {
  start(client: KubeClient, signal: AbortSignal): void;
  /** The controller gave this node its pod addresses. Resolves after the first try to use them; it is tried again until they are in use. */
  onPodCidrs(podCidrs: readonly string[]): Promise<void>;
  /** What is in the way of pod traffic on this node; undefined: the network is somebody else's. */
  problems(): readonly NetworkProblem[] | undefined;
  /** Takes everything back that this module put into the host. */
  cleanUp(): Promise<void>;
}

export async function createNodeNetwork(options: NodeNetworkOptions): Promise<NodeNetwork> {
  const { config, nodeName, host, clock, log } = options;
  const clusterCidrs = podRanges(config.clusterCidr);
  const iptables = await programsOf(clusterCidrs, host);
  const changes = new HostChanges(host, `${config.dataDir}/host-changes.json`);
  const problems = new NetworkProblems((all) => {
    for (const { reason, cause, cure } of all) log.warn('pod traffic is hindered', { reason, cause, cure });
    options.onProblems?.();
  });
  const podNetwork = openPodNetwork(options, {
    changes,
    iptables,
    onProblems: (found) => problems.tell('paths', found),
  });
  const trouble = watchHostTrouble({
    ...{ host, clock, log: log.child({ component: 'network' }), iptables: iptables.IPv4 ?? iptables.IPv6 ?? '' },
    clusterCidrs,
    onProblems: (found) => problems.tell('host', found),
  });
  const backend = await configuredBackend(config, {
    ...{ exec: host.exec, log: log.child({ component: 'proxy' }) },
    nodeIps: options.nodeIps,
  });
  let ownPodCidrs: readonly string[] = [];
  const setUp = new SetUp({ clock, log, onProblems: (found) => problems.tell('setUp', found) });
  const reassert = async () => {
    if (config.networkMode !== 'routes') return;
    await setUp.take(() => podNetwork.reassert());
    trouble.look();
  };
  /**
   * In whatever table the proxy has its own, those of pods stand in those of iptables, which other programs flush; some rules of ours are
   * nftables' on a host with iptables-legacy too, where `nft flush ruleset` leaves the proxy's alone.
   */
  const onRulesChanged = async (policies: PolicyEnforcer) => {
    if (!(await policies.isIntact())) {
      log.warn('rules of network policies were removed by somebody else; writing them again');
      policies.reassert();
    }
    if (config.networkMode !== 'routes') return;
    trouble.lookSoon();
    if (await podNetwork.isIntact()) return;
    log.warn('rules of the pod network were removed by somebody else; writing them again');
    await reassert();
  };
  const onPodCidrs = async (podCidrs: readonly string[]) => {
    ownPodCidrs = podCidrs;
    if (config.networkMode === 'routes')
      await setUp.take(() => podNetwork.applyPodCidrs(usableRanges(podCidrs, clusterCidrs, log)));
    trouble.look();
  };
  /** The kubelet tells the same, but not while no API can be asked: what was kept of the Node serves then. */
  const watchOwnNode = (nodes: Informer<Node>) => {
    const tell = ({ metadata, spec }: Node) => {
      const podCidrs = spec?.podCIDRs ?? (spec?.podCIDR === undefined ? [] : [spec.podCIDR]);
      if (metadata.name !== nodeName || ownPodCidrs.length > 0 || podCidrs.length === 0) return;
      void onPodCidrs(podCidrs);
    };
    nodes.addHandler({ onAdd: tell, onUpdate: (_, node) => tell(node) });
  };
  return {
    problems: () => (config.networkMode === 'routes' ? problems.list() : undefined),
    start(client, signal) {
      const folder = `${config.dataDir}/network`;
      signal.addEventListener('abort', () => setUp.stop(), { once: true });
      const informers = createNodeInformers({ client, fs: host.fs, folder, nodeName, clock, log });
      if (config.networkMode === 'routes') {
        void trouble.run(signal);
        podNetwork.start(informers.nodes(), signal);
        watchOwnNode(informers.nodes());
      }
      if (backend.mode === 'iptables' && config.proxyMode !== 'none' && config.localhostNodePorts)
        allowLocalhostNodePorts(changes, log).catch((err: unknown) =>
          log.error('node ports are deaf on 127.0.0.1', { err: describeError(err) }),
        );
      if (config.proxyMode === 'none') {
        informers.start(signal);
        return;
      }
      const complain = (err: unknown) =>
        log.error('the pod network could not be set up again', { err: describeError(err) });
      startServices(
        options,
        {
          ...{ backend, informers },
          tell: (source, found) => problems.tell(source, found),
          onRulesChanged: (policies) => void onRulesChanged(policies).catch(complain),
          // The masquerade of pods stands in the tables that were lost.
          onRulesLost: () => void reassert().catch(complain),
        },
        signal,
      )
        .then(() => informers.start(signal))
        .catch((err: unknown) => log.error('Services are not programmed', { err: describeError(err) }));
    },
    onPodCidrs,
    cleanUp: () =>
      cleanUp(log, [
        ['proxy rules', () => backend.cleanUp()],
        ['cluster DNS', () => removeDnsAddress(host)],
        ['network policies', () => removePolicyTables(host.exec)],
        ['pod network', () => podNetwork.cleanUp()],
        ['kernel settings', () => changes.restore()],
      ]),
  };
}

interface PodNetworkParts {
  readonly changes: HostChanges;
  readonly iptables: Partial<Record<IpFamily, string>>;
  readonly onProblems: (problems: readonly NetworkProblem[]) => void;
}

function openPodNetwork(options: NodeNetworkOptions, { changes, iptables, onProblems }: PodNetworkParts): PodNetwork {
  const { config, nodeName, host, clock, log } = options;
  return createPodNetwork({
    host,
    changes,
    clock,
    log: log.child({ component: 'network' }),
    nodeName,
    clusterCidrs: podRanges(config.clusterCidr),
    cniConfigDirectory: cniConfigDirectory(config),
    ipamDirectory: `${config.runDir}/ipam`,
    mtu: config.mtu,
    transport: config.podTransport as PodTransport,
    vxlanPort: config.vxlanPort,
    encryption: {
      isAsked: config.podEncryption === 'wireguard',
      port: config.wireguardPort,
      keyPath: `${config.dataDir}/network/wireguard.key`,
      publishKey: async (key) => options.annotateNode?.({ [WIREGUARD_KEY_ANNOTATION]: key ?? null }),
    },
    probePort: config.proxyHealthzPort || config.nodeApiPort,
    carrier: options.carrier,
    onProblems,
    resolver: { addresses: resolverAddresses(config.clusterDns), port: config.dnsPort },
    iptables,
  });
}

/** Answers of pods to 127.0.0.1 are martians elsewhere; KUBE-FIREWALL keeps the rest of the link from what listens there. */
async function allowLocalhostNodePorts(changes: HostChanges, log: Logger): Promise<void> {
  if (!(await changes.setSysctl('net.ipv4.conf.all.route_localnet', '1')))
    log.warn('the kernel refuses a setting', {
      sysctl: 'route_localnet',
      consequence: 'node ports are deaf on 127.0.0.1',
    });
}

/** `iptables` and `ip6tables` of the variants in use, as far as pods have addresses of the family. */
async function programsOf(ranges: RangesByFamily, { exec }: Host): Promise<Partial<Record<IpFamily, string>>> {
  const families = Object.keys(ranges) as IpFamily[];
  const chosen = families.map(async (family) => [family, (await chooseIptables(exec, family)).iptables] as const);
  return Object.fromEntries(await Promise.all(chosen));
}

/** What the controller gives beyond what this agent was told of is left alone: no rule would fit. */
function usableRanges(podCidrs: readonly string[], ranges: RangesByFamily, log: Logger): readonly string[] {
  const isKnown = (cidr: string) => ranges[cidr.includes(':') ? 'IPv6' : 'IPv4'] !== undefined;
  const unknown = podCidrs.filter((cidr) => !isKnown(cidr));
  if (unknown.length > 0)
    log.error('this node has pod addresses of a family that its own clusterCidr lacks: set it as on the controller', {
      podCidrs: unknown,
      clusterCidr: Object.values(ranges),
    });
  return podCidrs.filter(isKnown);
}

/** Each step on its own: what one leaves must not keep the others from going. */
async function cleanUp(
  log: Logger,
  steps: readonly (readonly [what: string, step: () => Promise<void>])[],
): Promise<void> {
  for (const [what, step] of steps) {
    await step().catch((err: unknown) => log.warn('clean-up was not complete', { what, err: describeError(err) }));
  }
}
