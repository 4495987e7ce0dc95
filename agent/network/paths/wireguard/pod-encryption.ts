import type { RangesByFamily } from '#api/meta/ip-ranges.ts';
import type { Node } from '#api/object/kinds.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import { describeError } from '#base/errors.ts';
import type { NetworkProblem } from '../../network-problem.ts';
import type { LinkTable } from '../link-table.ts';
import type { PodPath } from '../pod-paths.ts';
import { barrier, type PodRoute } from '../pod-routes.ts';
import { CLEAR_GUARD_TABLE, DELETE_CLEAR_GUARD, renderClearGuard } from './clear-guard.ts';
import { type EncryptionScope, encryptionUnavailable, notEncrypted, wireguardPeersOf } from './encrypted-paths.ts';
import { wireguardKeyOf } from './node-key.ts';
import { type DeviceWish, WireguardDevice, type WireguardDeviceOptions } from './wireguard-device.ts';

export interface PodEncryptionOptions extends WireguardDeviceOptions {
  readonly isAsked: boolean;
  readonly clusterCidrs: RangesByFamily;
  /** Writes this node's public key into its Node; undefined: takes it away. */
  readonly publishKey: (publicKey: string | undefined) => Promise<void>;
}

/** Of a host that cannot encrypt, or could not just now: nothing goes meanwhile. */
const RETRY = { initialMs: 1_000, maxMs: 60_000 };
/** A node that has just joined has told no key yet. */
const SILENT_MS = 30_000;

/** Encryption of packets between pods of different nodes: the device, what keeps others from passing beside it, and what is in the way. */
export class PodEncryption {
  readonly #options: PodEncryptionOptions;
  readonly #device: WireguardDevice;
  #publicKey: string | undefined;
  /** As the kernel was given it last; undefined: not known. */
  #guard: string | undefined;
  #isRemoved = false;
  #error: unknown;
  #failures = 0;
  /** By node: since when there is no agreeing with it. */
  readonly #barredSinceMs = new Map<string, number>();

  constructor(options: PodEncryptionOptions) {
    this.#options = options;
    this.#device = new WireguardDevice(options);
  }

  get isAsked(): boolean {
    return this.#options.isAsked;
  }

  /** Tables of nftables that ought to stand. */
  get tables(): readonly string[] {
    return this.isAsked && this.#guard !== undefined ? [`inet ${CLEAR_GUARD_TABLE}`] : [];
  }

  /** Before this host forwards anything. Does not reject: `prepare` tells what is in the way. */
  async keepClearTextBack(): Promise<void> {
    if (!this.isAsked) return;
    await this.#syncGuard().catch((err: unknown) =>
      this.#options.log.warn('no rules keep clear text back yet', { err: describeError(err) }),
    );
  }

  /** Brings the device up, or takes it away where nobody asked; undefined: this node has no addresses for its pods yet. Does not reject. */
  async prepare(wish: DeviceWish | undefined): Promise<EncryptionScope> {
    const { isAsked, log } = this.#options;
    this.#error = undefined;
    try {
      await this.#syncGuard();
      if (!isAsked && !this.#isRemoved) await this.#device.remove();
      this.#isRemoved = !isAsked;
      if (!isAsked || wish === undefined) return { isAsked, isReady: false };
      this.#publicKey = await this.#device.ensure(wish);
      this.#failures = 0;
      return { isAsked, isReady: true };
    } catch (err) {
      if (isAsked) this.#error = err;
      this.#failures += 1;
      log.warn('packets between pods of nodes cannot be encrypted', { err: describeError(err) });
      return { isAsked, isReady: false };
    }
  }

  async syncPeers(paths: readonly PodPath[], links: LinkTable): Promise<void> {
    const { clusterCidrs, port } = this.#options;
    await this.#device.syncPeers(wireguardPeersOf(paths, { clusterCidrs, links, port }));
  }

  /** What no path leads to is refused, not sent where the default route leads. */
  barriers(): PodRoute[] {
    return this.isAsked ? Object.values(this.#options.clusterCidrs).map(barrier) : [];
  }

  /** Tells the others this node's key, where its Node does not say it. */
  async publish(own: Node | undefined, { isReady }: EncryptionScope): Promise<void> {
    if (own === undefined) return;
    const told = isReady ? this.#publicKey : undefined;
    if (wireguardKeyOf(own) !== told) await this.#options.publishKey(told);
  }

  /** `isRelaying`: what cannot go by itself goes through the controller. */
  problems(paths: readonly PodPath[], isRelaying: boolean): NetworkProblem[] {
    const now = this.#options.clock.monotonic();
    const barred = new Set(paths.filter(({ isBarred }) => isBarred).map(({ node }) => node));
    for (const node of this.#barredSinceMs.keys()) if (!barred.has(node)) this.#barredSinceMs.delete(node);
    for (const node of barred) if (!this.#barredSinceMs.has(node)) this.#barredSinceMs.set(node, now);
    if (this.#error !== undefined) return [encryptionUnavailable(this.#error, isRelaying)];
    const silent = [...this.#barredSinceMs].flatMap(([node, sinceMs]) => (now - sinceMs >= SILENT_MS ? [node] : []));
    return silent.length === 0 ? [] : [notEncrypted(silent.sort(), this.isAsked, isRelaying)];
  }

  /** How long until there may be more to say, or to try again, though nothing changes; undefined: there will not. */
  get lookAgainMs(): number | undefined {
    const now = this.#options.clock.monotonic();
    const left = [...this.#barredSinceMs.values()].map((sinceMs) => sinceMs + SILENT_MS - now).filter((ms) => ms > 0);
    if (this.#error !== undefined) left.push(backoffDelayMs(this.#failures, RETRY));
    return left.length === 0 ? undefined : Math.min(...left);
  }

  /** Somebody threw rules away. */
  reassert(): void {
    this.#guard = undefined;
  }

  async cleanUp(): Promise<void> {
    await this.#device.remove();
    const { exec } = this.#options.host;
    if ((await exec.find('nft')) !== undefined) await exec.run(['nft', '-f', '-'], { stdin: DELETE_CLEAR_GUARD });
  }

  async #syncGuard(): Promise<void> {
    const { host, clusterCidrs, isAsked } = this.#options;
    const guard = isAsked ? renderClearGuard(clusterCidrs) : DELETE_CLEAR_GUARD;
    if (guard === this.#guard) return;
    if (isAsked || (await host.exec.find('nft')) !== undefined)
      await host.exec.run(['nft', '-f', '-'], { stdin: guard });
    this.#guard = guard;
  }
}
