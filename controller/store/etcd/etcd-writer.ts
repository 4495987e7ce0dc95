import { ApiError, tooManyRequests } from '#api/object/api-error.ts';
import { type BackoffOptions, backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import type { NewValue, StoredObject, StoreEvent, WriteDecision, WriteResult } from '../store.ts';
import { StoredValue } from '../stored-value.ts';
import type { VisibleState } from '../visible-state.ts';
import { WriteAttempt } from '../write-attempt.ts';
import type { PipelineLimits } from '../write-pipeline.ts';
import type { EtcdClient } from './etcd-client.ts';
import { faultOf, toApiError, unknownFate } from './etcd-error.ts';
import type { EtcdValues } from './etcd-values.ts';
import type { Fence } from './fence.ts';
import type { Freshness } from './freshness.ts';
import type { KeySpace } from './key-space.ts';
import type { LeaseBuckets } from './lease-buckets.ts';
import type { KeyValue, RequestOp, TxnRequest, TxnResponse } from './wire-protocol.ts';

export interface EtcdWriterOptions {
  readonly client: EtcdClient;
  /** `client.txn`, or what a test puts in its place. */
  readonly txn: (request: TxnRequest) => Promise<TxnResponse>;
  readonly keys: KeySpace;
  readonly clock: Clock;
  readonly random: () => number;
  readonly view: VisibleState;
  readonly values: EtcdValues;
  readonly fence: Fence;
  readonly freshness: Freshness;
  readonly leases: LeaseBuckets;
  readonly limits: Pick<PipelineLimits, 'maxQueuedWrites' | 'maxQueuedBytes' | 'maxObjectBytes'>;
  /** How long objects of this key live, in ms; undefined: until they are deleted. */
  readonly ttlOf: (key: string) => number | undefined;
  /** Why an object cannot be read; undefined where it can, or is not there. */
  readonly unreadable: (key: string) => string | undefined;
  readonly onTransaction?: (outcome: 'stored' | 'noSpace') => void;
}

/** A write goes on trying for so long while no member answers; its own deadline is mostly nearer. */
const BUDGET_MS = 30_000;

const BACKOFF: BackoffOptions = { initialMs: 50, maxMs: 1_000, jitter: 0.5 };

/** `fresh`: what is visible was the newest at some moment since the attempt began. */
type TryState = 'perhapsStale' | 'fresh' | 'answered';

/** One write on its way, so that its own event is known when it comes. */
interface Flight {
  readonly base: StoredObject | undefined;
  /** undefined: a deletion. */
  readonly value: NewValue | undefined;
  /** As etcd keeps it. */
  readonly stored: Uint8Array | undefined;
  /** What happened to the key since this flight began. */
  readonly events: StoreEvent[];
  /** Events are missing: the state was read anew. */
  hasGap: boolean;
}

/**
 * Read-modify-write of single keys: decided against what is visible, carried out by a transaction that compares the revision, decided
 * anew where that has moved on. Writes of one key follow each other, those of different keys fly together. A write is answered when it is
 * visible here. A refusal is answered once it is certain that what it was decided on was the newest state meanwhile.
 */
export class EtcdWriter {
  readonly #options: EtcdWriterOptions;
  readonly #lanes = new Map<string, WriteAttempt[]>();
  readonly #flights = new Map<string, Flight>();
  readonly #idleWaiters: (() => void)[] = [];
  #queuedWrites = 0;
  #queuedBytes = 0;
  #closed: ApiError | undefined;

  constructor(options: EtcdWriterOptions) {
    this.#options = options;
  }

  write(
    key: string,
    decide: (current: StoredObject | undefined) => WriteDecision,
    signal?: AbortSignal,
  ): Promise<WriteResult> {
    return new Promise((resolve, reject) => {
      const attempt = new WriteAttempt({ key, decide, resolve, reject, signal });
      if (this.#closed !== undefined) attempt.reject(this.#closed);
      else if (this.#queuedWrites >= this.#options.limits.maxQueuedWrites) attempt.reject(queueFull());
      else if (!attempt.settled) this.#enqueue(attempt);
    });
  }

  /** The value of a write of ours as its event brings it: known already. */
  ownValue(key: string, kv: KeyValue): StoredValue | undefined {
    const flight = this.#flights.get(key);
    if (flight?.value === undefined || flight.stored === undefined) return undefined;
    if (Buffer.compare(flight.stored, kv.value) !== 0) return undefined;
    const { values } = this.#options;
    return StoredValue.written({ key, revision: Number(kv.mod_revision) }, flight.value, values.context);
  }

  /** To be called for every event before it is visible. */
  saw(event: StoreEvent): void {
    this.#flights.get(event.object.key)?.events.push(event);
  }

  /** To be called when the state was read anew: what happened to the keys in between is not known. */
  lostEvents(): void {
    for (const flight of this.#flights.values()) flight.hasGap = true;
  }

  /** Refuses new writes and resolves when nothing is on its way any more. */
  async drain(): Promise<void> {
    this.#closed ??= new ApiError(503, 'ServiceUnavailable', 'the store is closing');
    if (this.#lanes.size > 0) await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  #enqueue(attempt: WriteAttempt): void {
    this.#queuedWrites += 1;
    const lane = this.#lanes.get(attempt.key);
    if (lane !== undefined) {
      lane.push(attempt);
      return;
    }
    const opened = [attempt];
    this.#lanes.set(attempt.key, opened);
    void this.#runLane(attempt.key, opened);
  }

  async #runLane(key: string, lane: WriteAttempt[]): Promise<void> {
    for (let attempt = lane[0]; attempt !== undefined; attempt = lane[0]) {
      try {
        for (let state: TryState = 'perhapsStale'; state !== 'answered' && !attempt.settled; )
          state = await this.#try(attempt, state);
      } catch (err) {
        attempt.reject(toApiError(err));
      }
      lane.shift();
      this.#queuedWrites -= 1;
    }
    this.#lanes.delete(key);
    if (this.#lanes.size === 0) for (const resolve of this.#idleWaiters.splice(0)) resolve();
  }

  /** Decides, and carries the decision out; answers whether that must be done anew, and on what. */
  async #try(attempt: WriteAttempt, state: 'perhapsStale' | 'fresh'): Promise<TryState> {
    const { view, limits, unreadable } = this.#options;
    const { key } = attempt;
    const reason = unreadable(key);
    if (reason !== undefined) throw new ApiError(500, 'InternalError', `Internal error occurred: ${reason}`);
    const { revision } = view;
    const current = view.get(key);
    let decision: WriteDecision;
    try {
      decision = attempt.decide(current);
    } catch (err) {
      if (state === 'fresh' || (await this.#isNewest(revision))) throw err;
      return 'fresh';
    }
    if (decision.kind === 'unchanged' || (decision.kind === 'delete' && current === undefined)) {
      if (state !== 'fresh' && !(await this.#isNewest(revision))) return 'fresh';
      attempt.resolve({ revision: current?.revision ?? view.revision, object: current, changed: false });
      return 'answered';
    }
    const value = decision.kind === 'put' ? decision.value : undefined;
    const size = value?.bytes.length ?? 0;
    if (size > limits.maxObjectBytes) throw tooLarge(size, limits.maxObjectBytes);
    if (this.#queuedBytes + size > limits.maxQueuedBytes) throw queueFull();
    this.#queuedBytes += size;
    const etcdKey = this.#options.keys.toEtcd(key);
    const stored = value === undefined ? undefined : this.#options.values.seal(etcdKey, value.bytes);
    const flight: Flight = { base: current, value, stored, events: [], hasGap: false };
    this.#flights.set(key, flight);
    try {
      return (await this.#fly(attempt, etcdKey, flight)) ? 'answered' : state;
    } finally {
      this.#flights.delete(key);
      this.#queuedBytes -= size;
    }
  }

  /**
   * Whether nothing has been written, to this key or to others that the decision looked at, since `revision` was the newest. All of it is
   * visible then: a refusal that was decided on it stands, whatever is written meanwhile.
   */
  async #isNewest(revision: number): Promise<boolean> {
    await this.#options.freshness.catchUp();
    return this.#options.view.revision === revision;
  }

  /** Carries the decision out; false where the state that it was taken on is not the newest. */
  async #fly(attempt: WriteAttempt, etcdKey: Uint8Array, flight: Flight): Promise<boolean> {
    const { client, clock, random, freshness, fence, leases, onTransaction } = this.#options;
    const endMs = clock.monotonic() + BUDGET_MS;
    for (let failures = 1; !attempt.settled; failures++) {
      let answer: TxnResponse;
      try {
        const transaction = await this.#transaction(attempt.key, etcdKey, flight);
        answer = await client.terms.guard(this.#options.txn(transaction));
      } catch (err) {
        const fault = faultOf(err);
        if (fault === 'noSpace') onTransaction?.('noSpace');
        if (fault === 'unknown') {
          await this.#settleSent(err);
          const outcome = this.#outcomeOf(flight);
          if (outcome === 'none') continue;
          if (outcome === 'other') return false;
          if (outcome === 'ambiguous') throw unknownFate(err);
          attempt.resolve({ revision: outcome.revision, object: outcome.object, changed: true });
          return true;
        }
        if (fault === 'leaseGone') leases.forget();
        else if (fault !== 'unavailable' || clock.monotonic() >= endMs) throw err;
        await delay(clock, backoffDelayMs(failures, { ...BACKOFF, random }));
        continue;
      }
      const revision = Number(answer.header.revision);
      if (answer.succeeded) {
        onTransaction?.('stored');
        await freshness.reach(revision, { ask: false, timeoutMs: BUDGET_MS });
        attempt.resolve({ revision, object: this.#shownAt(revision, attempt.key, flight), changed: true });
        return true;
      }
      const [own, fenced] = answer.responses;
      fence.seen(Number(fenced?.response_range?.kvs[0]?.mod_revision ?? 0), revision);
      const newest = Number(own?.response_range?.kvs[0]?.mod_revision ?? 0);
      if (newest === (flight.base?.revision ?? 0)) continue;
      await freshness.reach(newest || revision);
      return false;
    }
    return true;
  }

  /** Whatever was sent is settled when the fence stands, and known when the fence's event is here. */
  async #settleSent(lost: unknown): Promise<void> {
    const { fence, freshness } = this.#options;
    try {
      await freshness.reach(await fence.raise());
    } catch {
      // The caller is told what matters to it: the first failure left its write in doubt.
      throw unknownFate(lost);
    }
  }

  async #transaction(key: string, etcdKey: Uint8Array, { base, stored }: Flight): Promise<TxnRequest> {
    const { fence, leases, ttlOf } = this.#options;
    const ttlMs = stored === undefined ? undefined : ttlOf(key);
    const lease = ttlMs === undefined ? undefined : await leases.take(ttlMs);
    const action: RequestOp =
      stored === undefined
        ? { request_delete_range: { key: etcdKey } }
        : { request_put: { key: etcdKey, value: stored, ...(lease === undefined ? {} : { lease }) } };
    return {
      compare: [{ result: 'EQUAL', target: 'MOD', key: etcdKey, mod_revision: base?.revision ?? 0 }, fence.compare()],
      success: [action],
      failure: [{ request_range: { key: etcdKey, keys_only: true } }, fence.read()],
    };
  }

  /** What became of a write whose answer was lost, by the first thing that happened to its key afterwards. */
  #outcomeOf({ base, value, events, hasGap }: Flight): StoreEvent | 'none' | 'other' | 'ambiguous' {
    const first = events[0];
    if (first === undefined) return hasGap ? 'ambiguous' : 'none';
    if (value !== undefined) return this.#isOwn(first, value) ? first : 'other';
    if (first.type !== 'DELETED') return 'other';
    return base === undefined ? 'other' : 'ambiguous';
  }

  /** `ownValue` has recognised the bytes. */
  #isOwn(event: StoreEvent, value: NewValue): boolean {
    return event.type !== 'DELETED' && event.object.labels === value.labels && event.object.fields === value.fields;
  }

  #shownAt(revision: number, key: string, { base, value, events }: Flight): StoredObject {
    const { values } = this.#options;
    const event = events.find((one) => one.revision === revision);
    if (event !== undefined) return event.object;
    // The state was read anew between the transaction and its event.
    return value === undefined
      ? StoredValue.rebased(base!, revision, values.context)
      : StoredValue.written({ key, revision }, value, values.context);
  }
}

const queueFull = () => tooManyRequests('the write queue is full, please try again later', 1);

function tooLarge(size: number, limit: number): ApiError {
  return new ApiError(413, 'RequestEntityTooLarge', `the object is too large: ${size} bytes, the limit is ${limit}`);
}
