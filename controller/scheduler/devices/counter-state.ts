import { type DevicePool, nanosOf, type PoolDevice } from './device-pools.ts';

/** What is left of the counters that devices of a pool share: partitions of one card, for one. */
export class CounterState {
  /** By driver, pool, set and counter; in units of 10^-9. */
  readonly #left = new Map<string, bigint>();

  constructor(pools: readonly DevicePool[], allocated: Pick<ReadonlySet<string>, 'has'>) {
    for (const { driver, name, counters, devices } of pools) {
      for (const [set, values] of counters)
        for (const [counter, value] of values) this.#left.set(JSON.stringify([driver, name, set, counter]), value);
      for (const device of devices) if (allocated.has(device.id)) this.#change(device, -1n);
    }
  }

  /** False: there is not enough left, and nothing was taken. */
  take(device: PoolDevice): boolean {
    const isEnough = consumptionsOf(device).every(([key, value]) => (this.#left.get(key) ?? 0n) >= value);
    if (isEnough) this.#change(device, -1n);
    return isEnough;
  }

  giveBack(device: PoolDevice): void {
    this.#change(device, 1n);
  }

  #change(device: PoolDevice, sign: 1n | -1n): void {
    for (const [key, value] of consumptionsOf(device)) this.#left.set(key, (this.#left.get(key) ?? 0n) + sign * value);
  }
}

function consumptionsOf({ driver, pool, device }: PoolDevice): [key: string, value: bigint][] {
  return (device.consumesCounters ?? []).flatMap(({ counterSet, counters }) =>
    [...nanosOf(counters)].map(([counter, value]): [string, bigint] => [
      JSON.stringify([driver, pool, counterSet, counter]),
      value,
    ]),
  );
}
