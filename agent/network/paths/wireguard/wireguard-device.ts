import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { ExecError, type Host } from '../../../host/host.ts';
import { openOwnKey, type WireguardKeyPair } from './own-key.ts';
import { diffWireguardPeers, parseWireguard, WIREGUARD_DEVICE, type WireguardPeer } from './wireguard.ts';

export interface WireguardDeviceOptions {
  readonly host: Host;
  readonly clock: Clock;
  readonly log: Logger;
  /** File of this node's private key. */
  readonly keyPath: string;
  /** UDP port, the same on every node. */
  readonly port: number;
}

export interface DeviceWish {
  /** Ranges of one address each, which what the host sends comes from. */
  readonly addresses: readonly string[];
  /** A further one, which nodes probe each other with. */
  readonly probeAddress: string | undefined;
  readonly mtu: number;
}

/** WireGuard in a process, for kernels without it. */
export const WIREGUARD_USERSPACE = 'wireguard-go';
/** A list of arguments stays far below what the kernel takes. */
const PEERS_AT_ONCE = 100;

interface LinkLine {
  readonly mtu?: number;
  readonly flags?: readonly string[];
  readonly addr_info?: readonly { readonly local?: string; readonly prefixlen?: number }[];
}

/** The device that packets to pods of other nodes are encrypted by: the kernel's, or that of a process where the kernel has none. */
export class WireguardDevice {
  readonly #options: WireguardDeviceOptions;
  #key: WireguardKeyPair | undefined;
  /** By key: where we said last that the peer is. */
  #endpoints: ReadonlyMap<string, string> = new Map();
  /** Of this host, as one text. */
  #addresses = '';

  constructor(options: WireguardDeviceOptions) {
    this.#options = options;
  }

  /** Makes the device what it shall be and answers the public key of this node; rejects with what this host lacks. */
  async ensure(wish: DeviceWish): Promise<string> {
    const { host, log, keyPath, port } = this.#options;
    const { exec, fs } = host;
    if ((await exec.find('wg')) === undefined) throw new Error('the program wg is not installed');
    this.#key = await openOwnKey(fs, keyPath);
    const found = await this.#link();
    if (found === undefined) {
      const kind = await this.#make();
      log.info('set up WireGuard to other nodes', { device: WIREGUARD_DEVICE, kind, mtu: wish.mtu, port });
    }
    const { privateKey, port: actualPort } = await this.#state();
    if (privateKey !== this.#key.privateKey || actualPort !== port)
      await exec.run(['wg', 'set', WIREGUARD_DEVICE, 'listen-port', `${port}`, 'private-key', keyPath]);
    const lines = planLink(found ?? (await this.#link()), wish);
    if (lines.length > 0) await exec.run(['ip', '-batch', '-'], { stdin: `${lines.join('\n')}\n` });
    // What is relayed one way may be answered by the other while that changes: looked at loosely, whatever the host's default.
    if (found === undefined) await host.writeSysctl(`net.ipv4.conf.${WIREGUARD_DEVICE}.rp_filter`, '2');
    return this.#key.publicKey;
  }

  async syncPeers(peers: readonly WireguardPeer[]): Promise<void> {
    const { exec } = this.#options.host;
    const nowSeconds = this.#options.clock.now() / 1000;
    const [{ peers: actual }, addresses] = await Promise.all([this.#state(), this.#hostAddresses()]);
    const hasOtherAddresses = addresses !== this.#addresses;
    const changes = diffWireguardPeers(actual, peers, { endpoints: this.#endpoints, nowSeconds, hasOtherAddresses });
    for (let i = 0; i < changes.length; i += PEERS_AT_ONCE)
      await exec.run(['wg', 'set', WIREGUARD_DEVICE, ...changes.slice(i, i + PEERS_AT_ONCE).flat()]);
    this.#endpoints = new Map(peers.map(({ publicKey, endpoint }) => [publicKey, endpoint]));
    this.#addresses = addresses;
  }

  /** The device goes, a process behind it ends with it, and so does the key. */
  async remove(): Promise<void> {
    const { host, keyPath } = this.#options;
    if ((await this.#link()) !== undefined) await host.exec.run(['ip', 'link', 'delete', WIREGUARD_DEVICE]);
    await host.fs.remove(keyPath);
    this.#endpoints = new Map();
  }

  async #make(): Promise<'kernel' | 'process'> {
    const { exec, fs } = this.#options.host;
    try {
      await exec.run(['ip', 'link', 'add', WIREGUARD_DEVICE, 'type', 'wireguard']);
      return 'kernel';
    } catch (err) {
      const program = await exec.find(WIREGUARD_USERSPACE);
      if (program === undefined)
        throw new Error(
          `the kernel has no WireGuard (${err instanceof ExecError ? err.stderr.trim() : describeError(err)}), and ${WIREGUARD_USERSPACE} is not installed`,
          { cause: err },
        );
      // Outside the agent's own unit, or every restart of the agent would interrupt pods.
      const isSystemd = (await fs.info('/run/systemd/system')) !== undefined;
      const start: [string, ...string[]] = isSystemd
        ? ['systemd-run', '--scope', '--quiet', '--']
        : ['setsid', '--wait'];
      await exec.run([...start, program, WIREGUARD_DEVICE]);
      return 'process';
    }
  }

  /** Those that packets to other nodes may come from: pods' interfaces have none of this scope. */
  async #hostAddresses(): Promise<string> {
    const { stdout } = await this.#options.host.exec.run(['ip', '-o', 'address', 'show', 'scope', 'global']);
    // Without what counts down, how long an address holds.
    return stdout.replaceAll(/^\d+:|valid_lft.*$|dynamic|deprecated/gm, '').trim();
  }

  async #state() {
    return parseWireguard((await this.#options.host.exec.run(['wg', 'show', WIREGUARD_DEVICE, 'dump'])).stdout);
  }

  async #link(): Promise<LinkLine | undefined> {
    try {
      const { stdout } = await this.#options.host.exec.run(['ip', '-j', 'address', 'show', 'dev', WIREGUARD_DEVICE]);
      return (JSON.parse(stdout.trim() === '' ? '[]' : stdout) as LinkLine[]).find(({ mtu }) => mtu !== undefined);
    } catch (err) {
      if (err instanceof ExecError && err.stderr.includes('does not exist')) return undefined;
      throw err;
    }
  }
}

/** Lines of `ip -batch`. */
export function planLink(actual: LinkLine | undefined, { addresses, probeAddress, mtu }: DeviceWish): string[] {
  const present = (actual?.addr_info ?? []).flatMap(({ local, prefixlen }) =>
    local === undefined || local.startsWith('fe80:') ? [] : [`${local}/${prefixlen}`],
  );
  const wanted = [...addresses, ...(probeAddress === undefined ? [] : [probeAddress])];
  const dev = `dev ${WIREGUARD_DEVICE}`;
  return [
    ...(actual?.mtu === mtu ? [] : [`link set ${WIREGUARD_DEVICE} mtu ${mtu}`]),
    ...present.filter((address) => !wanted.includes(address)).map((address) => `address delete ${address} ${dev}`),
    ...wanted
      .filter((address) => !present.includes(address))
      .map((address) => {
        if (address === probeAddress) return `address add ${address} ${dev} scope link`;
        return `address add ${address} ${dev}${address.includes(':') ? ' nodad' : ''}`;
      }),
    ...((actual?.flags ?? []).includes('UP') ? [] : [`link set ${WIREGUARD_DEVICE} up`]),
  ];
}
