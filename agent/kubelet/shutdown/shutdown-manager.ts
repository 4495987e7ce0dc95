import type { Pod } from '#api/object/kinds.ts';
import { type Clock, delay } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { Eviction } from '../eviction/eviction-manager.ts';
import { planShutdown, type ShutdownTier } from './shutdown-plan.ts';

export interface ShutdownManagerOptions {
  readonly tiers: readonly ShutdownTier[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly pods: () => readonly Pod[];
  /** Ends a pod for good. */
  readonly evict: (pod: Pod, eviction: Eviction) => void;
  /** Stops a pod's processes and starts nothing until `resume`. Resolves when they have ended. */
  readonly halt: (pod: Pod, graceSeconds: number) => Promise<void>;
  readonly resume: () => void;
  /** Resolves when the pod's processes have ended. */
  readonly ended: (pod: Pod) => Promise<void>;
  /** The node is to be shown as going down, or as up again. */
  readonly onChange: () => void;
}

const MESSAGE = 'Pod was terminated in response to imminent node shutdown.';

/** Ends pods in the order of their priorities before the host goes down. */
export class ShutdownManager {
  readonly #options: ShutdownManagerOptions;
  #isShuttingDown = false;

  constructor(options: ShutdownManagerOptions) {
    this.#options = options;
  }

  get isShuttingDown(): boolean {
    return this.#isShuttingDown;
  }

  /** Resolves when the host may go down. */
  async onShutdown(isComing: boolean): Promise<void> {
    const { tiers, clock, log, pods, onChange, resume } = this.#options;
    this.#isShuttingDown = isComing;
    onChange();
    if (!isComing) {
      log.info('the shutdown of the host was called off');
      resume();
      return;
    }
    for (const { pods: members, limitSeconds } of planShutdown(pods(), tiers)) {
      // Called off meanwhile: nobody would start again what was stopped now.
      if (!this.#isShuttingDown) return;
      log.info('ending pods before the host goes down', { pods: members.length, limitSeconds });
      const late = new AbortController();
      await Promise.race([
        Promise.all(members.map(({ pod, graceSeconds, returns }) => this.#end(pod, graceSeconds, returns))),
        delay(clock, limitSeconds * 1000, late.signal).catch(() => undefined),
      ]);
      late.abort();
    }
  }

  async #end(pod: Pod, graceSeconds: number, returns: boolean): Promise<void> {
    const { evict, halt, ended } = this.#options;
    if (returns) return halt(pod, graceSeconds);
    const disruption = { type: 'DisruptionTarget', reason: 'TerminationByKubelet', message: MESSAGE };
    evict(pod, { outcome: { phase: 'Failed', reason: 'Terminated', message: MESSAGE, disruption }, graceSeconds });
    await ended(pod);
  }
}
