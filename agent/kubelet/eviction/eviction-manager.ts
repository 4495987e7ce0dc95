import type { Pod } from '#api/object/kinds.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { PodOutcome } from '../ledger-record.ts';
import { specOf } from '../pod-spec.ts';
import {
  CALM,
  type EvictionState,
  type Observations,
  PRESSURE_OF,
  type Pressure,
  stepEviction,
} from './eviction-state.ts';
import { hasStorageLimit, localStorageExcess, NO_USAGE, type PodUsage } from './pod-usage.ts';
import { evictionMessage, isCritical, rankForEviction, resourceName } from './ranking.ts';
import type { Threshold } from './thresholds.ts';

export interface EvictionConfig {
  readonly thresholds: readonly Threshold[];
  /** The longest grace of a pod that goes because of a soft threshold. */
  readonly maxPodGraceSeconds: number;
  /** How long a condition of the node outlives its cause. */
  readonly transitionMs: number;
}

export interface EvictionManagerOptions {
  readonly config: EvictionConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly observe: () => Promise<Observations>;
  /** Pods that run here. */
  readonly pods: () => readonly Pod[];
  readonly usages: (pods: readonly Pod[]) => Promise<ReadonlyMap<string, PodUsage>>;
  /** Throws away what nobody needs: dead containers and unused images. */
  readonly reclaimDisk: () => Promise<void>;
  readonly evict: (pod: Pod, eviction: Eviction) => void;
  /** Resolves once the pod has ended and what it had on the disk is gone. */
  readonly ended: (pod: Pod) => Promise<void>;
  readonly tellNode: (reason: string, message: string) => void;
  /** The conditions of the node have changed. */
  readonly onPressure: () => void;
}

export interface Eviction {
  readonly outcome: PodOutcome;
  readonly graceSeconds: number;
}

const INTERVAL_MS = 10_000;
/** What an evicted pod used is free when it has gone, not before: until then no other one is looked for. */
const CLEANUP_MS = 30_000;
/** Kubernetes' grace for pods that have to go at once. */
const HARD_GRACE_SECONDS = 1;

/** Watches what the node has left; ends pods before the kernel ends the node. At most one pod a look: it may be enough. */
export class EvictionManager {
  readonly #options: EvictionManagerOptions;
  #state: EvictionState = CALM;
  #pressures: ReadonlySet<Pressure> = new Set();

  constructor(options: EvictionManagerOptions) {
    this.#options = options;
  }

  get pressures(): ReadonlySet<Pressure> {
    return this.#pressures;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    while (!signal.aborted) {
      try {
        await this.#goneOrLate(await this.look(), signal);
      } catch (err) {
        log.warn('the state of the node could not be judged', { err: describeError(err) });
      }
      await delay(clock, INTERVAL_MS, signal).catch(() => undefined);
    }
  }

  /** One look; returns the pods that were evicted. */
  async look(): Promise<readonly Pod[]> {
    const step = await this.#step();
    const overLimit = await this.#evictOverLimit();
    if (overLimit.length > 0) return overLimit;
    const [threshold] = step.met;
    if (threshold === undefined) return [];
    const name = resourceName(threshold.signal);
    this.#options.log.warn('the node is low on a resource', { signal: threshold.signal });
    this.#options.tellNode('EvictionThresholdMet', `Attempting to reclaim ${name}`);
    if (PRESSURE_OF[threshold.signal] === 'DiskPressure') {
      await this.#options.reclaimDisk();
      const after = await this.#step();
      if (!after.met.includes(threshold)) return [];
    }
    return this.#evictOne(threshold, step.observations);
  }

  async #goneOrLate(pods: readonly Pod[], signal: AbortSignal): Promise<void> {
    if (pods.length === 0) return;
    const { clock, ended } = this.#options;
    const late = new AbortController();
    const stop = AbortSignal.any([signal, late.signal]);
    await Promise.race([Promise.all(pods.map(ended)), delay(clock, CLEANUP_MS, stop).catch(() => undefined)]);
    late.abort();
  }

  async #step() {
    const { config, clock, observe, onPressure } = this.#options;
    const observations = await observe();
    const { thresholds, transitionMs } = config;
    const nowMs = clock.monotonic();
    const step = stepEviction({ thresholds, observations, state: this.#state, transitionMs, nowMs });
    this.#state = step.state;
    const isSame = [...step.pressures].sort().join() === [...this.#pressures].sort().join();
    this.#pressures = step.pressures;
    if (!isSame) onPressure();
    return { ...step, observations };
  }

  async #evictOne(threshold: Threshold, observations: Observations): Promise<readonly Pod[]> {
    const { pods, usages, config, log } = this.#options;
    const observed = observations.get(threshold.signal);
    const present = pods();
    const used = await usages(present);
    const candidates = present.map((pod) => ({ pod, usage: used.get(pod.metadata.uid) ?? NO_USAGE }));
    const [first] = rankForEviction(threshold.signal, candidates);
    if (first === undefined || observed === undefined) {
      log.warn('no pod can be evicted', { signal: threshold.signal });
      return [];
    }
    const own = specOf(first.pod).terminationGracePeriodSeconds ?? 30;
    const isHard = threshold.gracePeriodMs === 0;
    const graceSeconds = isHard ? HARD_GRACE_SECONDS : Math.min(own, config.maxPodGraceSeconds);
    this.#evict(first.pod, evictionMessage(threshold, observed, first), graceSeconds);
    return [first.pod];
  }

  async #evictOverLimit(): Promise<readonly Pod[]> {
    const { pods, usages } = this.#options;
    const limited = pods().filter((pod) => hasStorageLimit(pod) && !isCritical(pod));
    if (limited.length === 0) return [];
    const used = await usages(limited);
    const evicted: Pod[] = [];
    for (const pod of limited) {
      const message = localStorageExcess(pod, used.get(pod.metadata.uid) ?? NO_USAGE);
      if (message === undefined) continue;
      this.#evict(pod, message, HARD_GRACE_SECONDS);
      evicted.push(pod);
    }
    return evicted;
  }

  #evict(pod: Pod, message: string, graceSeconds: number): void {
    this.#options.log.warn('evicting a pod', { pod: pod.metadata.name, namespace: pod.metadata.namespace, message });
    const disruption = { type: 'DisruptionTarget', reason: 'TerminationByKubelet', message };
    const outcome: PodOutcome = { phase: 'Failed', reason: 'Evicted', message, disruption };
    this.#options.evict(pod, { outcome, graceSeconds });
  }
}
