import type { IAllocationResult } from 'kubernetes-models/resource.k8s.io/v1/AllocationResult';
import { Quantity } from '#api/meta/quantity.ts';
import { deviceId } from './device-pools.ts';
import type { AllocatedDevices } from './shared-devices.ts';

interface Part {
  readonly id: string;
  /** By capacity, in units of 10^-9. */
  readonly amounts: ReadonlyMap<string, bigint>;
}

/** What one claim takes away from others, by `deviceId`. */
export interface Holding {
  readonly whole: readonly string[];
  readonly parts: readonly Part[];
}

export const NOTHING: Holding = { whole: [], parts: [] };

/** Devices that somebody only watches over are free for others. */
export function holdingOf(allocation: IAllocationResult | undefined): Holding {
  const results = (allocation?.devices?.results ?? []).filter(({ adminAccess }) => adminAccess !== true);
  const idOf = ({ driver, pool, device }: (typeof results)[number]) => deviceId(driver, pool, device);
  const isPart = ({ shareID }: (typeof results)[number]) => shareID !== undefined;
  return {
    whole: results.filter((one) => !isPart(one)).map(idOf),
    parts: results.filter(isPart).map((one) => ({
      id: idOf(one),
      amounts: new Map(
        Object.entries(one.consumedCapacity ?? {}).map(([name, value]) => [name, Quantity.parse(String(value)).nano]),
      ),
    })),
  };
}

export const isEmpty = ({ whole, parts }: Holding): boolean => whole.length + parts.length === 0;

/** Whether others can have now what was held before. */
export function frees(before: Holding, after: Holding): boolean {
  const left = new Set([...after.whole, ...after.parts.map(({ id }) => id)]);
  return [...before.whole, ...before.parts.map(({ id }) => id)].some((id) => !left.has(id));
}

/** What all claims hold together. */
export class Holdings implements AllocatedDevices {
  /** How many claims have a device, by its id. */
  readonly #whole = new Map<string, number>();
  readonly #parts = new Map<string, { count: number; readonly amounts: Map<string, bigint> }>();

  has(id: string): boolean {
    return this.#whole.has(id);
  }

  consumed(id: string): ReadonlyMap<string, bigint> | undefined {
    return this.#parts.get(id)?.amounts;
  }

  count({ whole, parts }: Holding, by: 1 | -1): void {
    for (const id of whole) {
      const count = (this.#whole.get(id) ?? 0) + by;
      if (count <= 0) this.#whole.delete(id);
      else this.#whole.set(id, count);
    }
    for (const { id, amounts } of parts) {
      const held = this.#parts.get(id) ?? { count: 0, amounts: new Map<string, bigint>() };
      held.count += by;
      for (const [name, nano] of amounts) held.amounts.set(name, (held.amounts.get(name) ?? 0n) + BigInt(by) * nano);
      if (held.count <= 0) this.#parts.delete(id);
      else this.#parts.set(id, held);
    }
  }
}
