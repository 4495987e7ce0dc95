import { backoffDelayMs } from '#base/backoff.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { NetworkProblem } from './network-problem.ts';

export interface SetUpOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** What is in the way; none: the last step was done. */
  readonly onProblems: (problems: readonly NetworkProblem[]) => void;
}

const RETRY = { initialMs: 1_000, maxMs: 30_000, jitter: 0.2 };
/** A lock that somebody holds is gone at the next try. */
const TOLD_FROM = 2;

/** Takes a step of setting the network up until it is done, and tells what is in the way meanwhile. A later step takes the place of one before it. */
export class SetUp {
  readonly #options: SetUpOptions;
  #failures = 0;
  #isStopped = false;
  #cancel = () => {};

  constructor(options: SetUpOptions) {
    this.#options = options;
  }

  /** Resolves after the first try, whatever came of it. */
  async take(step: () => Promise<void>): Promise<void> {
    const { clock, log, onProblems } = this.#options;
    this.#cancel();
    try {
      await step();
      this.#failures = 0;
      onProblems([]);
    } catch (err) {
      this.#failures += 1;
      log.error('the pod network could not be set up', { err: describeError(err), failures: this.#failures });
      if (this.#failures >= TOLD_FROM) onProblems([notSetUp(err)]);
      this.#cancel();
      if (!this.#isStopped)
        this.#cancel = clock.after(backoffDelayMs(this.#failures, RETRY), () => void this.take(step));
    }
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel();
  }
}

const notSetUp = (err: unknown): NetworkProblem => ({
  reason: 'PodNetworkNotSetUp',
  cause: `what pods of this node need of it could not be set up: ${describeError(err)}`,
  cure: 'look at what this program says on this host; the agent tries again by itself',
  isDegraded: false,
});
