import type { Node } from '#api/object/kinds.ts';

export interface NodeEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

/** Reasons by condition: of the one that is well, and of the one that is not. */
const REASONS: readonly (readonly [condition: string, wellStatus: string, well: string, unwell: string])[] = [
  ['MemoryPressure', 'False', 'NodeHasSufficientMemory', 'NodeHasInsufficientMemory'],
  ['DiskPressure', 'False', 'NodeHasNoDiskPressure', 'NodeHasDiskPressure'],
  ['PIDPressure', 'False', 'NodeHasSufficientPID', 'NodeHasInsufficientPID'],
  ['Ready', 'True', 'NodeReady', 'NodeNotReady'],
];

/**
 * What a status that was told anew means, with the kubelet's own reasons: people and alerts look for them. `before` is the status as the API
 * held it, which may be what the controller wrote about a silent node; undefined for a node that is new.
 */
export function statusEvents(name: string, before: Node['status'], now: Node['status']): NodeEvent[] {
  const statusOf = (status: Node['status'], condition: string) =>
    status?.conditions?.find(({ type }) => type === condition)?.status;
  const changes = REASONS.flatMap(([condition, wellStatus, well, unwell]) => {
    const status = statusOf(now, condition);
    const statusBefore = statusOf(before, condition);
    if (status === undefined || status === statusBefore) return [];
    // Of a node that has just come nobody expects it to be ready at once.
    if (condition === 'Ready' && statusBefore === undefined && status !== wellStatus) return [];
    return [becomes(name, status === wellStatus ? well : unwell)];
  });
  const [oldBoot, boot] = [before?.nodeInfo?.bootID, now?.nodeInfo?.bootID];
  if (!oldBoot || !boot || oldBoot === boot) return changes;
  const message = `Node ${name} has been rebooted, boot id: ${boot}`;
  return [{ type: 'Warning', reason: 'Rebooted', message }, ...changes];
}

/** Somebody closed the node for pods, or opened it. */
export function schedulableEvents(before: Node, now: Node): NodeEvent[] {
  const isClosed = ({ spec }: Node) => spec?.unschedulable === true;
  if (isClosed(before) === isClosed(now)) return [];
  return [becomes(now.metadata.name, isClosed(now) ? 'NodeNotSchedulable' : 'NodeSchedulable')];
}

const becomes = (name: string, reason: string): NodeEvent => ({
  type: 'Normal',
  reason,
  message: `Node ${name} status is now: ${reason}`,
});
