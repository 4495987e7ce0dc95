import type { Node } from '#api/object/kinds.ts';
import { toTime } from '#base/clock.ts';
import { readinessOf } from './node-health.ts';

export type Taint = NonNullable<NonNullable<Node['spec']>['taints']>[number];

export const NOT_READY = 'node.kubernetes.io/not-ready';
export const UNREACHABLE = 'node.kubernetes.io/unreachable';
const UNSCHEDULABLE = 'node.kubernetes.io/unschedulable';

/** Conditions that, when True, keep new pods away. */
const PRESSURE_TAINTS: Readonly<Record<string, string>> = {
  MemoryPressure: 'node.kubernetes.io/memory-pressure',
  DiskPressure: 'node.kubernetes.io/disk-pressure',
  PIDPressure: 'node.kubernetes.io/pid-pressure',
  NetworkUnavailable: 'node.kubernetes.io/network-unavailable',
};
const OWN_NO_SCHEDULE = new Set([NOT_READY, UNREACHABLE, UNSCHEDULABLE, ...Object.values(PRESSURE_TAINTS)]);
const OWN_NO_EXECUTE = new Set([NOT_READY, UNREACHABLE]);

/** Which of our two eviction taints the node's readiness asks for. */
export function evictionTaintKey(node: Node): typeof NOT_READY | typeof UNREACHABLE | undefined {
  const readiness = readinessOf(node);
  if (readiness === 'True') return undefined;
  return readiness === 'False' ? NOT_READY : UNREACHABLE;
}

export function hasEvictionTaint(node: Node): boolean {
  return (node.spec?.taints ?? []).some(({ key, effect }) => effect === 'NoExecute' && OWN_NO_EXECUTE.has(key));
}

function wantedNoSchedule(node: Node): string[] {
  const readiness = evictionTaintKey(node);
  const pressures = (node.status?.conditions ?? [])
    .filter(({ status }) => status === 'True')
    .flatMap(({ type }) => PRESSURE_TAINTS[type] ?? []);
  return [
    ...(readiness === undefined ? [] : [readiness]),
    ...pressures,
    ...(node.spec?.unschedulable ? [UNSCHEDULABLE] : []),
  ];
}

export interface EvictionDecision {
  /** Allowed to put an eviction taint on a node that has none: not in full disruption, and within the rate. */
  readonly mayEvict: boolean;
  /** Full disruption: the fault is ours or the network's, so nobody is evicted and what was tainted is let go. */
  readonly isSuspended: boolean;
  readonly nowMs: number;
}

/** The node's taints as they should be; undefined when they are. Taints of others are kept in their order. */
export function computeTaints(node: Node, { mayEvict, isSuspended, nowMs }: EvictionDecision): Taint[] | undefined {
  const current = node.spec?.taints ?? [];
  const noSchedule = wantedNoSchedule(node);
  const key = evictionTaintKey(node);
  // A node that changes from not-ready to unreachable only changes the name of what it has.
  const isEvicting = key !== undefined && !isSuspended && (hasEvictionTaint(node) || mayEvict);
  const isWanted = ({ key: name, effect }: Taint) => {
    if (effect === 'NoSchedule' && OWN_NO_SCHEDULE.has(name)) return noSchedule.includes(name);
    if (effect === 'NoExecute' && OWN_NO_EXECUTE.has(name)) return isEvicting && name === key;
    return true;
  };
  const kept = current.filter(isWanted);
  const has = (name: string, effect: string) => kept.some((taint) => taint.key === name && taint.effect === effect);
  const timeAdded = toTime(nowMs);
  const added: Taint[] = noSchedule
    .filter((name) => !has(name, 'NoSchedule'))
    .map((name) => ({ key: name, effect: 'NoSchedule', timeAdded }));
  if (isEvicting && !has(key, 'NoExecute')) added.push({ key, effect: 'NoExecute', timeAdded });
  return added.length === 0 && kept.length === current.length ? undefined : [...kept, ...added];
}
