/** A request that waits for a seat. */
export interface Waiter {
  /** Set once it has left the queue, seated or given up. */
  done: boolean;
  readonly seat: () => void;
}

/**
 * Waiting requests by flow (user): flows take turns, so that one client that floods the server delays itself, not the others.
 * Within a flow, first come first served.
 */
export class FairQueue {
  readonly #flows = new Map<string, Waiter[]>();
  #length = 0;

  get length(): number {
    return this.#length;
  }

  lengthOf(flow: string): number {
    return this.#flows.get(flow)?.length ?? 0;
  }

  push(flow: string, waiter: Waiter): void {
    const queue = this.#flows.get(flow);
    if (queue === undefined) this.#flows.set(flow, [waiter]);
    else queue.push(waiter);
    this.#length++;
  }

  /** The first of the flow whose turn it is; that flow goes to the end of the round. */
  shift(): Waiter | undefined {
    for (const [flow, queue] of this.#flows) {
      const waiter = queue.shift()!;
      this.#length--;
      this.#flows.delete(flow);
      if (queue.length > 0) this.#flows.set(flow, queue);
      return waiter;
    }
    return undefined;
  }

  /** Takes a waiter that gave up out of its flow. */
  remove(flow: string, waiter: Waiter): void {
    const queue = this.#flows.get(flow);
    const at = queue?.indexOf(waiter) ?? -1;
    if (queue === undefined || at < 0) return;
    queue.splice(at, 1);
    this.#length--;
    if (queue.length === 0) this.#flows.delete(flow);
  }
}
