import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { ExecError, type Executor, type Host } from '../../host/host.ts';
import type { NetworkProblem } from '../network-problem.ts';
import { DELETE_GUARD, type GuardOptions, guardTable, renderGuard } from './overlay-guard.ts';
import { type MtuFacts, vxlanMtu } from './pod-mtu.ts';
import type { PodPath, PodTransport } from './pod-paths.ts';
import { type RelayScope, relayPeers } from './relay/relay-paths.ts';
import {
  diffPeers,
  isByVxlan,
  parsePeerTables,
  parseVxlanDevice,
  peersOf,
  planDevice,
  tunnelOf,
  VXLAN_DEVICE,
} from './vxlan.ts';

export interface TunnelDeviceOptions {
  readonly host: Host;
  readonly log: Logger;
  readonly transport: PodTransport;
  /** UDP port of the tunnels, the same on every node. */
  readonly vxlanPort: number;
  /** The device was made anew, or changed. */
  readonly onSetUp: () => void;
}

/** What the device is to be in one pass. */
export interface DeviceAims {
  /** Pod ranges of this node. */
  readonly ownCidrs: readonly [string, ...string[]];
  readonly facts: MtuFacts;
  readonly paths: readonly PodPath[];
  /** Where probes of the relay answer; undefined: nobody probes through this device. */
  readonly probeAddress: string | undefined;
  /** Who may send into the tunnel. */
  readonly guard: Pick<GuardOptions, 'nodeAddresses' | 'relayPort'>;
}

/** One line for each change; a batch goes on after what fails. */
export async function runBatch(exec: Executor, program: 'ip' | 'bridge', lines: readonly string[]): Promise<void> {
  if (lines.length === 0) return;
  await exec.run([program, '-force', '-batch', '-'], { stdin: `${lines.join('\n')}\n` });
}

/** The VXLAN device to nodes beyond a router, its peers, and who may send into it. */
export class TunnelDevice {
  readonly #options: TunnelDeviceOptions;
  #guard = '';
  #guardTable: string | undefined;
  #problem: NetworkProblem | undefined;

  constructor(options: TunnelDeviceOptions) {
    this.#options = options;
  }

  /** Tables of nftables that ought to stand. */
  get tables(): readonly string[] {
    return this.#guardTable === undefined ? [] : [this.#guardTable];
  }

  /** Why the last pass found no way to nodes beyond a router. */
  get problem(): NetworkProblem | undefined {
    return this.#problem;
  }

  /** The next pass sets the rules again. */
  reassert(): void {
    this.#guard = '';
    this.#guardTable = undefined;
  }

  /** Answers whether there is a device that frames can go through. */
  async sync(aims: DeviceAims): Promise<boolean> {
    const { transport, vxlanPort, host, log } = this.#options;
    const { facts, paths, probeAddress } = aims;
    const { underlay } = facts;
    const mtu = vxlanMtu(facts);
    const actual = await this.#read();
    this.#problem = undefined;
    if (transport === 'direct' || paths.length === 0) {
      if (actual !== undefined) await host.exec.run(['ip', 'link', 'delete', VXLAN_DEVICE]);
      return false;
    }
    const addresses = aims.ownCidrs.map((cidr) => tunnelOf(cidr).address);
    const { mac } = tunnelOf(aims.ownCidrs[0]);
    const lines = planDevice(actual, { mac, addresses, underlay, probeAddress, port: vxlanPort, mtu });
    try {
      if (lines.length > 0) {
        await host.exec.run(['ip', '-batch', '-'], { stdin: `${lines.join('\n')}\n` });
        // What comes through the tunnel may go back another way while addresses change: looked at loosely, whatever the host's default.
        await host.writeSysctl(`net.ipv4.conf.${VXLAN_DEVICE}.rp_filter`, '2');
        this.#options.onSetUp();
        log.info('set up the tunnel to nodes beyond a router', { device: VXLAN_DEVICE, mtu, port: vxlanPort });
      }
      await this.#syncGuard({ ...aims.guard, port: vxlanPort, underlay });
      return true;
    } catch (err) {
      const beyond = paths.filter(isByVxlan);
      if (beyond.length > 0) this.#problem = noVxlan(beyond, err);
      log.warn('there is no tunnel to nodes beyond a router', { err: describeError(err), nodesBeyond: beyond.length });
      return false;
    }
  }

  async syncPeers(paths: readonly PodPath[], relay: RelayScope | undefined): Promise<void> {
    const { exec } = this.#options.host;
    const [forwarding, neighbours] = await Promise.all([
      exec.run(['bridge', '-j', 'fdb', 'show', 'dev', VXLAN_DEVICE]),
      exec.run(['ip', '-j', 'neighbour', 'show', 'dev', VXLAN_DEVICE]),
    ]);
    const peers = [...peersOf(paths), ...(relay === undefined ? [] : relayPeers(paths, relay))];
    const changes = diffPeers(parsePeerTables(forwarding.stdout, neighbours.stdout), peers);
    await runBatch(exec, 'bridge', changes.bridge);
    await runBatch(exec, 'ip', changes.ip);
  }

  async cleanUp(): Promise<void> {
    const { exec } = this.#options.host;
    if ((await this.#read()) !== undefined) await exec.run(['ip', 'link', 'delete', VXLAN_DEVICE]);
    if ((await exec.find('nft')) !== undefined) await exec.run(['nft', '-f', '-'], { stdin: DELETE_GUARD });
  }

  async #syncGuard(rules: GuardOptions): Promise<void> {
    const { host, log } = this.#options;
    const guard = renderGuard(rules);
    if (guard === this.#guard) return;
    try {
      await host.exec.run(['nft', '-f', '-'], { stdin: guard });
      this.#guardTable = guardTable(rules.underlay);
    } catch (err) {
      log.warn('the tunnel takes packets of everybody: rules of nftables cannot be set', { err: describeError(err) });
    }
    this.#guard = guard;
  }

  async #read() {
    try {
      const { stdout } = await this.#options.host.exec.run(['ip', '-j', '-d', 'address', 'show', 'dev', VXLAN_DEVICE]);
      return parseVxlanDevice(stdout);
    } catch (err) {
      if (err instanceof ExecError && err.stderr.includes('does not exist')) return undefined;
      throw err;
    }
  }
}

const noVxlan = (beyond: readonly PodPath[], err: unknown): NetworkProblem => ({
  reason: 'NoVxlan',
  cause: `pods of ${beyond.length} node(s) beyond a router (${beyond[0]?.node} at ${beyond[0]?.nodeAddress}) cannot be reached: ${describeError(err)}`,
  cure: 'use a kernel with VXLAN (module vxlan), or put the nodes on one link',
  isDegraded: false,
});
