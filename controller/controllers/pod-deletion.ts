import type { KubeClient } from '#api/client/client.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { type Pod, resources } from '#api/object/kinds.ts';
import { toTime } from '#base/clock.ts';

export interface Disruption {
  readonly reason: 'DeletionByTaintManager' | 'DeletionByDeviceTaintManager' | 'DeletionByPodGC';
  readonly message: string;
  readonly nowMs: number;
  /** Nobody will report on this pod any more: it counts as failed. */
  readonly isNodeGone: boolean;
}

/** Says in the pod's status why it goes: Jobs and users tell a disruption from a failure by it. */
export async function markDisrupted(client: KubeClient, pod: Pod, disruption: Disruption): Promise<void> {
  const { name, namespace, uid } = pod.metadata;
  const others = (pod.status?.conditions ?? []).filter(({ type }) => type !== 'DisruptionTarget');
  const condition = {
    type: 'DisruptionTarget',
    status: 'True',
    reason: disruption.reason,
    message: disruption.message,
    lastTransitionTime: toTime(disruption.nowMs),
    observedGeneration: pod.metadata.generation,
  };
  const isFinished = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
  const phase = disruption.isNodeGone && !isFinished ? { phase: 'Failed' } : {};
  const resourceVersion = pod.metadata.resourceVersion;
  // A merge patch replaces the whole list, so it must not be applied to a newer one.
  const patch = { metadata: { uid, resourceVersion }, status: { ...phase, conditions: [...others, condition] } };
  await client.resource<Pod>(resources.pods).patch({ name, namespace, type: 'merge', subresource: 'status', patch });
}

/** True when the pod is gone or going now; false when it had been gone before. */
export async function deletePod(client: KubeClient, pod: Pod, gracePeriodSeconds?: number): Promise<boolean> {
  const { name, namespace, uid } = pod.metadata;
  try {
    const request = { name, namespace, preconditions: { uid } };
    const grace = gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds };
    await client.resource<Pod>(resources.pods).delete({ ...request, ...grace });
    return true;
  } catch (err) {
    if (isNotFound(err)) return false;
    throw err;
  }
}
