import type { RangesByFamily } from '#api/meta/ip-ranges.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { DatagramSocket, Host } from '../../../host/host.ts';
import type { NetworkProblem } from '../../network-problem.ts';
import type { PodPath } from '../pod-paths.ts';
import { tunnelOf } from '../vxlan.ts';
import { Reachability } from './reachability.ts';
import {
  addressedStraight,
  decodeHello,
  destinationMac,
  encodeHello,
  isRelayFrame,
  probeAddressOf,
  relayMacOf,
  sourceMac,
} from './relay-frames.ts';
import { isProbed } from './relay-paths.ts';

/** Datagrams to other nodes by way of the controller; they may be lost. */
export interface PacketCarrier {
  send(node: string, bytes: Uint8Array): void;
  onPacket(listener: (from: string, bytes: Uint8Array) => void): void;
}

export interface PacketRelayOptions {
  readonly host: Pick<Host, 'openDatagrams' | 'dialer'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly carrier: PacketCarrier;
  readonly clusterCidrs: RangesByFamily;
  readonly vxlanPort: number;
  readonly probePort: number;
  /** Which nodes are relayed changed. */
  readonly onChange: () => void;
}

const LOOPBACK = '127.0.0.1';
/** A node that is busy is no node that cannot be reached. */
const DIAL_TIMEOUT_MS = 2_000;

/**
 * Carries frames of the kernel's VXLAN device through the controller's tunnel, for nodes that cannot reach each other. The kernel
 * does the rest: MTU, checksums, fragments are as on every other tunnel.
 */
export class PacketRelay {
  readonly #options: PacketRelayOptions;
  readonly #reachability: Reachability;
  #socket: DatagramSocket | undefined;
  #nodes: ReadonlyMap<string, string> = new Map();
  #macs: ReadonlyMap<string, string> = new Map();

  constructor(options: PacketRelayOptions) {
    this.#options = options;
    const { carrier, clock, onChange } = options;
    this.#reachability = new Reachability({
      clock,
      isAnswered: (address) => this.#isAnswered(address),
      sayHello: (node, hello) => carrier.send(node, encodeHello(hello)),
      onChange,
    });
  }

  /** Port of the socket that takes the kernel's frames; undefined: there is none. */
  get port(): number | undefined {
    return this.#socket?.port;
  }

  get relayed(): ReadonlySet<string> {
    return this.#reachability.relayed;
  }

  async start(signal: AbortSignal): Promise<void> {
    const { host, carrier, log } = this.#options;
    this.#socket = await host.openDatagrams({ address: LOOPBACK, port: 0, onMessage: (bytes) => this.#onFrame(bytes) });
    signal.addEventListener('abort', () => this.#socket?.close(), { once: true });
    carrier.onPacket((from, bytes) => this.#onPacket(from, bytes));
    this.#reachability
      .run(signal)
      .catch((err: unknown) => log.error('nodes are no longer probed', { err: describeError(err) }));
  }

  /** These are the paths to other nodes as of now. */
  look(paths: readonly PodPath[]): void {
    this.#nodes = new Map(paths.map(({ nodeCidr, node }) => [relayMacOf(nodeCidr), node]));
    this.#macs = new Map(paths.map(({ nodeCidr, node }) => [node, tunnelOf(nodeCidr).mac]));
    this.#reachability.look(
      paths.filter(isProbed).flatMap(({ node, nodeCidr, nodeAddress, directDevice, wireguardKey, isBarred }) => {
        const address = probeAddressOf(nodeCidr, this.#options.clusterCidrs);
        const way = isBarred ? 'barred' : (wireguardKey ?? directDevice ?? '');
        return address === undefined ? [] : [{ node, address, path: `${nodeAddress} ${way}` }];
      }),
    );
  }

  #onFrame(bytes: Uint8Array): void {
    const node = isRelayFrame(bytes) ? this.#nodes.get(destinationMac(bytes)) : undefined;
    if (node !== undefined) this.#options.carrier.send(node, addressedStraight(bytes));
  }

  /** The controller says who sent it; nobody may speak for another node. */
  #onPacket(from: string, bytes: Uint8Array): void {
    const hello = decodeHello(bytes);
    if (hello !== undefined) this.#reachability.onHello(from, hello);
    else if (isRelayFrame(bytes) && sourceMac(bytes) === this.#macs.get(from)) {
      this.#reachability.onTraffic(from);
      this.#socket?.send(bytes, { address: LOOPBACK, port: this.#options.vxlanPort });
    }
  }

  async #isAnswered(address: string): Promise<boolean> {
    const { host, probePort } = this.#options;
    try {
      (await host.dialer.tcp(address, probePort, { timeoutMs: DIAL_TIMEOUT_MS })).destroy();
      return true;
    } catch (err) {
      return (err as NodeJS.ErrnoException).code === 'ECONNREFUSED';
    }
  }
}

export const nodesRelayed = (
  paths: readonly PodPath[],
  { tunnelPort, probePort }: { readonly tunnelPort: number; readonly probePort: number },
): NetworkProblem => ({
  reason: 'NodesRelayed',
  cause: `packets to pods of node(s) ${paths
    .filter(isProbed)
    .map(({ node, nodeAddress }) => `${node} (${nodeAddress})`)
    .join(', ')} go through the controller, slowly: probes of the path between the nodes stay unanswered`,
  cure: `let UDP port ${tunnelPort}, TCP port ${probePort} and the addresses of pods pass between the nodes, in both directions`,
  isDegraded: true,
});
