import { type Clock, delay, toMicroTime } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { isAlreadyExists, isConflict, isNotFound } from '../object/api-error.ts';
import type { Lease } from '../object/kinds.ts';
import type { ResourceClient } from './client.ts';

export interface LeaderElectionOptions {
  readonly leases: ResourceClient<Lease>;
  readonly namespace: string;
  readonly name: string;
  /** Unique per process: host name and a random part. */
  readonly identity: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random?: () => number;
  /** Default: Kubernetes' own. Throws at once where they are not sound. */
  readonly times?: ElectionTimes;
  /** Runs while this process leads; must end soon after its signal is aborted. */
  readonly lead: (signal: AbortSignal) => Promise<void>;
}

/** How long a leader is believed, how long it tries to stay one, and how often everybody tries. */
export interface ElectionTimes {
  readonly leaseDurationMs: number;
  readonly renewDeadlineMs: number;
  readonly retryPeriodMs: number;
}

export const DEFAULT_ELECTION_TIMES: ElectionTimes = {
  leaseDurationMs: 15_000,
  renewDeadlineMs: 10_000,
  retryPeriodMs: 2_000,
};

/** Waits are longer than the period by up to this share. */
const JITTER = 0.2;

/** A lease that has run out and cannot be taken is tried this often at most. */
const MIN_WAIT_MS = 100;

/** Why two could lead at once, or nobody for long, with these times; undefined when they are sound. The rules are client-go's. */
export function electionTimesProblem({
  leaseDurationMs,
  renewDeadlineMs,
  retryPeriodMs,
}: ElectionTimes): string | undefined {
  if (retryPeriodMs <= 0) return 'the retry period must be above 0';
  if (leaseDurationMs < 1000) return 'the lease duration must be at least a second';
  if (leaseDurationMs <= renewDeadlineMs) return 'the lease duration must be longer than the renew deadline';
  if (renewDeadlineMs <= retryPeriodMs * (1 + JITTER))
    return `the renew deadline must be longer than ${1 + JITTER} times the retry period`;
  return undefined;
}

/** The lease as last read, and when it was first seen in that state: wall clocks of other hosts are not trusted. */
interface Observation {
  readonly lease: Lease;
  readonly seenMs: number;
}

type LeaseSpec = NonNullable<Lease['spec']>;

/** May `identity` write itself into the lease? Pure; times are of the local monotonic clock. */
function isLeaseFree(observed: Observation, identity: string, nowMs: number): boolean {
  const { holderIdentity, leaseDurationSeconds = 0 } = observed.lease.spec ?? {};
  if (!holderIdentity || holderIdentity === identity) return true;
  return nowMs >= observed.seenMs + leaseDurationSeconds * 1000;
}

class LeaderElector {
  readonly #options: LeaderElectionOptions;
  readonly #times: ElectionTimes;
  readonly #log: Logger;
  #observed: Observation | undefined;

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
    this.#times = options.times ?? DEFAULT_ELECTION_TIMES;
    const problem = electionTimesProblem(this.#times);
    if (problem !== undefined) throw new Error(problem);
    this.#log = options.log.child({ lease: `${options.namespace}/${options.name}`, identity: options.identity });
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (await this.#try(this.#times.renewDeadlineMs, signal)) await this.#leadWhileHeld(signal);
      await this.#wait(signal);
    }
  }

  async #leadWhileHeld(signal: AbortSignal): Promise<void> {
    this.#log.info('Leading');
    const term = new AbortController();
    const stop = () => term.abort(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    const work = this.#options.lead(term.signal).catch((err) => {
      if (!term.signal.aborted) this.#log.error('The leader failed, standing again', { err });
    });
    const workEnded = work.then(() => term.abort(new Error('the work of the leader ended')));
    await this.#renewUntilLost(term);
    term.abort(new Error('leadership lost'));
    await workEnded;
    signal.removeEventListener('abort', stop);
    // Only after the work has ended: the next leader may start at once.
    await this.#release();
    this.#log.info('Stopped leading');
  }

  async #renewUntilLost(term: AbortController): Promise<void> {
    const { renewDeadlineMs } = this.#times;
    const { clock } = this.#options;
    let renewedMs = clock.monotonic();
    while (!term.signal.aborted) {
      await this.#wait(term.signal);
      if (term.signal.aborted) return;
      const startedMs = clock.monotonic();
      // Half of the deadline at most: where a server froze, the other half is for the next one.
      const limitMs = Math.min(renewedMs + renewDeadlineMs - startedMs, renewDeadlineMs / 2);
      if (await this.#try(limitMs, term.signal)) renewedMs = startedMs;
      else if (this.#isHeldByOther() || clock.monotonic() - renewedMs >= renewDeadlineMs) return;
    }
  }

  #try(limitMs: number, signal: AbortSignal): Promise<boolean> {
    return this.#within(limitMs, (limit) => this.#tryAcquireOrRenew(AbortSignal.any([signal, limit])));
  }

  /** A request that hangs must not outlive the deadline: the lease would run out under a leader that waits. */
  async #within<R>(limitMs: number, run: (limit: AbortSignal) => Promise<R>): Promise<R> {
    const controller = new AbortController();
    const cancel = this.#options.clock.after(limitMs, () => controller.abort(new Error('renew deadline exceeded')));
    try {
      return await run(controller.signal);
    } finally {
      cancel();
    }
  }

  #isHeldByOther(): boolean {
    const holder = this.#observed?.lease.spec?.holderIdentity;
    return holder !== undefined && holder !== '' && holder !== this.#options.identity;
  }

  async #tryAcquireOrRenew(signal: AbortSignal): Promise<boolean> {
    try {
      // The holder knows what it wrote last; a conflict makes it look again.
      const own = this.#isHeldByUs() ? this.#observed?.lease : undefined;
      if (own !== undefined && (await this.#write(own, signal))) return true;
      const lease = await this.#read(signal);
      if (lease === undefined) return await this.#create(signal);
      this.#observe(lease);
      if (!isLeaseFree(this.#observed!, this.#options.identity, this.#options.clock.monotonic())) return false;
      return await this.#write(lease, signal);
    } catch (err) {
      this.#log.debug('Could not acquire or renew', { err: describeError(err) });
      return false;
    }
  }

  #isHeldByUs(): boolean {
    return this.#observed?.lease.spec?.holderIdentity === this.#options.identity;
  }

  async #read(signal: AbortSignal): Promise<Lease | undefined> {
    const { leases, name, namespace } = this.#options;
    try {
      return await leases.fetch(name, namespace, signal);
    } catch (err) {
      if (isNotFound(err)) return undefined;
      throw err;
    }
  }

  /** False when another candidate was faster. */
  async #create(signal: AbortSignal): Promise<boolean> {
    const { leases, name, namespace } = this.#options;
    try {
      this.#observe(await leases.create({ metadata: { name, namespace }, spec: this.#specAfter(undefined) }, signal));
      return true;
    } catch (err) {
      if (isAlreadyExists(err)) return false;
      throw err;
    }
  }

  /** Makes it ours, or ours for longer; false when it is not what we read any more. */
  async #write(lease: Lease, signal: AbortSignal): Promise<boolean> {
    try {
      const spec = this.#specAfter(lease.spec);
      this.#observe(await this.#options.leases.update({ ...lease, spec }, undefined, signal));
      return true;
    } catch (err) {
      if (isConflict(err) || isNotFound(err)) return false;
      throw err;
    }
  }

  #observe(lease: Lease): void {
    const isKnown = this.#observed?.lease.metadata.resourceVersion === lease.metadata.resourceVersion;
    if (!isKnown) this.#observed = { lease, seenMs: this.#options.clock.monotonic() };
  }

  #specAfter(previous: LeaseSpec | undefined): LeaseSpec {
    const now = toMicroTime(this.#options.clock.now());
    const isSameHolder = previous?.holderIdentity === this.#options.identity;
    return {
      holderIdentity: this.#options.identity,
      leaseDurationSeconds: Math.round(this.#times.leaseDurationMs / 1000),
      acquireTime: isSameHolder ? (previous.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: (previous?.leaseTransitions ?? 0) + (isSameHolder || previous === undefined ? 0 : 1),
    };
  }

  /** An empty holder lets the next candidate start without waiting for the lease to run out. */
  async #release(): Promise<void> {
    if (!this.#isHeldByUs()) return;
    try {
      await this.#within(this.#times.retryPeriodMs, async (limit) => {
        if (await this.#giveUp(this.#observed!.lease, limit)) return;
        // A renewal that was cut off may have been written all the same.
        const current = await this.#read(limit);
        if (current?.spec?.holderIdentity === this.#options.identity) await this.#giveUp(current, limit);
      });
    } catch (err) {
      this.#log.debug('Could not release the lease; it runs out by itself', { err: describeError(err) });
    }
  }

  async #giveUp(lease: Lease, signal: AbortSignal): Promise<boolean> {
    const now = toMicroTime(this.#options.clock.now());
    const spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, acquireTime: now, renewTime: now };
    try {
      this.#observe(await this.#options.leases.update({ ...lease, spec }, undefined, signal));
      return true;
    } catch (err) {
      if (isConflict(err)) return false;
      throw err;
    }
  }

  /**
   * Candidates that wait in step would all ask at the same moment. One that watches a lease run out is there when it does: another period
   * on top would make the longest time without a leader longer for nothing.
   */
  async #wait(signal: AbortSignal): Promise<void> {
    const { clock, random = Math.random } = this.#options;
    const jitter = 1 + random() * JITTER;
    const untilFreeMs = Math.max(this.#untilFreeMs(), MIN_WAIT_MS);
    try {
      await delay(clock, Math.min(this.#times.retryPeriodMs, untilFreeMs) * jitter, signal);
    } catch (err) {
      if (!signal.aborted) throw err;
    }
  }

  /** Until the lease of another runs out, if nobody renews it; Infinity where there is none. */
  #untilFreeMs(): number {
    if (this.#observed === undefined || !this.#isHeldByOther()) return Number.POSITIVE_INFINITY;
    const { lease, seenMs } = this.#observed;
    return seenMs + (lease.spec?.leaseDurationSeconds ?? 0) * 1000 - this.#options.clock.monotonic();
  }
}

/**
 * Stands for election until aborted: leads while the Lease is held, steps down when it cannot be renewed, and stands again. Resolves
 * after the work has ended and the Lease was released.
 */
export function runLeaderElection(options: LeaderElectionOptions, signal: AbortSignal): Promise<void> {
  return new LeaderElector(options).run(signal);
}
