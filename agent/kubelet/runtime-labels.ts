import { createHash } from 'node:crypto';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { Pod } from '#api/object/kinds.ts';
import { gracePeriodSeconds, namespaceOf } from './pod-spec.ts';
import { isStaticPod } from './static/static-manifest.ts';

/** Label and annotation names as the kubelet of Kubernetes sets them, so that crictl and log shippers recognise our pods. */
export const LABEL = {
  podName: 'io.kubernetes.pod.name',
  podNamespace: 'io.kubernetes.pod.namespace',
  podUid: 'io.kubernetes.pod.uid',
  containerName: 'io.kubernetes.container.name',
} as const;

export const ANNOTATION = {
  hash: 'io.kubernetes.container.hash',
  restartCount: 'io.kubernetes.container.restartCount',
  terminationMessagePath: 'io.kubernetes.container.terminationMessagePath',
  terminationMessagePolicy: 'io.kubernetes.container.terminationMessagePolicy',
  podGracePeriod: 'io.kubernetes.pod.terminationGracePeriod',
  configSource: 'kubernetes.io/config.source',
} as const;

/** What must stay equal for a running container to be left alone: only name and image, as in Kubernetes since 1.31. */
export function containerHash(container: IContainer): string {
  const text = JSON.stringify([container.name, container.image ?? '']);
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}

export function podLabels(pod: Pod): Record<string, string> {
  return {
    [LABEL.podName]: pod.metadata.name,
    [LABEL.podNamespace]: namespaceOf(pod),
    [LABEL.podUid]: pod.metadata.uid,
  };
}

export function sandboxLabels(pod: Pod): Record<string, string> {
  return { ...pod.metadata.labels, ...podLabels(pod) };
}

export function sandboxAnnotations(pod: Pod): Record<string, string> {
  return { ...pod.metadata.annotations, [ANNOTATION.configSource]: isStaticPod(pod) ? 'file' : 'api' };
}

export function containerLabels(pod: Pod, container: IContainer): Record<string, string> {
  return { ...podLabels(pod), [LABEL.containerName]: container.name };
}

export function containerAnnotations(pod: Pod, container: IContainer, attempt: number): Record<string, string> {
  return {
    [ANNOTATION.hash]: containerHash(container),
    [ANNOTATION.restartCount]: String(attempt),
    [ANNOTATION.terminationMessagePath]: container.terminationMessagePath ?? '/dev/termination-log',
    [ANNOTATION.terminationMessagePolicy]: container.terminationMessagePolicy ?? 'File',
    [ANNOTATION.podGracePeriod]: String(gracePeriodSeconds(pod)),
  };
}
