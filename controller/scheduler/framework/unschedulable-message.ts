import type { Diagnosis } from './filter-nodes.ts';

const NO_NODES = 'no nodes available to schedule pods';

/** Kubernetes' words: `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s).` */
export function renderUnschedulable(diagnosis: Diagnosis): string {
  if (diagnosis.nodeCount === 0) return NO_NODES;
  const head = `0/${diagnosis.nodeCount} nodes are available`;
  if (diagnosis.forAllNodes !== undefined) return `${head}: ${diagnosis.forAllNodes}.`;
  const counts = new Map<string, number>();
  for (const { reasons } of diagnosis.rejections.values()) {
    for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  const { ruledOut } = diagnosis;
  if (ruledOut.count > 0) counts.set(ruledOut.reason, ruledOut.count);
  const parts = [...counts].map(([reason, count]) => `${count} ${reason}`).sort();
  return parts.length === 0 ? `${head}.` : `${head}: ${parts.join(', ')}.`;
}
