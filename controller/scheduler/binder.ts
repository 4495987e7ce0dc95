import type { KubeClient } from '#api/client/client.ts';
import type { EventRecorder } from '#api/client/event-recorder.ts';
import { findCondition } from '#api/meta/conditions.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { type Pod, resources } from '#api/object/kinds.ts';
import { type Clock, toTime } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';

export interface BinderOptions {
  readonly client: KubeClient;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Tells the API what was decided. */
export class Binder {
  readonly #options: BinderOptions;

  constructor(options: BinderOptions) {
    this.#options = options;
  }

  /** Rejects when the API server refused or did not answer. */
  async bind(pod: Pod, nodeName: string): Promise<void> {
    const { client, events } = this.#options;
    const { name, namespace = '', uid } = pod.metadata;
    await client.resource<Pod>(resources.pods).post(name, namespace, 'binding', {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name, namespace, uid },
      target: { apiVersion: 'v1', kind: 'Node', name: nodeName },
    });
    events.record(subjectOf(pod), 'Normal', 'Scheduled', `Successfully assigned ${namespace}/${name} to ${nodeName}`);
  }

  /** Says in Event and condition why the pod has no node. Never rejects: the next attempt says it again. */
  async reportFailure(pod: Pod, reason: 'Unschedulable' | 'SchedulerError', message: string): Promise<void> {
    const { client, events, clock, log } = this.#options;
    const { name, namespace } = pod.metadata;
    events.record(subjectOf(pod), 'Warning', 'FailedScheduling', message);
    const condition = computeCondition(pod, { reason, message, nowMs: clock.now() });
    if (condition === undefined) return;
    try {
      await client.resource<Pod>(resources.pods).patch({
        name,
        ...(namespace === undefined ? {} : { namespace }),
        subresource: 'status',
        type: 'strategic',
        patch: { status: { conditions: [condition] } },
      });
    } catch (err) {
      if (!isNotFound(err))
        log.warn('pod condition not written', { pod: `${namespace}/${name}`, err: describeError(err) });
    }
  }
}

function subjectOf(pod: Pod): { apiVersion: string; kind: string; metadata: Pod['metadata'] } {
  return { apiVersion: 'v1', kind: 'Pod', metadata: pod.metadata };
}

/** The PodScheduled condition to write, or undefined when the pod says it already. */
function computeCondition(
  pod: Pod,
  failure: { readonly reason: string; readonly message: string; readonly nowMs: number },
): Record<string, unknown> | undefined {
  const { reason, message, nowMs } = failure;
  const current = findCondition(pod.status?.conditions, 'PodScheduled');
  const isSame = current?.status === 'False' && current.reason === reason && current.message === message;
  if (isSame) return undefined;
  const { generation } = pod.metadata;
  return {
    type: 'PodScheduled',
    status: 'False',
    reason,
    message,
    lastTransitionTime: current?.status === 'False' ? current.lastTransitionTime : toTime(nowMs),
    ...(generation === undefined ? {} : { observedGeneration: generation }),
  };
}
