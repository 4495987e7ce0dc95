import type { Pod } from '#api/object/kinds.ts';

/** Whether two versions of a pod ask the same of the node. */
export function isSameDemand(a: Pod, b: Pod): boolean {
  const demand = ({ metadata, spec, status }: Pod) =>
    JSON.stringify([
      ...[spec, metadata.labels, metadata.annotations],
      ...[foreignConditions(status), status?.resourceClaimStatuses],
    ]);
  return demand(a) === demand(b);
}

/** Readiness gates are decided by others' conditions. */
function foreignConditions(status: Pod['status']): unknown {
  return status?.conditions?.filter(({ type }) => type.includes('/'));
}
