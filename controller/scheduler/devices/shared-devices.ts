import { Quantity } from '#api/meta/quantity.ts';
import type { Amounts } from './device-capacity.ts';
import type { PoolDevice } from './device-pools.ts';

/** What claims have been given, or were promised a moment ago, by `deviceId`. */
export interface AllocatedDevices {
  /** It is some claim's alone. */
  has(id: string): boolean;
  /** What claims have of it in units of 10^-9, by capacity; undefined: none has a part of it. */
  consumed(id: string): ReadonlyMap<string, bigint> | undefined;
}

/** Parts of devices that one search has given, beside those that others have. */
export class SharedDevices {
  readonly #allocated: AllocatedDevices;
  readonly #given = new Map<string, { count: number; readonly amounts: Map<string, bigint> }>();

  constructor(allocated: AllocatedDevices) {
    this.#allocated = allocated;
  }

  /** Somebody has a part of it already, and with it the counters that the whole device takes. */
  isInUse({ id }: PoolDevice): boolean {
    return this.#allocated.consumed(id) !== undefined || (this.#given.get(id)?.count ?? 0) > 0;
  }

  hasRoom({ id, device }: PoolDevice, amounts: Amounts): boolean {
    const others = this.#allocated.consumed(id);
    const given = this.#given.get(id)?.amounts;
    for (const [name, { nano }] of amounts) {
      const total = Quantity.parse(String(device.capacity?.[name]?.value ?? 0)).nano;
      if (nano + (others?.get(name) ?? 0n) + (given?.get(name) ?? 0n) > total) return false;
    }
    return true;
  }

  take(device: PoolDevice, amounts: Amounts): void {
    this.#change(device, amounts, 1);
  }

  giveBack(device: PoolDevice, amounts: Amounts): void {
    this.#change(device, amounts, -1);
  }

  #change({ id }: PoolDevice, amounts: Amounts, by: 1 | -1): void {
    const given = this.#given.get(id) ?? { count: 0, amounts: new Map<string, bigint>() };
    given.count += by;
    for (const [name, { nano }] of amounts)
      given.amounts.set(name, (given.amounts.get(name) ?? 0n) + BigInt(by) * nano);
    this.#given.set(id, given);
  }
}
