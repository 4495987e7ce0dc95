import { type Clock, delay, toMicroTime } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { isNotFound } from '../object/api-error.ts';
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
  /** Others may take over this long after the last renewal. Default 15 s. */
  readonly leaseDurationMs?: number;
  /** The leader steps down when it could not renew for this long; must be shorter than leaseDurationMs. Default 10 s. */
  readonly renewDeadlineMs?: number;
  /** Time between two tries. Default 2 s. */
  readonly retryPeriodMs?: number;
  /** Runs while this process leads; must end soon after its signal is aborted. */
  readonly lead: (signal: AbortSignal) => Promise<void>;
}

/** The lease as last read, and when it was first seen in that state: wall clocks of other hosts are not trusted. */
interface Observation {
  readonly lease: Lease;
  readonly seenMs: number;
}

type LeaseSpec = NonNullable<Lease['spec']>;

/** May `identity` write itself into the lease? Pure; times are of the local monotonic clock. */
export function isLeaseFree(observed: Observation, identity: string, nowMs: number): boolean {
  const { holderIdentity, leaseDurationSeconds = 0 } = observed.lease.spec ?? {};
  if (!holderIdentity || holderIdentity === identity) return true;
  return nowMs >= observed.seenMs + leaseDurationSeconds * 1000;
}

class LeaderElector {
  readonly #options: LeaderElectionOptions;
  readonly #leaseDurationMs: number;
  readonly #renewDeadlineMs: number;
  readonly #retryPeriodMs: number;
  readonly #log: Logger;
  #observed: Observation | undefined;

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
    this.#leaseDurationMs = options.leaseDurationMs ?? 15_000;
    this.#renewDeadlineMs = options.renewDeadlineMs ?? 10_000;
    this.#retryPeriodMs = options.retryPeriodMs ?? 2_000;
    this.#log = options.log.child({ lease: `${options.namespace}/${options.name}`, identity: options.identity });
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (await this.#tryAcquireOrRenew()) await this.#leadWhileHeld(signal);
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
    let renewedMs = this.#options.clock.monotonic();
    while (!term.signal.aborted) {
      await this.#wait(term.signal);
      if (term.signal.aborted) return;
      const remainingMs = renewedMs + this.#renewDeadlineMs - this.#options.clock.monotonic();
      const startedMs = this.#options.clock.monotonic();
      const request = AbortSignal.any([term.signal]);
      const isRenewed = await this.#within(remainingMs, (limit) =>
        this.#tryAcquireOrRenew(AbortSignal.any([request, limit])),
      );
      if (isRenewed) renewedMs = startedMs;
      else if (this.#isHeldByOther() || this.#options.clock.monotonic() - renewedMs >= this.#renewDeadlineMs) return;
    }
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

  async #tryAcquireOrRenew(signal?: AbortSignal): Promise<boolean> {
    const { leases, namespace, name, identity, clock } = this.#options;
    try {
      const lease = await leases.fetch(name, namespace, signal).catch((err) => {
        if (isNotFound(err)) return undefined;
        throw err;
      });
      if (lease === undefined) {
        const created = await leases.create(
          { metadata: { name, namespace }, spec: this.#specAfter(undefined) },
          signal,
        );
        this.#observe(created);
        return true;
      }
      this.#observe(lease);
      if (!isLeaseFree(this.#observed!, identity, clock.monotonic())) return false;
      this.#observe(await leases.update({ ...lease, spec: this.#specAfter(lease.spec) }, undefined, signal));
      return true;
    } catch (err) {
      this.#log.debug('Could not acquire or renew', { err: describeError(err) });
      return false;
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
      leaseDurationSeconds: Math.round(this.#leaseDurationMs / 1000),
      acquireTime: isSameHolder ? (previous.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: (previous?.leaseTransitions ?? 0) + (isSameHolder || previous === undefined ? 0 : 1),
    };
  }

  /** An empty holder lets the next candidate start without waiting for the lease to run out. */
  async #release(): Promise<void> {
    const observed = this.#observed;
    if (observed?.lease.spec?.holderIdentity !== this.#options.identity) return;
    const now = toMicroTime(this.#options.clock.now());
    const spec = {
      ...observed.lease.spec,
      holderIdentity: '',
      leaseDurationSeconds: 1,
      acquireTime: now,
      renewTime: now,
    };
    try {
      const update = (limit: AbortSignal) => this.#options.leases.update({ ...observed.lease, spec }, undefined, limit);
      this.#observe(await this.#within(this.#retryPeriodMs, update));
    } catch (err) {
      this.#log.debug('Could not release the lease; it runs out by itself', { err: describeError(err) });
    }
  }

  /** Candidates that wait in step would all ask at the same moment. */
  async #wait(signal: AbortSignal): Promise<void> {
    const { clock, random = Math.random } = this.#options;
    try {
      await delay(clock, this.#retryPeriodMs * (1 + random() * 0.2), signal);
    } catch (err) {
      if (!signal.aborted) throw err;
    }
  }
}

/**
 * Stands for election until aborted: leads while the Lease is held, steps down when it cannot be renewed, and stands again. Resolves
 * after the work has ended and the Lease was released.
 */
export function runLeaderElection(options: LeaderElectionOptions, signal: AbortSignal): Promise<void> {
  return new LeaderElector(options).run(signal);
}
