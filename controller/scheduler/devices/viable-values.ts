import type { Candidates } from './candidates.ts';
import type { ConstraintState } from './device-constraints.ts';
import type { PoolDevice } from './device-pools.ts';
import type { Alternative, DeviceRequest } from './device-requests.ts';

/** A request that can be satisfied in one way only, with as many devices as it needs and those it can choose from. */
export interface FixedRequest {
  readonly request: DeviceRequest;
  readonly alternative: Alternative;
  readonly count: number;
  readonly candidates: Candidates;
}

/**
 * Of requests whose devices must have a value in common, only values can be chosen of which all of them together find enough. Without this,
 * a search among a thousand devices of a thousand values would try each pair.
 */
export function narrowToViableValues(constraints: readonly ConstraintState[], fixed: readonly FixedRequest[]): void {
  for (const constraint of constraints.filter(({ isMatch }) => isMatch)) {
    const concerned = fixed.filter(({ request, alternative }) => constraint.concerns(request, alternative));
    const byValue = concerned.map(({ candidates }) => groupByValue(constraint, candidates.all()));
    const values = new Set(byValue.flatMap((groups) => [...groups.keys()]));
    const viable = new Set(
      [...values].filter((value) =>
        isEnough(
          concerned,
          byValue.map((groups) => groups.get(value) ?? []),
        ),
      ),
    );
    for (const { candidates } of concerned) candidates.narrow((device) => viable.has(constraint.valueOf(device) ?? ''));
  }
}

function groupByValue(constraint: ConstraintState, devices: readonly PoolDevice[]): ReadonlyMap<string, PoolDevice[]> {
  const groups = new Map<string, PoolDevice[]>();
  for (const device of devices) {
    const value = constraint.valueOf(device);
    if (value === undefined) continue;
    const known = groups.get(value);
    if (known === undefined) groups.set(value, [device]);
    else known.push(device);
  }
  return groups;
}

/** For each request, and for all of them where each needs devices of its own. */
function isEnough(requests: readonly FixedRequest[], devices: readonly (readonly PoolDevice[])[]): boolean {
  if (requests.some(({ count }, index) => (devices[index]?.length ?? 0) < count)) return false;
  const isOwn = requests.map(({ alternative: { spec } }) => spec.adminAccess !== true);
  const all = new Set(devices.filter((_, index) => isOwn[index]).flat());
  if ([...all].some(({ device }) => device.allowMultipleAllocations === true)) return true;
  const needed = requests.reduce((sum, { count }, index) => sum + (isOwn[index] ? count : 0), 0);
  return all.size >= needed;
}
