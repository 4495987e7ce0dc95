import type { Pod } from '#api/object/kinds.ts';
import { isPodReady, podCondition } from '../pod-state.ts';

const DELETION_COST = 'controller.kubernetes.io/pod-deletion-cost';
const PHASE_ORDER: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

interface Ranked {
  readonly pod: Pod;
  /** Pods of the same deployment on the same node. */
  readonly neighbours: number;
  readonly nowMs: number;
}

const isAssigned = (pod: Pod) => Boolean(pod.spec?.nodeName);
const phaseRank = (pod: Pod) => PHASE_ORDER[pod.status?.phase ?? 'Unknown'] ?? 1;
const deletionCost = (pod: Pod) => Number.parseInt(pod.metadata.annotations?.[DELETION_COST] ?? '0', 10) || 0;
const createdMs = (pod: Pod) => Date.parse(pod.metadata.creationTimestamp);
const readySinceMs = (pod: Pod) => Date.parse(podCondition(pod, 'Ready')?.lastTransitionTime ?? '') || 0;

function restarts(pod: Pod): number {
  return Math.max(0, ...(pod.status?.containerStatuses ?? []).map((status) => status.restartCount));
}

/**
 * Ages are compared by their order of magnitude, so that among pods of about the same age chance (the uid) decides and a scale-down
 * does not always hit the zone that was filled last. Younger goes first.
 */
function compareAge(aMs: number, bMs: number, nowMs: number): number {
  const magnitude = (sinceMs: number) => Math.floor(Math.log2(Math.max(1, (nowMs - sinceMs) / 1000)));
  return magnitude(aMs) - magnitude(bMs);
}

/** Kubernetes' order of `ActivePodsWithRanks`: negative when `a` is deleted before `b`. */
function compareForDeletion(a: Ranked, b: Ranked): number {
  const byReadiness =
    Number(isAssigned(a.pod)) - Number(isAssigned(b.pod)) ||
    phaseRank(a.pod) - phaseRank(b.pod) ||
    Number(isPodReady(a.pod)) - Number(isPodReady(b.pod)) ||
    deletionCost(a.pod) - deletionCost(b.pod) ||
    b.neighbours - a.neighbours;
  if (byReadiness !== 0) return byReadiness;
  const bothReady = isPodReady(a.pod) && isPodReady(b.pod);
  const byAge =
    (bothReady ? compareAge(readySinceMs(a.pod), readySinceMs(b.pod), a.nowMs) : 0) ||
    restarts(b.pod) - restarts(a.pod) ||
    compareAge(createdMs(a.pod), createdMs(b.pod), a.nowMs);
  return byAge || (a.pod.metadata.uid < b.pod.metadata.uid ? -1 : 1);
}

/** The `count` pods that a scale-down loses first. `related` are all active pods of the same owner's owner. */
export function choosePodsToDelete(
  pods: readonly Pod[],
  related: readonly Pod[],
  count: number,
  nowMs: number,
): readonly Pod[] {
  const perNode = new Map<string, number>();
  for (const pod of related) {
    const node = pod.spec?.nodeName;
    if (node) perNode.set(node, (perNode.get(node) ?? 0) + 1);
  }
  return pods
    .map((pod): Ranked => ({ pod, neighbours: perNode.get(pod.spec?.nodeName ?? '') ?? 0, nowMs }))
    .sort(compareForDeletion)
    .slice(0, count)
    .map(({ pod }) => pod);
}
