import { absolute, type Signal, type Threshold } from './thresholds.ts';

export interface Observation {
  readonly available: number;
  readonly capacity: number;
}

/** A signal that could not be read is absent: no pod is evicted on a guess. */
export type Observations = ReadonlyMap<Signal, Observation>;

export type Pressure = 'MemoryPressure' | 'DiskPressure' | 'PIDPressure';

export const PRESSURE_OF: Readonly<Record<Signal, Pressure>> = {
  'memory.available': 'MemoryPressure',
  'allocatableMemory.available': 'MemoryPressure',
  'nodefs.available': 'DiskPressure',
  'nodefs.inodesFree': 'DiskPressure',
  'imagefs.available': 'DiskPressure',
  'imagefs.inodesFree': 'DiskPressure',
  'pid.available': 'PIDPressure',
};

/** What is carried from one look to the next; keys of the maps are thresholds by position. Times on a clock that never jumps. */
export interface EvictionState {
  readonly crossedSinceMs: ReadonlyMap<Threshold, number>;
  readonly lastPressureMs: ReadonlyMap<Pressure, number>;
}

export const CALM: EvictionState = { crossedSinceMs: new Map(), lastPressureMs: new Map() };

export interface EvictionStep {
  readonly state: EvictionState;
  /** Conditions of the node: true from the first crossing until nothing was crossed for the transition period. */
  readonly pressures: ReadonlySet<Pressure>;
  /** Thresholds that were crossed long enough: something has to go. Memory first, then the order of the configuration. */
  readonly met: readonly Threshold[];
}

export interface EvictionInput {
  readonly thresholds: readonly Threshold[];
  readonly observations: Observations;
  readonly state: EvictionState;
  readonly transitionMs: number;
  readonly nowMs: number;
}

/** One look at the node. Pure. */
export function stepEviction({ thresholds, observations, state, transitionMs, nowMs }: EvictionInput): EvictionStep {
  const crossedSinceMs = new Map<Threshold, number>();
  const lastPressureMs = new Map(state.lastPressureMs);
  for (const threshold of thresholds) {
    const observed = observations.get(threshold.signal);
    const since = state.crossedSinceMs.get(threshold);
    if (observed === undefined || !isCrossed(threshold, observed, since !== undefined)) continue;
    crossedSinceMs.set(threshold, since ?? nowMs);
    lastPressureMs.set(PRESSURE_OF[threshold.signal], nowMs);
  }
  const met = thresholds.filter((threshold) => {
    const since = crossedSinceMs.get(threshold);
    return since !== undefined && nowMs - since >= threshold.gracePeriodMs;
  });
  const pressures = [...lastPressureMs].filter(([, atMs]) => atMs === nowMs || nowMs - atMs < transitionMs);
  return {
    state: { crossedSinceMs, lastPressureMs },
    pressures: new Set(pressures.map(([pressure]) => pressure)),
    met: met.toSorted((a, b) => Number(isDisk(a)) - Number(isDisk(b))),
  };
}

const isDisk = ({ signal }: Threshold) => PRESSURE_OF[signal] === 'DiskPressure';

/** Once crossed, a threshold is left only with the minimum reclaim on top: else each eviction would free just enough for the next one. */
function isCrossed(
  { value, minReclaim }: Threshold,
  { available, capacity }: Observation,
  wasCrossed: boolean,
): boolean {
  const extra = wasCrossed && minReclaim !== undefined ? absolute(minReclaim, capacity) : 0;
  return available < absolute(value, capacity) + extra;
}
