import type { Pod } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { uidOf } from '../pod-spec.ts';
import type { VolumeManager } from './volume-manager.ts';

export interface VolumeUpkeepDeps {
  readonly volumes: Pick<VolumeManager, 'isPrepared' | 'prepare' | 'refresh'>;
  readonly clock: Clock;
  readonly log: Logger;
}

const RETRY_MS = 10_000;

/** When the volumes of one pod have to be rendered again: because something changed, or because a token grows old. */
export class VolumeUpkeep {
  readonly #deps: VolumeUpkeepDeps;
  #isStale = false;
  #dueMs: number | undefined;

  constructor(deps: VolumeUpkeepDeps) {
    this.#deps = deps;
  }

  /** Epoch ms at which to look although nothing changed. */
  get dueMs(): number | undefined {
    return this.#dueMs;
  }

  /** What the volumes show may have changed. */
  markStale(): void {
    this.#isStale = true;
  }

  /**
   * Call in the pod's own passes; never throws for a refresh that fails: running containers keep what they have. `isRunning`: volumes of
   * a pod that runs already are an earlier agent's, and are looked after from now on. Those of others stand when they are to start.
   */
  async refreshIfDue(pod: Pod, isRunning: boolean): Promise<void> {
    const { volumes, clock, log } = this.#deps;
    const isOurs = volumes.isPrepared(uidOf(pod));
    if (!isOurs && !isRunning) {
      // A time that has passed would wake the pod without end.
      this.#dueMs = undefined;
      return;
    }
    const isDue = this.#dueMs === undefined ? !isOurs : clock.now() >= this.#dueMs;
    if (!this.#isStale && !isDue) {
      if (!isOurs) return;
      this.#dueMs ??= (await volumes.prepare(pod)).refreshAtMs;
      return;
    }
    this.#isStale = false;
    try {
      this.#dueMs = (await volumes.refresh(pod)).refreshAtMs;
    } catch (err) {
      log.warn('volumes could not be refreshed', { err: describeError(err) });
      this.#dueMs = clock.now() + RETRY_MS;
    }
  }
}
