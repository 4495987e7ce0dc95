import { ApiError } from '#api/object/api-error.ts';
import type { Clock } from '#base/clock.ts';
import type { VisibleState } from '../visible-state.ts';
import type { EtcdClient } from './etcd-client.ts';
import { faultOf, toApiError } from './etcd-error.ts';
import type { Fence } from './fence.ts';
import type { KeySpace } from './key-space.ts';
import { SharedRound } from './shared-round.ts';
import type { WatchFeed } from './watch-feed.ts';

export interface FreshnessOptions {
  readonly client: EtcdClient;
  readonly keys: KeySpace;
  readonly clock: Clock;
  readonly view: VisibleState;
  readonly fence: Fence;
  readonly feed: WatchFeed;
  /** Keys below the prefix as the visible state has them, the fence left out. */
  readonly countKeys: () => number;
}

/** Events need so long at most where nothing is wrong; where the revision belongs to keys that are not ours, they never come. */
const EVENTS_NEED_MS = 50;

const PROGRESS_EVERY_MS = 100;

/** A watch that is so far behind etcd has a member that does not work. */
const STALLED_MS = 2_000;

/** A leader is elected within a second or two, and a silent member is given up after five: reads outlast either. */
const READ_BUDGET_MS = 7_000;

interface Waiter {
  readonly revision: number;
  readonly done: () => void;
  readonly fail: (err: unknown) => void;
}

/** Brings the cache up to revisions that are known to exist. */
export class Freshness {
  readonly #options: FreshnessOptions;
  readonly #round: SharedRound<void>;
  readonly #waiters = new Set<Waiter>();
  #cancelNudge: (() => void) | undefined;
  #waitingSinceMs = 0;
  #fencing = false;
  /** The state that is visible at `at` is that of etcd at `upTo`: see `#compare`. */
  #equal = { at: 0, upTo: 0 };

  constructor(options: FreshnessOptions) {
    this.#options = options;
    this.#round = new SharedRound(() => this.#catchUp());
  }

  /** Resolves once all that was written before this call, by whomever, is visible here; rejects with 503 or 504 when that cannot be told. */
  catchUp(): Promise<void> {
    return this.#round.join();
  }

  /**
   * Resolves once `revision`, which etcd has told us, is visible; rejects with 504 after `timeoutMs`. The revision of an object's write comes
   * by itself; one that may belong to keys that are not ours is better asked for.
   */
  reach(
    revision: number,
    { timeoutMs = READ_BUDGET_MS, ask = true }: { readonly timeoutMs?: number; readonly ask?: boolean } = {},
  ): Promise<void> {
    const { view, clock, feed } = this.#options;
    if (this.#reached >= revision) return Promise.resolve();
    if (ask) feed.requestProgress();
    return new Promise((resolve, reject) => {
      const cancel = clock.after(timeoutMs, () => {
        this.#waiters.delete(waiter);
        reject(behind(revision, view.revision));
      });
      const waiter: Waiter = {
        revision,
        done: () => {
          cancel();
          resolve();
        },
        fail: (err) => {
          cancel();
          reject(err);
        },
      };
      this.#waiters.add(waiter);
      this.#nudgeLater();
    });
  }

  /** To be called when a watch is open: what was asked before went to another, or nowhere. */
  ask(): void {
    if (this.#waiters.size > 0) this.#options.feed.requestProgress();
  }

  /** To be called whenever the cache has moved on. */
  moved(): void {
    if (this.#waiters.size === 0) return;
    const reached = this.#reached;
    for (const waiter of [...this.#waiters]) {
      if (waiter.revision > reached) continue;
      this.#waiters.delete(waiter);
      waiter.done();
    }
    if (this.#waiters.size === 0) this.#stopNudging();
  }

  stop(): void {
    this.#stopNudging();
    const closing = new ApiError(503, 'ServiceUnavailable', 'the store is closing');
    for (const waiter of this.#waiters) waiter.fail(closing);
    this.#waiters.clear();
  }

  async #catchUp(): Promise<void> {
    const { client, keys } = this.#options;
    let revision: number;
    try {
      // A quorum read: the revision that it carries is no older than any write that was answered before it began.
      const { header } = await client.persist(() => client.range({ key: keys.fence, count_only: true }), {
        forMs: READ_BUDGET_MS,
      });
      revision = Number(header.revision);
    } catch (err) {
      throw toApiError(err);
    }
    await this.reach(revision);
  }

  #nudgeLater(): void {
    if (this.#cancelNudge !== undefined) return;
    const { clock } = this.#options;
    this.#waitingSinceMs = clock.monotonic();
    this.#cancelNudge = clock.after(EVENTS_NEED_MS, () => this.#nudge());
  }

  #nudge(): void {
    const { clock, feed } = this.#options;
    if (clock.monotonic() - this.#waitingSinceMs > STALLED_MS) {
      this.#waitingSinceMs = clock.monotonic();
      feed.restart();
    } else if (feed.progressSafe) feed.requestProgress();
    else if (feed.connected) this.#raiseFence();
    this.#cancelNudge = clock.after(PROGRESS_EVERY_MS, () => this.#nudge());
  }

  /** One is enough for all that were waiting; its event comes after all that they wait for. */
  #raiseFence(): void {
    if (this.#fencing) return;
    this.#fencing = true;
    const done = () => {
      this.#fencing = false;
    };
    // Waiters have their own time limit, and the next nudge tries again.
    this.#options.fence
      .raise()
      .catch((err: unknown) => (faultOf(err) === 'noSpace' ? this.#compare() : undefined))
      .then(done, done);
  }

  /**
   * Where etcd is full, no fence can be written. Then what is visible is the state of now if no key was written since, and there are as many
   * as we have: others may have used up revisions, and that is all.
   */
  async #compare(): Promise<void> {
    const { client, keys, view, countKeys } = this.#options;
    const at = view.revision;
    const expected = countKeys();
    const [{ count: fences }, { header, count, kvs }] = await Promise.all([
      client.range({ key: keys.fence, count_only: true }),
      client.range({ key: keys.first, range_end: keys.end, min_mod_revision: at + 1, keys_only: true }),
    ]);
    if (kvs.length > 0 || Number(count) - Number(fences) !== expected || view.revision !== at) return;
    this.#equal = { at, upTo: Number(header.revision) };
    this.moved();
  }

  /** Of etcd: what is visible is what was true then. */
  get #reached(): number {
    const { revision } = this.#options.view;
    return revision === this.#equal.at ? Math.max(revision, this.#equal.upTo) : revision;
  }

  #stopNudging(): void {
    this.#cancelNudge?.();
    this.#cancelNudge = undefined;
  }
}

function behind(revision: number, current: number): ApiError {
  return new ApiError(
    504,
    'Timeout',
    `Timeout: the watch of etcd is at revision ${current} and did not reach ${revision} in time`,
    { retryAfterSeconds: 1 },
  );
}
