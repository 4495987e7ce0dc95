import type { IDeviceTaint } from 'kubernetes-models/resource.k8s.io/v1/DeviceTaint';
import { toleratesDeviceTaint } from '#api/meta/device-taints.ts';
import type { ResourceClaim, ResourceSlice } from '#api/object/kinds.ts';

export type DeviceResult = NonNullable<
  NonNullable<NonNullable<NonNullable<ResourceClaim['status']>['allocation']>['devices']>['results']
>[number];

/** Neither drivers nor pools, which may have slashes, are called so. */
export const poolKey = (driver: string, pool: string): string => `${driver} ${pool}`;

export const resultsOf = ({ status }: ResourceClaim): readonly DeviceResult[] =>
  status?.allocation?.devices?.results ?? [];

/** Taints for which pods have to go, by device, of the newest generation of one pool. */
export function evictingTaints(slices: readonly ResourceSlice[]): ReadonlyMap<string, readonly IDeviceTaint[]> {
  const generationOf = ({ spec }: ResourceSlice) => spec?.pool.generation ?? 0;
  const newest = Math.max(...slices.map(generationOf));
  const devices = slices.filter((slice) => generationOf(slice) === newest).flatMap(({ spec }) => spec?.devices ?? []);
  return new Map(
    devices.flatMap(({ name, taints = [] }) => {
      const evicting = taints.filter(({ effect }) => effect === 'NoExecute');
      return evicting.length === 0 ? [] : [[name, evicting] as const];
    }),
  );
}

/**
 * When pods that use this claim have to go, in milliseconds since the epoch; undefined: they may stay. A taint that is tolerated for some
 * time only counts from when it was set.
 */
export function evictionTimeMs(
  claim: ResourceClaim,
  taintsOf: (device: DeviceResult) => readonly IDeviceTaint[],
): number | undefined {
  const times = resultsOf(claim).flatMap((device) =>
    taintsOf(device).flatMap((taint) => toleratedUntilMs(device, taint) ?? []),
  );
  return times.length === 0 ? undefined : Math.min(...times);
}

/** undefined: for ever. */
function toleratedUntilMs({ tolerations = [] }: DeviceResult, taint: IDeviceTaint): number | undefined {
  const setMs = Date.parse(String(taint.timeAdded ?? '')) || 0;
  const fitting = tolerations.filter((toleration) => toleratesDeviceTaint(toleration, taint));
  if (fitting.length === 0) return setMs;
  const limits = fitting.flatMap(({ tolerationSeconds, effect }) =>
    // A time means something for this effect alone.
    effect === 'NoExecute' && tolerationSeconds !== undefined ? [Math.max(0, tolerationSeconds)] : [],
  );
  return limits.length < fitting.length ? undefined : setMs + Math.min(...limits) * 1000;
}
