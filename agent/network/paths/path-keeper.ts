import type { Informer } from '#api/client/informer.ts';
import type { IpFamily } from '#api/meta/ip-address.ts';
import type { RangesByFamily } from '#api/meta/ip-ranges.ts';
import type { Node } from '#api/object/kinds.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Host } from '../../host/host.ts';
import type { NetworkProblem } from '../network-problem.ts';
import { watchLinks } from './link-monitor.ts';
import { type LinkTable, parseLinkTable } from './link-table.ts';
import { type MtuFacts, podMtu, wireguardMtu } from './pod-mtu.ts';
import { addressOf, computePodPaths, type PodPath, type PodTransport, podCidrsOf, underlayOf } from './pod-paths.ts';
import { diffRoutes, parseRoutes, ROUTE_PROTOCOL, routesOf } from './pod-routes.ts';
import { nodesRelayed, type PacketCarrier, PacketRelay, type PacketRelayOptions } from './relay/packet-relay.ts';
import { probeAddressOf } from './relay/relay-frames.ts';
import { type RelayScope, relayRoutes } from './relay/relay-paths.ts';
import { runBatch, TunnelDevice } from './tunnel-device.ts';
import { TunnelHealth } from './tunnel-health.ts';
import { hostRange, isByVxlan, peersOf, tunnelOf } from './vxlan.ts';
import type { EncryptionScope } from './wireguard/encrypted-paths.ts';
import { wireguardKeyOf } from './wireguard/node-key.ts';
import { PodEncryption } from './wireguard/pod-encryption.ts';

export interface PathKeeperOptions {
  readonly host: Host;
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodeName: string;
  /** Pod addresses of the whole cluster. */
  readonly clusterCidrs: RangesByFamily;
  readonly transport: PodTransport;
  /** UDP port of the tunnels, the same on every node. */
  readonly vxlanPort: number;
  readonly encryption: EncryptionOptions;
  /** TCP port that every node answers or refuses: what probes dial. */
  readonly probePort: number;
  /** MTU of pods' interfaces as configured; 0: worked out. */
  readonly mtu: number;
  /** For nodes that cannot be reached otherwise; absent: they are not. */
  readonly carrier?: PacketCarrier | undefined;
  /** The MTU of pods, worked out anew: the runtime's configuration may have to be written again. */
  readonly onMtu: (mtu: number) => void;
  /** What is in the way of pod traffic changed. */
  readonly onProblems: (problems: readonly NetworkProblem[]) => void;
}

export interface EncryptionOptions {
  /** Whether packets between pods of different nodes may go encrypted only. */
  readonly isAsked: boolean;
  /** UDP port of WireGuard, the same on every node. */
  readonly port: number;
  /** File of this node's private key. */
  readonly keyPath: string;
  /** Writes this node's public key into its Node; undefined: takes it away. */
  readonly publishKey: (publicKey: string | undefined) => Promise<void>;
}

export interface PathKeeper {
  /** MTU of pods' interfaces, from what is known of the other nodes by now. */
  podMtu(): Promise<number>;
  /** Keeps paths to the pods of other nodes until aborted. */
  start(nodes: Informer<Node>, signal: AbortSignal): void;
  /** Somebody threw rules away: ours are put back. */
  reassert(): void;
  /** Tables of nftables that ought to stand. */
  readonly tables: readonly string[];
  /** Before this host forwards anything for pods. */
  keepClearTextBack(): Promise<void>;
  cleanUp(): Promise<void>;
}

const RETRY = { initialMs: 500, maxMs: 30_000, jitter: 0.2 };
/** What no event told of is found by then. */
const LOOK_AGAIN_MS = 60_000;

export function createPathKeeper(options: PathKeeperOptions): PathKeeper {
  return new Keeper(options);
}

class Keeper implements PathKeeper {
  readonly #options: PathKeeperOptions;
  #nodes: readonly Node[] = [];
  #dirty = true;
  #wake = () => {};
  #syncing: Promise<void> = Promise.resolve();
  #mtu: number | undefined;
  #tunnelProblem: NetworkProblem | undefined;
  #relayProblem: NetworkProblem | undefined;
  #encryptionProblems: readonly NetworkProblem[] = [];
  readonly #encryption: PodEncryption;
  readonly #relay: PacketRelay | undefined;
  readonly #relayOptions: PacketRelayOptions | undefined;
  readonly #device: TunnelDevice;
  readonly #tunnel: TunnelHealth;

  constructor(options: PathKeeperOptions) {
    this.#options = options;
    const { host, clock, log, probePort, vxlanPort, clusterCidrs, transport, carrier } = options;
    this.#encryption = new PodEncryption({ host, clock, log, clusterCidrs, ...options.encryption });
    const shared = { host, clock, log, clusterCidrs, probePort, vxlanPort };
    // Without a device of ours there is nothing that frames could be taken from.
    if (carrier !== undefined && transport !== 'direct')
      this.#relayOptions = { ...shared, carrier, onChange: () => this.#touch() };
    if (this.#relayOptions !== undefined) this.#relay = new PacketRelay(this.#relayOptions);
    const onSetUp = () => this.#tunnel.forget();
    this.#device = new TunnelDevice({ host, log, transport, vxlanPort, onSetUp });
    this.#tunnel = new TunnelHealth({
      exec: host.exec,
      dialer: host.dialer,
      clock,
      log,
      port: probePort,
      vxlanPort,
      onProblem: (problem) => {
        this.#tunnelProblem = problem;
        this.#tellProblems();
      },
    });
  }

  async podMtu(): Promise<number> {
    return this.#podMtu(await this.#facts());
  }

  start(nodes: Informer<Node>, signal: AbortSignal): void {
    const { host, clock, log } = this.#options;
    const touch = () => this.#touch();
    nodes.addHandler({ onAdd: touch, onUpdate: (a, b) => pathFacts(a) !== pathFacts(b) && touch(), onDelete: touch });
    void watchLinks({ exec: host.exec, clock, log, hasIpv6: this.#hasIpv6, onChange: touch }, signal);
    this.#run(nodes, signal).catch((err: unknown) => {
      if (!signal.aborted) log.error('pod routes are no longer kept', { err: describeError(err) });
    });
  }

  get tables(): readonly string[] {
    return [...this.#device.tables, ...this.#encryption.tables];
  }

  keepClearTextBack(): Promise<void> {
    return this.#encryption.keepClearTextBack();
  }

  reassert(): void {
    this.#device.reassert();
    this.#encryption.reassert();
    this.#touch();
  }

  async cleanUp(): Promise<void> {
    const { host } = this.#options;
    // A pass that is under way would put back what goes.
    await this.#syncing.catch(() => {});
    await runBatch(host.exec, 'ip', diffRoutes(await this.#ownRoutes(), []));
    await this.#encryption.cleanUp();
    await this.#device.cleanUp();
  }

  #podMtu(facts: MtuFacts): number {
    const { mtu, transport } = this.#options;
    return podMtu(mtu, { transport, isEncrypted: this.#encryption.isAsked }, facts);
  }

  #touch(): void {
    this.#dirty = true;
    this.#wake();
  }

  async #run(nodes: Informer<Node>, signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    signal.addEventListener('abort', () => this.#wake(), { once: true });
    await nodes.waitForSync(signal);
    await this.#relay
      ?.start(signal)
      .catch((err: unknown) => log.warn('no node can be relayed', { err: describeError(err) }));
    for (let failures = 0; !signal.aborted; ) {
      this.#dirty = false;
      try {
        this.#nodes = nodes.list();
        this.#syncing = this.#sync(signal);
        await this.#syncing;
        failures = 0;
      } catch (err) {
        failures += 1;
        log.warn('could not set pod routes', { err: describeError(err), failures });
        await this.#pause(backoffDelayMs(failures, RETRY), signal);
        continue;
      }
      const pauseMs = Math.min(LOOK_AGAIN_MS, this.#encryption.lookAgainMs ?? LOOK_AGAIN_MS);
      if (!this.#dirty) await this.#pause(pauseMs, signal);
    }
  }

  /** Until something changes, at most this long. */
  async #pause(delayMs: number, signal: AbortSignal): Promise<void> {
    const early = new AbortController();
    this.#wake = () => early.abort();
    await delay(this.#options.clock, delayMs, AbortSignal.any([signal, early.signal])).catch(() => {});
    this.#wake = () => {};
  }

  /** One pass: the device and its peers first, then the routes that lead into it, then what those no longer need. */
  async #sync(signal: AbortSignal): Promise<void> {
    const { nodeName, clusterCidrs, transport, log, host } = this.#options;
    const facts = await this.#facts();
    const own = this.#nodes.find(({ metadata }) => metadata.name === nodeName);
    const ownCidrs = own === undefined ? [] : podCidrsOf(own, clusterCidrs);
    const [ownCidr] = ownCidrs;
    const { links, underlay } = facts;
    const hasRelay = this.#hasRelay(underlay);
    const relayed = (hasRelay ? this.#relay?.relayed : undefined) ?? new Set<string>();
    const encryption = await this.#prepareEncryption(ownCidrs, facts);
    const scope = { ownName: nodeName, clusterCidrs, transport, links, relayed, encryption };
    const paths = computePodPaths(this.#nodes, scope);
    const isReady = ownCidr !== undefined && (await this.#syncDevice([ownCidr, ...ownCidrs.slice(1)], facts, paths));
    const usable = isReady ? paths : paths.filter((path) => !isByVxlan(path) && !path.isRelayed);
    const relay = isReady && hasRelay ? { ownCidr, clusterCidrs, links } : undefined;
    const failures: unknown[] = [];
    const attempt = (step: Promise<unknown>) => step.catch((err: unknown) => failures.push(err));
    if (encryption.isReady) await attempt(this.#encryption.syncPeers(usable, links));
    if (isReady) await attempt(this.#device.syncPeers(usable, relay));
    const desired = [
      ...this.#encryption.barriers(),
      ...routesOf(usable),
      ...(relay === undefined ? [] : relayRoutes(usable, relay)),
    ];
    const routes = diffRoutes(await this.#ownRoutes(), desired);
    // One node that cannot be reached must not cost the others their routes: a batch goes on after what fails.
    await attempt(runBatch(host.exec, 'ip', routes));
    if (routes.length > 0) log.info('changed pod routes', { changes: routes.length, nodes: usable.length });
    if (failures.length === 0) this.#tunnel.look(peersOf(usable), signal);
    this.#lookAtRelay(usable, relay);
    this.#encryptionProblems = this.#encryption.problems(paths, relay !== undefined);
    this.#tellProblems();
    await attempt(this.#encryption.publish(own, encryption));
    const wanted = this.#podMtu(facts);
    if (wanted !== this.#mtu) this.#options.onMtu(wanted);
    this.#mtu = wanted;
    if (failures.length > 0) throw failures[0];
  }

  #prepareEncryption(ownCidrs: readonly string[], facts: MtuFacts): Promise<EncryptionScope> {
    const [nodeCidr] = ownCidrs;
    if (nodeCidr === undefined) return this.#encryption.prepare(undefined);
    const probe = this.#hasRelay(facts.underlay) ? probeAddressOf(nodeCidr, this.#options.clusterCidrs) : undefined;
    return this.#encryption.prepare({
      addresses: ownCidrs.map((cidr) => hostRange(tunnelOf(cidr).address)),
      probeAddress: probe === undefined ? undefined : hostRange(probe),
      mtu: wireguardMtu(facts),
    });
  }

  #syncDevice(ownCidrs: readonly [string, ...string[]], facts: MtuFacts, paths: readonly PodPath[]): Promise<boolean> {
    const { clusterCidrs, nodeName } = this.#options;
    const { underlay } = facts;
    const { isAsked } = this.#encryption;
    const hasRelay = this.#hasRelay(underlay);
    // Encrypted paths are probed through WireGuard.
    const probeAddress = hasRelay && !isAsked ? probeAddressOf(ownCidrs[0], clusterCidrs) : undefined;
    // What is to be encrypted comes through the relay alone, if not by WireGuard.
    const others = (isAsked ? [] : this.#nodes)
      .filter(({ metadata }) => metadata.name !== nodeName)
      .flatMap((node) => addressOf(node, underlay) ?? []);
    const guard = { nodeAddresses: [...new Set(others)], relayPort: hasRelay ? this.#relay?.port : undefined };
    return this.#device.sync({ ownCidrs, facts, paths, probeAddress, guard });
  }

  #lookAtRelay(paths: readonly PodPath[], scope: RelayScope | undefined): void {
    if (this.#relay === undefined || this.#relayOptions === undefined || scope === undefined) return;
    this.#relay.look(paths);
    const { vxlanPort, probePort, encryption } = this.#options;
    const relayed = paths.filter(({ isRelayed, isBarred }) => isRelayed && !isBarred);
    const ports = { tunnelPort: this.#encryption.isAsked ? encryption.port : vxlanPort, probePort };
    this.#relayProblem = relayed.length === 0 ? undefined : nodesRelayed(relayed, ports);
  }

  #tellProblems(): void {
    const problems = [this.#device.problem, this.#tunnelProblem, this.#relayProblem, ...this.#encryptionProblems];
    this.#options.onProblems(problems.filter((problem) => problem !== undefined));
  }

  async #facts(): Promise<MtuFacts & { links: LinkTable }> {
    const { exec } = this.#options.host;
    const [IPv4, IPv6, links] = await Promise.all([
      this.#routes('-4'),
      this.#hasIpv6 ? this.#routes('-6') : '',
      exec.run(['ip', '-j', 'link', 'show']),
    ]);
    const { nodeName } = this.#options;
    const underlay = underlayOf(this.#nodes);
    const others = this.#nodes.filter(({ metadata }) => metadata.name !== nodeName);
    return {
      links: parseLinkTable({ IPv4, IPv6 }, links.stdout),
      nodeAddresses: others.flatMap((node) => addressOf(node, underlay) ?? []),
      underlay,
    };
  }

  /** Whether pods have such addresses: nodes that have no others carry pods of IPv4 too, but not by routes of theirs. */
  get #hasIpv6(): boolean {
    return this.#options.clusterCidrs.IPv6 !== undefined;
  }

  /** Its socket takes frames of IPv4 alone, and the probes that decide about it go by routes of IPv4. */
  #hasRelay(underlay: IpFamily): boolean {
    return this.#relay !== undefined && underlay === 'IPv4' && this.#options.clusterCidrs.IPv4 !== undefined;
  }

  async #routes(family: '-4' | '-6', ...filter: readonly string[]): Promise<string> {
    return (await this.#options.host.exec.run(['ip', '-j', family, 'route', 'show', ...filter])).stdout;
  }

  async #ownRoutes() {
    const families = this.#hasIpv6 ? (['-4', '-6'] as const) : (['-4'] as const);
    const listed = await Promise.all(families.map((family) => this.#routes(family, 'proto', ROUTE_PROTOCOL)));
    return listed.flatMap(parseRoutes);
  }
}

/** The part of a Node that paths depend on. */
function pathFacts(node: Node): string {
  return JSON.stringify([node.spec?.podCIDR, node.spec?.podCIDRs, node.status?.addresses, wireguardKeyOf(node)]);
}
