import { type Clock, delay } from '#base/clock.ts';
import type { Hello } from './relay-frames.ts';

/** Another node, as probes see it. */
export interface ProbedPeer {
  readonly node: string;
  /** Of its own, reached by the path itself and never by the relay. */
  readonly address: string;
  /** What the path depends on: another one is probed at once. */
  readonly path: string;
}

export interface ReachabilityOptions {
  readonly clock: Clock;
  readonly isAnswered: (address: string) => Promise<boolean>;
  readonly sayHello: (node: string, hello: Hello) => void;
  /** Which nodes are to be relayed changed. */
  readonly onChange: () => void;
}

interface PeerState {
  readonly peer: ProbedPeer;
  /** Probes in a row with the same outcome. */
  streak: number;
  lastAnswered: boolean | undefined;
  isBroken: boolean;
  /** Heard through the relay. */
  heardMs: number;
  /** The other side said that it gets no answer from us. */
  toldBrokenMs: number;
  nextMs: number;
}

/** So often in a row before a path counts as broken, and as whole again. */
const STREAK = 3;
const SUSPECT_AGAIN_MS = 2_000;
const BROKEN_AGAIN_MS = 5_000;
/** What was heard by way of the controller holds so long; three times the pause between hellos. */
const HEARD_MS = 15_000;
/** A path that works is looked at this often, or seldom enough that all of them make one probe a second. */
const WHOLE_AGAIN_MS = 10_000;
const PER_PEER_MS = 1_000;
const MAX_AT_ONCE = 8;

/**
 * Which nodes can be reached. A node is relayed while probes of it stay unanswered although it is heard by way of the controller; and
 * while it says the same of us, so that both directions of a connection take one way: a firewall between that keeps count of connections
 * would drop the half that it sees.
 */
export class Reachability {
  readonly #options: ReachabilityOptions;
  readonly #states = new Map<string, PeerState>();
  #relayed: ReadonlySet<string> = new Set();
  #wake = () => {};

  constructor(options: ReachabilityOptions) {
    this.#options = options;
  }

  get relayed(): ReadonlySet<string> {
    return this.#relayed;
  }

  /** These are the other nodes as of now. */
  look(peers: readonly ProbedPeer[]): void {
    const now = this.#options.clock.monotonic();
    const gone = new Set(this.#states.keys());
    for (const peer of peers) {
      gone.delete(peer.node);
      const before = this.#states.get(peer.node);
      if (before?.peer.path === peer.path && before.peer.address === peer.address) continue;
      const heard = { heardMs: before?.heardMs ?? -HEARD_MS, toldBrokenMs: before?.toldBrokenMs ?? -HEARD_MS };
      const fresh = { streak: 0, lastAnswered: undefined, isBroken: before?.isBroken ?? false, nextMs: now };
      this.#states.set(peer.node, { peer, ...heard, ...fresh });
      this.#wake();
    }
    for (const node of gone) this.#states.delete(node);
    this.#settle();
  }

  onHello(node: string, { isBroken, wantsAnswer }: Hello): void {
    const state = this.#states.get(node);
    if (state === undefined) return;
    const now = this.#options.clock.monotonic();
    state.heardMs = now;
    state.toldBrokenMs = isBroken ? now : now - HEARD_MS;
    if (wantsAnswer) this.#options.sayHello(node, { isBroken: state.isBroken, wantsAnswer: false });
    // From now on it is looked at often enough to see when the other side says nothing any more.
    if (isBroken) {
      state.nextMs = Math.min(state.nextMs, now + BROKEN_AGAIN_MS);
      this.#wake();
    }
    this.#settle();
  }

  /**
   * Something else of the node came through the relay: where traffic crowds out hellos, the relay works nevertheless. It says nothing of what
   * the node gets from us: taken for that, the traffic of two nodes would keep both of them relayed for ever.
   */
  onTraffic(node: string): void {
    const state = this.#states.get(node);
    if (state !== undefined) state.heardMs = this.#options.clock.monotonic();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    signal.addEventListener('abort', () => this.#wake(), { once: true });
    while (!signal.aborted) {
      const now = clock.monotonic();
      const due = [...this.#states.values()].filter(({ nextMs }) => nextMs <= now).slice(0, MAX_AT_ONCE);
      await Promise.all(due.map((state) => this.#probe(state)));
      if (due.length > 0) {
        this.#settle();
        continue;
      }
      const early = new AbortController();
      this.#wake = () => early.abort();
      const next = Math.min(WHOLE_AGAIN_MS, ...[...this.#states.values()].map(({ nextMs }) => nextMs - now));
      await delay(clock, next, AbortSignal.any([signal, early.signal])).catch(() => {});
      this.#wake = () => {};
    }
  }

  async #probe(state: PeerState): Promise<void> {
    const { clock, isAnswered, sayHello } = this.#options;
    const { peer } = state;
    const answered = await isAnswered(peer.address);
    state.streak = answered === state.lastAnswered ? state.streak + 1 : 1;
    state.lastAnswered = answered;
    const before = state.isBroken;
    if (state.streak >= STREAK) state.isBroken = !answered;
    const now = clock.monotonic();
    if (state.isBroken || before) sayHello(peer.node, { isBroken: state.isBroken, wantsAnswer: state.isBroken });
    state.nextMs = now + this.#pauseMs(state, now);
  }

  #pauseMs(state: PeerState, now: number): number {
    if (state.isBroken || now - state.toldBrokenMs < HEARD_MS) return BROKEN_AGAIN_MS;
    if (state.lastAnswered === false) return SUSPECT_AGAIN_MS;
    return Math.max(WHOLE_AGAIN_MS, this.#states.size * PER_PEER_MS);
  }

  #settle(): void {
    const now = this.#options.clock.monotonic();
    const isRelayed = ({ isBroken, heardMs, toldBrokenMs }: PeerState) =>
      (isBroken && now - heardMs < HEARD_MS) || now - toldBrokenMs < HEARD_MS;
    const relayed = new Set([...this.#states.values()].filter(isRelayed).map(({ peer }) => peer.node));
    if (relayed.size === this.#relayed.size && relayed.isSubsetOf(this.#relayed)) return;
    this.#relayed = relayed;
    this.#options.onChange();
  }
}
