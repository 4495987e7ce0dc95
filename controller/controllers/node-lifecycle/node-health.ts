import type { Lease, Node } from '#api/object/kinds.ts';
import { toTime } from '#base/clock.ts';

export type NodeCondition = NonNullable<NonNullable<Node['status']>['conditions']>[number];

/** A node that never posted a status gets this long to do so. */
const STARTUP_GRACE_MS = 60_000;
/** What a kubelet reports and what nobody knows any more when it is silent. */
const REPORTED_TYPES = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'] as const;

export type Readiness = 'True' | 'False' | 'Unknown';

export function readinessOf(node: Node): Readiness {
  const status = node.status?.conditions?.find(({ type }) => type === 'Ready')?.status;
  return status === 'True' || status === 'False' ? status : 'Unknown';
}

/** Changes whenever the node gives a sign of life. Its own clock is not compared with ours: it may be wrong. */
export function signOfLife(node: Node | undefined, lease: Lease | undefined): string {
  const conditions = (node?.status?.conditions ?? [])
    .filter(({ type }) => (REPORTED_TYPES as readonly string[]).includes(type))
    .map(({ type, status, lastHeartbeatTime }) => `${type}=${status}@${lastHeartbeatTime}`);
  return [lease?.spec?.renewTime ?? '', ...conditions].join('|');
}

const hasReported = (node: Node) => node.status?.conditions?.some(({ type }) => type === 'Ready') === true;

/** How long this node may be silent. */
export function graceMs(node: Node, monitorGraceMs: number): number {
  return hasReported(node) ? monitorGraceMs : Math.max(monitorGraceMs, STARTUP_GRACE_MS);
}

/** The conditions of a node that fell silent; undefined when they say so already. */
export function computeSilentConditions(node: Node, nowMs: number): NodeCondition[] | undefined {
  const now = toTime(nowMs);
  const current = node.status?.conditions ?? [];
  let hasChanged = false;
  const unknown = REPORTED_TYPES.map((type): NodeCondition => {
    const known = current.find((condition) => condition.type === type);
    if (known?.status === 'Unknown') return known;
    hasChanged = true;
    if (known === undefined)
      return {
        type,
        status: 'Unknown',
        reason: 'NodeStatusNeverUpdated',
        message: 'Kubelet never posted node status.',
        lastHeartbeatTime: node.metadata.creationTimestamp,
        lastTransitionTime: now,
      };
    return {
      ...known,
      status: 'Unknown',
      reason: 'NodeStatusUnknown',
      message: 'Kubelet stopped posting node status.',
      lastTransitionTime: now,
    };
  });
  if (!hasChanged) return undefined;
  return [...current.filter(({ type }) => !unknown.some((condition) => condition.type === type)), ...unknown];
}
