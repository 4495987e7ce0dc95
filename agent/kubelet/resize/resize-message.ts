import type { IContainer } from 'kubernetes-models/v1/Container';
import type { Pod } from '#api/object/kinds.ts';
import { specOf } from '../pod-spec.ts';

/**
 * Message of an Event about a resize: a few words, then as JSON the sizes of the pod's containers, the generation of the spec that asked for
 * them, and what is in the way. Programs that resize pods read it, so names and order are those of the kubelet.
 */
export function renderResizeMessage(words: string, pod: Pod, error?: string): string {
  const { initContainers = [], containers } = specOf(pod);
  const summary = {
    ...(initContainers.length === 0 ? {} : { initContainers: initContainers.map(summarize) }),
    containers: containers.map(summarize),
    generation: pod.metadata.generation ?? 0,
    ...(error === undefined ? {} : { error }),
  };
  return `${words}: ${JSON.stringify(summary)}`;
}

function summarize({ name, resources: { limits, requests } = {} }: IContainer) {
  return {
    name,
    resources: {
      ...(limits === undefined ? {} : { limits: inOrder(limits) }),
      ...(requests === undefined ? {} : { requests: inOrder(requests) }),
    },
  };
}

const inOrder = (amounts: Readonly<Record<string, string | number>>) =>
  Object.fromEntries(Object.entries(amounts).toSorted(([a], [b]) => (a < b ? -1 : 1)));
