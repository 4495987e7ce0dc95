import { type ApiError, tooManyRequests } from '#api/object/api-error.ts';
import type { Clock } from '#base/clock.ts';
import { type FlowClass, type FlowController, flowName } from '../../flow-control/flow-controller.ts';
import { type QueuedSeat, type RefusalReason, Refused } from '../../flow-control/priority-level.ts';
import { type HandedWrite, WaitingWrites } from '../../flow-control/waiting-writes.ts';
import { estimateFinalSeats, estimateSeats, type WorkFacts } from '../../flow-control/work-estimate.ts';
import { isLongRunning } from '../handler-chain.ts';
import type { Filter, RequestContext, RequestInfo } from '../request-context.ts';

/** How long a write's event takes to spread, by Kubernetes' estimate. */
const EVENT_SPREAD_MS = 5;

export interface FlowControlDeps {
  readonly controller: FlowController;
  readonly clock: Clock;
  /** Objects of the collection that the request reads. */
  readonly countObjects: (info: RequestInfo) => number;
}

/** Seats in hand. */
interface Held {
  readonly flow: FlowClass;
  readonly seats: number;
  readonly finalSeats: number;
  readonly startMs: number;
  readonly queued: QueuedSeat | undefined;
}

/**
 * Priority and fairness: seats for requests by priority level, fair queues where a level is full, 429 beyond. While seats are free a
 * request costs a classification and two additions.
 */
export function createFlowControlFilter(deps: FlowControlDeps): Filter {
  const { controller, clock } = deps;
  const watchers = new WatcherCounts();
  const facts: WorkFacts = { countObjects: deps.countObjects, countWatchers: watchers.count };
  const spreading = new SpreadingEvents(clock);
  const waitingWrites = new WaitingWrites(clock);

  const finish = ({ flow, seats, finalSeats, startMs, queued }: Held, isWatch: boolean): void => {
    const elapsedMs = clock.monotonic() - startMs;
    const { series, level } = flow;
    (isWatch ? series.watchInitSeconds : series.executionSeconds).observe(elapsedMs / 1000);
    series.executing.value--;
    series.seatsInUse.value -= seats;
    if (queued !== undefined) queued.queues.settle(queued.queue, seats, elapsedMs);
    if (finalSeats === 0) level.release(seats);
    else {
      if (seats > finalSeats) level.release(seats - finalSeats);
      spreading.add(flow, finalSeats);
    }
  };

  const runSeated = async (context: RequestContext, held: Held, next: () => Promise<void>): Promise<void> => {
    if (context.info.verb === 'watch') return runWatch(context, held, next);
    let isHeld = true;
    const release = () => {
      if (isHeld) finish(held, false);
      isHeld = false;
    };
    let handed: HandedWrite | undefined;
    if (!held.flow.level.isExempt) {
      context.onHandedToStore = () => {
        if (handed !== undefined) return;
        handed = { level: held.flow.level, atMs: clock.monotonic(), release };
        waitingWrites.add(handed);
      };
    }
    try {
      await next();
    } finally {
      if (handed !== undefined) waitingWrites.delete(handed);
      release();
    }
  };

  /** A watch holds its seats until its answer begins. */
  const runWatch = async (context: RequestContext, held: Held, next: () => Promise<void>): Promise<void> => {
    let isHeld = true;
    const release = () => {
      if (!isHeld) return;
      isHeld = false;
      finish(held, true);
    };
    const before = context.onAnswer;
    context.onAnswer = () => {
      before?.();
      release();
    };
    watchers.add(context.info, 1);
    try {
      await next();
    } finally {
      watchers.add(context.info, -1);
      release();
    }
  };

  const seated = (flow: FlowClass, seats: number, finalSeats: number, queued: QueuedSeat | undefined): Held => {
    const { series } = flow;
    series.dispatched.value++;
    series.executing.value++;
    series.seatsInUse.value += seats;
    series.seats.observe(seats);
    return { flow, seats, finalSeats, startMs: clock.monotonic(), queued };
  };

  const runQueued = async (
    context: RequestContext,
    flow: FlowClass,
    wanted: { readonly seats: number; readonly finalSeats: number },
    next: () => Promise<void>,
  ): Promise<void> => {
    const queued = await waitForSeats(clock, context, flow, wanted.seats);
    if (context.response.started) {
      // Its deadline has answered meanwhile: the client believes that it failed, so it must not run now.
      flow.level.release(wanted.seats);
      return;
    }
    return runSeated(context, seated(flow, wanted.seats, wanted.finalSeats, queued), next);
  };

  return {
    name: 'flow-control',
    run(context, next) {
      const { info } = context;
      // Streams last as long as the client likes.
      if (isLongRunning(info) && info.verb !== 'watch') return next();
      const flow = controller.classify(context);
      context.flow = flow;
      const { level } = flow;
      if (waitingWrites.refuses(level, info)) return Promise.reject(refusal(flow, clock, 'time-out'));
      let seats = 1;
      let finalSeats = 0;
      if (!level.isExempt && info.isResourceRequest) {
        seats = estimateSeats(info, facts, level.maxSeats);
        finalSeats = estimateFinalSeats(info, facts, level.maxSeats);
        seats = Math.max(seats, finalSeats);
      }
      if (level.tryAcquire(seats)) return runSeated(context, seated(flow, seats, finalSeats, undefined), next);
      return runQueued(context, flow, { seats, finalSeats }, next);
    },
  };
}

async function waitForSeats(
  clock: Clock,
  context: RequestContext,
  flow: FlowClass,
  seats: number,
): Promise<QueuedSeat> {
  const { level, series } = flow;
  const fromMs = clock.monotonic();
  const waitedSeconds = () => (clock.monotonic() - fromMs) / 1000;
  series.waiting.value++;
  try {
    const wish = { seats, flow: flowName(flow, context.user, context.info), signal: context.request.signal };
    const waiting = level.enqueue(wish);
    series.queueLength.observe(level.waiting);
    const queued = await waiting;
    series.waitedSeconds.observe(waitedSeconds());
    return queued;
  } catch (err) {
    if (!(err instanceof Refused)) throw err;
    series.refusedAfterSeconds.observe(waitedSeconds());
    throw refusal(flow, clock, err.reason);
  } finally {
    series.waiting.value--;
  }
}

function refusal({ level, series }: FlowClass, clock: Clock, reason: RefusalReason): ApiError {
  series.refused(reason).value++;
  level.retryAfter.recordRefusal(clock.now());
  return tooManyRequests('Too many requests, please try again later.', level.retryAfter.seconds);
}

/** Watches by resource. */
class WatcherCounts {
  readonly #counts = new Map<string, number>();

  readonly count = ({ resource }: RequestInfo): number => this.#counts.get(resource) ?? 0;

  add({ resource }: RequestInfo, delta: number): void {
    const count = (this.#counts.get(resource) ?? 0) + delta;
    if (count === 0) this.#counts.delete(resource);
    else this.#counts.set(resource, count);
  }
}

/** Seats of writes whose events are on their way, with one timer between them. */
class SpreadingEvents {
  readonly #clock: Clock;
  #waiting: { readonly flow: FlowClass; readonly seats: number; readonly dueMs: number }[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(flow: FlowClass, seats: number): void {
    this.#waiting.push({ flow, seats, dueMs: this.#clock.monotonic() + EVENT_SPREAD_MS });
    if (this.#waiting.length === 1) this.#clock.after(EVENT_SPREAD_MS, this.#sweep);
  }

  readonly #sweep = (): void => {
    const nowMs = this.#clock.monotonic();
    const due = this.#waiting.filter(({ dueMs }) => dueMs <= nowMs);
    this.#waiting = this.#waiting.filter(({ dueMs }) => dueMs > nowMs);
    for (const { flow, seats } of due) flow.level.release(seats);
    const [first] = this.#waiting;
    if (first !== undefined) this.#clock.after(Math.max(1, first.dueMs - nowMs), this.#sweep);
  };
}
