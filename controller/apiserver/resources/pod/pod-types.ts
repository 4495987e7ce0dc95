import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IContainerStatus } from 'kubernetes-models/v1/ContainerStatus';
import type { IEphemeralContainer } from 'kubernetes-models/v1/EphemeralContainer';
import type { ILifecycleHandler } from 'kubernetes-models/v1/LifecycleHandler';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import type { IPodTemplateSpec } from 'kubernetes-models/v1/PodTemplateSpec';
import type { IProbe } from 'kubernetes-models/v1/Probe';
import type { IVolume } from 'kubernetes-models/v1/Volume';

export type PodSpec = IPodSpec;
export type PodTemplateSpec = IPodTemplateSpec;
export type Container = IContainer;
export type EphemeralContainer = IEphemeralContainer;
export type ContainerStatus = IContainerStatus;
export type Probe = IProbe;
export type Volume = IVolume;
export type LifecycleHandler = ILifecycleHandler;

/** Every container of a spec with the path of its field. */
export function* containersOf(spec: PodSpec, path: string): Generator<{ container: Container; path: string }> {
  for (const [i, container] of (spec.initContainers ?? []).entries()) {
    yield { container, path: `${path}.initContainers[${i}]` };
  }
  for (const [i, container] of (spec.containers ?? []).entries()) {
    yield { container, path: `${path}.containers[${i}]` };
  }
  for (const [i, container] of (spec.ephemeralContainers ?? []).entries()) {
    yield { container: container as Container, path: `${path}.ephemeralContainers[${i}]` };
  }
}

/** A sidecar: an init container that keeps running beside the others. */
export function isRestartableInit(container: Container): boolean {
  return container.restartPolicy === 'Always';
}
