import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { NetworkProblem } from '../network-problem.ts';
import { type ChecksumProbeOptions, type ChecksumVerdict, probeChecksums } from './checksum-probe.ts';
import type { Peer } from './vxlan.ts';

export interface TunnelHealthOptions extends ChecksumProbeOptions {
  readonly clock: Clock;
  readonly vxlanPort: number;
  /** undefined: nothing is known to be wrong. */
  readonly onProblem: (problem: NetworkProblem | undefined) => void;
}

/** One that answers proves the device; few must do, for a silent one costs seconds. */
const MAX_ASKED = 3;
/** A silent tunnel is asked again so soon, and is a problem once it was silent for so long: the peer may just be starting. */
const BLOCKED_AGAIN_MS = 2_000;
const BLOCKED_PROBLEM_MS = 4_000;
/** Where no peer proves anything, because none is up. */
const UNKNOWN_AGAIN_MS = 60_000;

/** Finds out, beside everything else, whether packets arrive through the tunnel; not again once one did. */
export class TunnelHealth {
  readonly #options: TunnelHealthOptions;
  #peers: readonly Peer[] = [];
  #verdict: ChecksumVerdict = 'unknown';
  #probing: AbortController | undefined;

  constructor(options: TunnelHealthOptions) {
    this.#options = options;
  }

  /** The device is a new one: what was known of the old one does not hold. */
  forget(): void {
    this.#verdict = 'unknown';
    this.#probing?.abort();
    this.#probing = undefined;
  }

  /** These are the peers as of now. Returns at once. */
  look(peers: readonly Peer[], signal: AbortSignal): void {
    this.#peers = peers;
    if (peers.length === 0) {
      this.forget();
      this.#options.onProblem(undefined);
    }
    if (peers.length === 0 || this.#isKnown || this.#probing !== undefined) return;
    const probing = new AbortController();
    this.#probing = probing;
    this.#run(AbortSignal.any([signal, probing.signal]))
      .catch((err: unknown) => this.#options.log.debug('the tunnel was not probed', { err: describeError(err) }))
      .finally(() => {
        if (this.#probing === probing) this.#probing = undefined;
      });
  }

  get #isKnown(): boolean {
    return this.#verdict === 'intact' || this.#verdict === 'garbled';
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, onProblem, vxlanPort } = this.#options;
    for (let blockedSinceMs: number | undefined; !signal.aborted; ) {
      const { verdict, blocked } = await this.#ask();
      if (signal.aborted) return;
      this.#verdict = verdict;
      blockedSinceMs = blocked.length === 0 ? undefined : (blockedSinceMs ?? clock.monotonic());
      if (blockedSinceMs === undefined) onProblem(undefined);
      else if (clock.monotonic() - blockedSinceMs >= BLOCKED_PROBLEM_MS) onProblem(tunnelBlocked(blocked, vxlanPort));
      if (this.#isKnown) return;
      await delay(clock, blockedSinceMs === undefined ? UNKNOWN_AGAIN_MS : BLOCKED_AGAIN_MS, signal);
    }
  }

  async #ask(): Promise<{ verdict: ChecksumVerdict; blocked: readonly string[] }> {
    const blocked: string[] = [];
    for (const peer of this.#peers.slice(0, MAX_ASKED)) {
      const verdict = await probeChecksums(peer, this.#options);
      if (verdict === 'intact' || verdict === 'garbled') return { verdict, blocked: [] };
      if (verdict === 'blocked' && !blocked.includes(peer.nodeAddress)) blocked.push(peer.nodeAddress);
    }
    return { verdict: blocked.length > 0 ? 'blocked' : 'unknown', blocked };
  }
}

const tunnelBlocked = (addresses: readonly string[], port: number): NetworkProblem => ({
  reason: 'TunnelBlocked',
  cause: `node(s) ${addresses.join(', ')} answer, but not through the tunnel between pods`,
  cure: `let UDP port ${port} pass between the nodes, in both directions`,
  isDegraded: false,
});
