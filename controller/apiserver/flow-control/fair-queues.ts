import type { QueuingSpec } from './configuration.ts';
import { dealHand, hashFlow } from './shuffle-shard.ts';

/** A request that waits for its seats. */
export interface Waiter {
  readonly seats: number;
  readonly seat: () => void;
}

/** One of a level's queues; `start` is the virtual time at which its next request begins. */
export interface Queue {
  readonly index: number;
  readonly waiters: Waiter[];
  waitingSeats: number;
  start: number;
}

/** A request is taken to last so long until it has ended and the true time is charged. */
const ESTIMATED_MS = 3;

/**
 * Fair queuing by virtual time: the queue whose head would finish first is next, and a queue pays for its requests with `seats x
 * duration`. A flow uses a few queues only (its hand), so a flood fills those and leaves the others empty.
 */
export class FairQueues {
  readonly #spec: QueuingSpec;
  readonly #queues: Queue[];
  /** Virtual start of the request that was dispatched last. */
  #virtualNow = 0;
  #length = 0;

  constructor(spec: QueuingSpec) {
    this.#spec = spec;
    this.#queues = Array.from({ length: spec.queues }, (_, index) => ({
      index,
      waiters: [],
      waitingSeats: 0,
      start: 0,
    }));
  }

  get length(): number {
    return this.#length;
  }

  get queues(): readonly Queue[] {
    return this.#queues;
  }

  /** The queue that the request waits in: the least filled of its flow's hand; undefined when that is full. */
  push(flow: string, waiter: Waiter): Queue | undefined {
    const hand = dealHand(hashFlow(flow), this.#spec.queues, this.#spec.handSize);
    const queue = hand
      .map((index) => this.#queues[index]!)
      .reduce((best, one) => (one.waitingSeats < best.waitingSeats ? one : best));
    if (queue.waiters.length >= this.#spec.queueLengthLimit) return undefined;
    if (queue.waiters.length === 0) queue.start = Math.max(queue.start, this.#virtualNow);
    queue.waiters.push(waiter);
    queue.waitingSeats += waiter.seats;
    this.#length++;
    return queue;
  }

  /** The queue whose turn it is; undefined when nobody waits. */
  next(): Queue | undefined {
    let best: Queue | undefined;
    let bestFinish = Number.POSITIVE_INFINITY;
    for (const queue of this.#queues) {
      const head = queue.waiters[0];
      if (head === undefined) continue;
      const finish = queue.start + head.seats * ESTIMATED_MS;
      if (finish < bestFinish) {
        best = queue;
        bestFinish = finish;
      }
    }
    return best;
  }

  /** Takes the head of `queue` out for service. */
  shift(queue: Queue): Waiter {
    const waiter = queue.waiters.shift()!;
    queue.waitingSeats -= waiter.seats;
    this.#length--;
    this.#virtualNow = Math.max(this.#virtualNow, queue.start);
    queue.start += waiter.seats * ESTIMATED_MS;
    return waiter;
  }

  /** Charges what the request really took. */
  settle(queue: Queue, seats: number, elapsedMs: number): void {
    queue.start += seats * (elapsedMs - ESTIMATED_MS);
  }

  /** Takes a waiter out that gave up. */
  remove(queue: Queue, waiter: Waiter): void {
    const at = queue.waiters.indexOf(waiter);
    if (at < 0) return;
    queue.waiters.splice(at, 1);
    queue.waitingSeats -= waiter.seats;
    this.#length--;
  }
}
