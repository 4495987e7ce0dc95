import { type DevicePool, nanosOf, type PoolDevice } from './device-pools.ts';
import type { AllocatedDevices } from './shared-devices.ts';

type Consumption = readonly [key: string, value: bigint];

/** What is left of the counters that devices of a pool share: partitions of one card, for one. */
export class CounterState {
  /** By driver, pool, set and counter; in units of 10^-9. */
  readonly #left = new Map<string, bigint>();
  readonly #consumptions = new Map<PoolDevice, readonly Consumption[]>();

  constructor(pools: readonly DevicePool[], allocated: AllocatedDevices) {
    for (const { driver, name, counters, devices } of pools) {
      if (counters.size === 0) continue;
      for (const [set, values] of counters)
        for (const [counter, value] of values) this.#left.set(JSON.stringify([driver, name, set, counter]), value);
      for (const device of devices)
        if (allocated.has(device.id) || allocated.consumed(device.id) !== undefined) this.#change(device, -1n);
    }
  }

  /** False: there is not enough left, and nothing was taken. */
  take(device: PoolDevice): boolean {
    const isEnough = this.#of(device).every(([key, value]) => (this.#left.get(key) ?? 0n) >= value);
    if (isEnough) this.#change(device, -1n);
    return isEnough;
  }

  giveBack(device: PoolDevice): void {
    this.#change(device, 1n);
  }

  #of(device: PoolDevice): readonly Consumption[] {
    const known = this.#consumptions.get(device) ?? consumptionsOf(device);
    this.#consumptions.set(device, known);
    return known;
  }

  #change(device: PoolDevice, sign: 1n | -1n): void {
    for (const [key, value] of this.#of(device)) this.#left.set(key, (this.#left.get(key) ?? 0n) + sign * value);
  }
}

function consumptionsOf({ driver, pool, device }: PoolDevice): readonly Consumption[] {
  return (device.consumesCounters ?? []).flatMap(({ counterSet, counters }) =>
    [...nanosOf(counters)].map(
      ([counter, value]): Consumption => [JSON.stringify([driver, pool, counterSet, counter]), value],
    ),
  );
}
