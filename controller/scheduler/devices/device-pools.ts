import type { IDevice } from 'kubernetes-models/resource.k8s.io/v1/Device';
import { Quantity } from '#api/meta/quantity.ts';
import type { ResourceSlice } from '#api/object/kinds.ts';
import { matchesAnyTerm, type NodeSelectorTerm, type TermSubject } from '../plugins/node-selector-terms.ts';

type SliceSpec = NonNullable<ResourceSlice['spec']>;

/** A device that a driver offers. */
export interface PoolDevice {
  /** `driver/pool/device`: one and the same thing wherever it is spoken of. */
  readonly id: string;
  readonly driver: string;
  readonly pool: string;
  readonly device: IDevice;
  /** Which nodes can use it. */
  readonly place: Pick<SliceSpec, 'nodeName' | 'nodeSelector' | 'allNodes'>;
}

/** What a driver offers in one place, as its newest slices say. */
export interface DevicePool {
  readonly driver: string;
  readonly name: string;
  /** Slices of it are yet to come: what it has in all is not known. */
  readonly isIncomplete: boolean;
  /** Two of its devices have one name: which one a claim would get nobody could tell. */
  readonly isInvalid: boolean;
  readonly devices: readonly PoolDevice[];
  /** By set and counter, in units of 10^-9: what devices of the pool share. */
  readonly counters: ReadonlyMap<string, ReadonlyMap<string, bigint>>;
}

export const deviceId = (driver: string, pool: string, device: string): string => `${driver}/${pool}/${device}`;
/** Neither drivers nor pools, which may have slashes, are called so. */
const poolKey = (driver: string, pool: string): string => `${driver} ${pool}`;

/**
 * Pools of the newest generation of each, in the order of their names; those whose devices have to be waited for come last. Pure.
 */
export function gatherPools(slices: readonly ResourceSlice[]): readonly DevicePool[] {
  const byPool = new Map<string, ResourceSlice[]>();
  for (const slice of slices) {
    if (slice.spec === undefined) continue;
    const key = poolKey(slice.spec.driver, slice.spec.pool.name);
    const ofPool = byPool.get(key);
    if (ofPool === undefined) byPool.set(key, [slice]);
    else ofPool.push(slice);
  }
  const pools = [...byPool].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, ofPool]) => poolOf(ofPool));
  const hasWaits = ({ devices }: DevicePool) =>
    devices.some(({ device }) => (device.bindingConditions ?? []).length > 0);
  return [...pools.filter((pool) => !hasWaits(pool)), ...pools.filter(hasWaits)];
}

function poolOf(slices: readonly ResourceSlice[]): DevicePool {
  const byName = [...slices].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  const specs = byName.map(({ spec }) => spec as SliceSpec);
  const newest = Math.max(...specs.map(({ pool }) => pool.generation ?? 0));
  const current = specs.filter(({ pool }) => (pool.generation ?? 0) === newest);
  const [{ driver, pool }] = current as [SliceSpec];
  const names = current.flatMap(({ devices = [] }) => devices.map(({ name }) => name));
  return {
    driver,
    name: pool.name,
    isIncomplete: current.length !== pool.resourceSliceCount,
    isInvalid: new Set(names).size < names.length,
    devices: current.flatMap((spec) =>
      (spec.devices ?? []).map((device) => ({
        id: deviceId(driver, pool.name, device.name),
        ...{ driver, pool: pool.name, device },
        place: spec.perDeviceNodeSelection === true ? device : spec,
      })),
    ),
    counters: new Map(
      current.flatMap(({ sharedCounters = [] }) =>
        sharedCounters.map(({ name, counters }) => [name, nanosOf(counters)]),
      ),
    ),
  };
}

export const nanosOf = (counters: Readonly<Record<string, { readonly value: string | number }>>): Map<string, bigint> =>
  new Map(Object.entries(counters).map(([name, { value }]) => [name, Quantity.parse(String(value)).nano]));

export function isUsableFrom({ place }: PoolDevice, node: TermSubject): boolean {
  if (place.allNodes === true) return true;
  if (place.nodeName !== undefined) return place.nodeName === node.name;
  return matchesAnyTerm((place.nodeSelector?.nodeSelectorTerms ?? []) as readonly NodeSelectorTerm[], node);
}
