import type { KubeObject } from '#api/object/kube-object.ts';
import type { SubresourceDefinition } from '../../registry/resource-definition.ts';

/** `kubectl debug`: the one way to add a container to a pod that exists. Nothing else of the body counts. */
export const podEphemeralContainers: SubresourceDefinition = {
  name: 'ephemeralcontainers',
  verbs: ['get', 'patch', 'update'],
  kind: { group: '', version: 'v1', kind: 'Pod' },
  face: {
    get: (pod) => pod,
    apply(face, pod): KubeObject {
      const { ephemeralContainers } = (face.spec ?? {}) as { ephemeralContainers?: unknown };
      return { ...pod, spec: { ...(pod.spec as object), ephemeralContainers } };
    },
  },
};
