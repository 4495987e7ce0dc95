import { tooManyRequests } from '#api/object/api-error.ts';
import type { Clock } from '#base/clock.ts';
import { FairQueue, type Waiter } from '../fair-queue.ts';
import type { Filter, RequestContext } from '../request-context.ts';

export type PriorityLevelName = 'exempt' | 'node' | 'system' | 'workload' | 'global-default';

export interface PriorityLevelLimits {
  /** Requests of the level that may run at once. */
  readonly seats: number;
  /** Requests that may wait, of one flow and of all. */
  readonly queuePerFlow: number;
  readonly queue: number;
}

/**
 * The levels are apart so that a flood of one cannot starve another: nodes' heartbeats, our own components, workloads, the rest.
 * Seats bound work that waits (for the disk, for a webhook): the event loop itself runs one request at a time.
 */
export const DEFAULT_LEVELS: Readonly<Record<Exclude<PriorityLevelName, 'exempt'>, PriorityLevelLimits>> = {
  node: { seats: 150, queuePerFlow: 50, queue: 5000 },
  system: { seats: 150, queuePerFlow: 200, queue: 2000 },
  workload: { seats: 200, queuePerFlow: 100, queue: 2000 },
  'global-default': { seats: 100, queuePerFlow: 50, queue: 1000 },
};

/** Longest wait for a seat: a quarter of the request timeout, as in Kubernetes. */
const MAX_WAIT_MS = 15_000;
/** How often watches that are being set up are looked at. */
const SETUP_POLL_MS = 20;

const STREAMING_SUBRESOURCES: ReadonlySet<string> = new Set([
  'exec',
  'attach',
  'portforward',
  'proxy',
  'log',
  'tunnel',
  'references',
]);

/** Which level a request belongs to. Pure; the first rule that matches wins. */
export function classifyRequest({ user, info }: Pick<RequestContext, 'user' | 'info'>): PriorityLevelName {
  const { groups, name } = user;
  if (groups.includes('system:masters')) return 'exempt';
  // Streams last as long as the client likes; health questions must be answered when all seats are taken.
  if (!info.isResourceRequest || STREAMING_SUBRESOURCES.has(info.subresource)) return 'exempt';
  if (groups.includes('system:nodes') || groups.includes('coracle:netd')) {
    const isHeartbeat = info.resource === 'leases' || (info.resource === 'nodes' && info.subresource === 'status');
    return isHeartbeat ? 'exempt' : 'node';
  }
  if (groups.includes('system:serviceaccounts:kube-system')) return 'system';
  if (groups.includes('system:serviceaccounts')) return 'workload';
  return name.startsWith('system:') && name !== 'system:anonymous' ? 'system' : 'global-default';
}

class PriorityLevel {
  readonly #limits: PriorityLevelLimits;
  readonly #clock: Clock;
  readonly #waiting = new FairQueue();
  #seated = 0;

  constructor(limits: PriorityLevelLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Undefined when a seat was free, else a promise of one; throws or rejects with 429. */
  acquire(flow: string, signal: AbortSignal): Promise<void> | undefined {
    if (this.#seated < this.#limits.seats && this.#waiting.length === 0) {
      this.#seated++;
      return undefined;
    }
    if (this.#waiting.length >= this.#limits.queue || this.#waiting.lengthOf(flow) >= this.#limits.queuePerFlow) {
      throw refused();
    }
    return this.#wait(flow, signal);
  }

  /** Gives the seat to who waits longest in the flow whose turn it is. */
  release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#seated--;
    else next.seat();
  }

  #wait(flow: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (finish: () => void) => () => {
        if (waiter.done) return;
        waiter.done = true;
        cancelTimer();
        signal.removeEventListener('abort', giveUp);
        finish();
      };
      const waiter: Waiter = { done: false, seat: () => settle(resolve)() };
      const giveUp = settle(() => {
        this.#waiting.remove(flow, waiter);
        reject(refused());
      });
      const cancelTimer = this.#clock.after(MAX_WAIT_MS, giveUp);
      signal.addEventListener('abort', giveUp, { once: true });
      this.#waiting.push(flow, waiter);
    });
  }
}

const refused = () => tooManyRequests('too many requests, please try again later', 1);

export interface FlowControlDeps {
  readonly clock: Clock;
  readonly levels?: typeof DEFAULT_LEVELS;
}

/** A watch that holds a seat until its answer has begun. */
interface WatchSetup {
  readonly context: RequestContext;
  readonly release: () => void;
}

class WatchSetups {
  readonly #clock: Clock;
  readonly #pending = new Set<WatchSetup>();
  #cancel: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs the watch and frees its seat once the answer has begun or the watch has ended, whichever comes first. */
  async run(setup: WatchSetup, next: () => Promise<void>): Promise<void> {
    this.#pending.add(setup);
    this.#cancel ??= this.#clock.after(SETUP_POLL_MS, this.#poll);
    try {
      await next();
    } finally {
      this.#finish(setup);
    }
  }

  #finish(setup: WatchSetup): void {
    if (this.#pending.delete(setup)) setup.release();
  }

  readonly #poll = (): void => {
    this.#cancel = undefined;
    for (const setup of this.#pending) if (setup.context.response.started) this.#finish(setup);
    if (this.#pending.size > 0) this.#cancel = this.#clock.after(SETUP_POLL_MS, this.#poll);
  };
}

/** Bounds concurrent requests per priority level, queues fairly per user, and answers 429 beyond. Free of cost while seats are free. */
export function createFlowControlFilter({ clock, levels = DEFAULT_LEVELS }: FlowControlDeps): Filter {
  const byName = new Map(
    Object.entries(levels).map(([name, limits]) => [name, new PriorityLevel(limits, clock)] as const),
  );
  const setups = new WatchSetups(clock);
  return {
    name: 'flow-control',
    async run(context, next) {
      const level = byName.get(classifyRequest(context));
      if (level === undefined) return next();
      const waiting = level.acquire(context.user.name, context.request.signal);
      if (waiting !== undefined) await waiting;
      if (context.info.verb === 'watch') return setups.run({ context, release: () => level.release() }, next);
      try {
        await next();
      } finally {
        level.release();
      }
    },
  };
}
