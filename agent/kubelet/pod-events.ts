import type { EventRecorder } from '#api/client/event-recorder.ts';
import type { PersistentVolumeClaim, Pod } from '#api/object/kinds.ts';
import { type ContainerRole, roleOf } from './pod-spec.ts';

export type EventType = 'Normal' | 'Warning';

const LISTS: Readonly<Record<ContainerRole, string>> = {
  init: 'initContainers',
  sidecar: 'initContainers',
  regular: 'containers',
  ephemeral: 'ephemeralContainers',
};

/** Events about pods, in the form that `kubectl describe pod` shows. */
export class PodEvents {
  readonly #recorder: EventRecorder;
  constructor(recorder: EventRecorder) {
    this.#recorder = recorder;
  }

  pod(pod: Pod, type: EventType, reason: string, message: string): void {
    this.#recorder.record({ apiVersion: 'v1', kind: 'Pod', metadata: pod.metadata }, type, reason, message);
  }

  claim({ metadata }: PersistentVolumeClaim, type: EventType, reason: string, message: string): void {
    this.#recorder.record({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata }, type, reason, message);
  }

  container(pod: Pod, name: string, type: EventType, reason: string, message: string): void {
    const fieldPath = `spec.${LISTS[roleOf(pod, name) ?? 'regular']}{${name}}`;
    this.#recorder.record({ apiVersion: 'v1', kind: 'Pod', metadata: pod.metadata, fieldPath }, type, reason, message);
  }
}
