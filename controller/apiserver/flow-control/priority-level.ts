import type { Clock } from '#base/clock.ts';
import type { SeatLimits } from './concurrency.ts';
import type { Configured, PriorityLevelSpec } from './configuration.ts';
import { FairQueues, type Queue, type Waiter } from './fair-queues.ts';
import { RetryAfter } from './retry-after.ts';

/** Longest wait for a seat: a quarter of the request timeout, as in Kubernetes. */
const MAX_WAIT_MS = 15_000;
/** No list may take more of its level than this. */
const MAX_SEATS_SHARE = 0.15;

export type RefusalReason = 'queue-full' | 'concurrency-limit' | 'time-out' | 'cancelled';

/** Why a request was not seated. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly reason: RefusalReason;
  constructor(reason: RefusalReason) {
    super(reason);
    this.reason = reason;
  }
}

/** Who waited for the seats, so that the queue pays for the time they are used. */
export interface QueuedSeat {
  readonly queues: FairQueues;
  readonly queue: Queue;
}

export interface SeatWish {
  readonly seats: number;
  /** Schema and distinguisher. */
  readonly flow: string;
  readonly signal: AbortSignal;
}

/** Seats of all levels: who has more than its own has borrowed them from those who use less. */
export class SeatPool {
  readonly #levels = new Set<PriorityLevel>();

  get levels(): ReadonlySet<PriorityLevel> {
    return this.#levels;
  }

  add(level: PriorityLevel): void {
    this.#levels.add(level);
  }

  remove(level: PriorityLevel): void {
    this.#levels.delete(level);
  }

  /**
   * Whether `level` may take `seats` more. What is within its minimum nobody can have lent; beyond that, all that is borrowed must be
   * covered by what the others have to lend and do not use.
   */
  hasRoom(level: PriorityLevel, seats: number): boolean {
    const { limits } = level;
    const after = level.inUse + seats;
    if (after <= limits.min) return true;
    // Wider than the level can ever be: it runs alone.
    if (level.inUse === 0 && seats > limits.max) return limits.max > 0;
    if (after > limits.max) return false;
    let borrowed = 0;
    let lendable = 0;
    for (const one of this.#levels) {
      const { nominal, min } = one.limits;
      const used = one === level ? after : one.inUse;
      if (one.isExempt) lendable += nominal - min;
      else if (used > nominal) borrowed += used - nominal;
      else lendable += nominal - Math.max(used, min);
    }
    return borrowed <= lendable;
  }

  /** After seats were given back: lets those in who wait, the level that gave them back first. */
  onReleased(first: PriorityLevel): void {
    first.dispatch();
    for (const level of this.#levels) if (level !== first && level.waiting > 0) level.dispatch();
  }
}

export interface PriorityLevelOptions {
  readonly pool: SeatPool;
  readonly clock: Clock;
  readonly config: Configured<PriorityLevelSpec>;
  readonly limits: SeatLimits;
}

/** The seats and queues of one PriorityLevelConfiguration. */
export class PriorityLevel {
  readonly #pool: SeatPool;
  readonly #clock: Clock;
  readonly retryAfter = new RetryAfter();
  #config: Configured<PriorityLevelSpec>;
  #limits: SeatLimits;
  /** Undefined where the level rejects what it cannot seat. */
  #queues: FairQueues | undefined;
  /** Those of an earlier configuration that still hold waiters. */
  #formerQueues: FairQueues[] = [];
  #inUse = 0;

  constructor({ pool, clock, config, limits }: PriorityLevelOptions) {
    this.#pool = pool;
    this.#clock = clock;
    this.#config = config;
    this.#limits = limits;
    this.#queues = queuesOf(config.spec);
    pool.add(this);
  }

  get config(): Configured<PriorityLevelSpec> {
    return this.#config;
  }

  get name(): string {
    return this.#config.name;
  }

  get isExempt(): boolean {
    return this.#config.spec.type === 'Exempt';
  }

  get limits(): SeatLimits {
    return this.#limits;
  }

  get inUse(): number {
    return this.#inUse;
  }

  get queues(): FairQueues | undefined {
    return this.#queues;
  }

  get waiting(): number {
    let waiting = this.#queues?.length ?? 0;
    for (const queues of this.#formerQueues) waiting += queues.length;
    return waiting;
  }

  /** Seats that one request may take at most. */
  get maxSeats(): number {
    return Math.max(1, Math.ceil(this.#limits.nominal * MAX_SEATS_SHARE));
  }

  /** Requests that run or wait go on under the new configuration. */
  configure(config: Configured<PriorityLevelSpec>, limits: SeatLimits): void {
    const isRequeued =
      JSON.stringify(config.spec.limited?.limitResponse) !== JSON.stringify(this.#config.spec.limited?.limitResponse);
    this.#config = config;
    this.#limits = limits;
    if (isRequeued) {
      if (this.#queues !== undefined && this.#queues.length > 0) this.#formerQueues.push(this.#queues);
      this.#queues = queuesOf(config.spec);
    }
    this.dispatch();
  }

  /** Takes the seats if they are free and nobody waits for them. */
  tryAcquire(seats: number): boolean {
    if (!this.isExempt) {
      if (this.#formerQueues.length > 0 || (this.#queues !== undefined && this.#queues.length > 0)) return false;
      if (!this.#pool.hasRoom(this, seats)) return false;
    }
    this.#inUse += seats;
    return true;
  }

  /** Waits for the seats; rejects with Refused. Only after `tryAcquire` was false. */
  enqueue({ seats, flow, signal }: SeatWish): Promise<QueuedSeat> {
    const queues = this.#queues;
    if (queues === undefined) return Promise.reject(new Refused('concurrency-limit'));
    if (signal.aborted) return Promise.reject(new Refused('cancelled'));
    return new Promise((resolve, reject) => {
      const settle = () => {
        cancelTimer();
        signal.removeEventListener('abort', onAbort);
      };
      const waiter: Waiter = {
        seats,
        seat: () => {
          settle();
          resolve({ queues, queue: queue! });
        },
      };
      const queue = queues.push(flow, waiter);
      if (queue === undefined) {
        reject(new Refused('queue-full'));
        return;
      }
      const giveUp = (reason: RefusalReason) => {
        settle();
        queues.remove(queue, waiter);
        reject(new Refused(reason));
        // It may have been a wide one that others waited behind.
        this.dispatch();
      };
      const onAbort = () => giveUp('cancelled');
      const cancelTimer = this.#clock.after(MAX_WAIT_MS, () => giveUp('time-out'));
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  release(seats: number): void {
    this.#inUse -= seats;
    this.#pool.onReleased(this);
  }

  /** Seats waiters while there is room, in the order of fairness. */
  dispatch(): void {
    if (this.#formerQueues.length > 0) {
      this.#formerQueues = this.#formerQueues.filter((queues) => this.#dispatchFrom(queues));
    }
    if (this.#formerQueues.length === 0 && this.#queues !== undefined) this.#dispatchFrom(this.#queues);
  }

  /** Whether anybody still waits. */
  #dispatchFrom(queues: FairQueues): boolean {
    while (queues.length > 0) {
      const queue = queues.next()!;
      const { seats } = queue.waiters[0]!;
      if (!this.isExempt && !this.#pool.hasRoom(this, seats)) return true;
      this.#inUse += seats;
      queues.shift(queue).seat();
    }
    return false;
  }
}

function queuesOf({ limited }: PriorityLevelSpec): FairQueues | undefined {
  const response = limited?.limitResponse;
  return response?.type === 'Queue' && response.queuing !== undefined ? new FairQueues(response.queuing) : undefined;
}
