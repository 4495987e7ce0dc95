import { type FieldError, invalid } from '#api/object/field-error.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { defineResource } from '../../registry/define-resource.ts';

interface Spec {
  replicas?: number;
  nodeName?: string;
}

const specOf = (object: KubeObject) => (object.spec ?? {}) as Spec;

/** Plain data, as simple as a kind can be. */
export const toyConfigMaps = defineResource({
  group: '',
  version: 'v1',
  resource: 'configmaps',
  kind: 'ConfigMap',
  namespaced: true,
  shortNames: ['cm'],
  allowCreateOnUpdate: true,
});

/** Spec, status, generation and a scale. */
export const toyDeployments = defineResource({
  group: 'apps',
  version: 'v1',
  resource: 'deployments',
  kind: 'Deployment',
  namespaced: true,
  hasStatus: true,
  hasGeneration: true,
  allowUnconditionalUpdate: false,
  applyDefaults(object) {
    const spec = specOf(object);
    spec.replicas ??= 1;
    object.spec = spec;
  },
  prepareForCreate(object) {
    delete object.status;
  },
  validate(object): FieldError[] {
    const { replicas = 0 } = specOf(object);
    return replicas < 0 ? [invalid('spec.replicas', replicas, 'must be greater than or equal to 0')] : [];
  },
  subresources: [
    {
      name: 'scale',
      verbs: ['get', 'patch', 'update'],
      kind: { group: 'autoscaling', version: 'v1', kind: 'Scale' },
      face: {
        get: ({ metadata, spec }) => ({
          apiVersion: 'autoscaling/v1',
          kind: 'Scale',
          metadata: { name: metadata.name, namespace: metadata.namespace, resourceVersion: metadata.resourceVersion },
          spec: { replicas: (spec as Spec).replicas },
        }),
        apply: (face, object) => ({
          ...object,
          spec: { ...(object.spec as Spec), replicas: specOf(face).replicas ?? 0 },
        }),
      },
    },
  ],
});

/** Dies gracefully and is found by its node. */
export const toyPods = defineResource({
  group: '',
  version: 'v1',
  resource: 'pods',
  kind: 'Pod',
  namespaced: true,
  hasStatus: true,
  graceful: { graceSeconds: (_object, requested) => requested ?? 30 },
  indexedFields: ['spec.nodeName'],
  selectableFields: (object) => ({ 'spec.nodeName': specOf(object).nodeName ?? '' }),
});
