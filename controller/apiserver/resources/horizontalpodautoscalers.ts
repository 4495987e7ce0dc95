import type { HorizontalPodAutoscaler } from '#api/object/kinds.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { applyAutoscalerDefaults } from './autoscaling/defaults.ts';
import { autoscalerColumns, autoscalerRow } from './autoscaling/printer.ts';
import { type AutoscalerV1, fromV1, SPEC_ANNOTATIONS, STATUS_ANNOTATIONS, toV1 } from './autoscaling/v1-face.ts';
import { validateAutoscaler, validateAutoscalerStatus } from './autoscaling/validation.ts';

const common = {
  group: 'autoscaling',
  resource: 'horizontalpodautoscalers',
  kind: 'HorizontalPodAutoscaler',
  namespaced: true,
  shortNames: ['hpa'],
  categories: ['all'],
  hasStatus: true,
  columns: autoscalerColumns,
} as const;

export const horizontalPodAutoscalers: ResourceDefinition = defineResource<HorizontalPodAutoscaler>({
  ...common,
  version: 'v2',
  applyDefaults: applyAutoscalerDefaults,
  prepareForCreate(autoscaler) {
    autoscaler.status = { desiredReplicas: 0 };
  },
  validate: validateAutoscaler,
  validateStatusUpdate: validateAutoscalerStatus,
  tableRow: autoscalerRow,
});

/** Annotations are metadata, but these stand for fields of the part that this write must not change. */
function keepAnnotations(object: AutoscalerV1, old: AutoscalerV1 | undefined, keys: readonly string[]): void {
  const { annotations = {} } = object.metadata;
  const kept = Object.entries(annotations).filter(([key]) => !keys.includes(key));
  const before = Object.entries(old?.metadata.annotations ?? {}).filter(([key]) => keys.includes(key));
  object.metadata.annotations = Object.fromEntries([...kept, ...before]);
}

/** The same objects as autoscaling/v2 has; what v1 cannot say stands in annotations. */
export const horizontalPodAutoscalersV1: ResourceDefinition = defineResource<AutoscalerV1>({
  ...common,
  version: 'v1',
  storagePrefix: horizontalPodAutoscalers.storagePrefix,
  conversion: {
    storedAs: horizontalPodAutoscalers,
    toStored: (face) => fromV1(face as unknown as AutoscalerV1) as unknown as KubeObject,
    fromStored: (stored) => toV1(stored as unknown as HorizontalPodAutoscaler) as unknown as KubeObject,
  },
  applyDefaults({ spec }) {
    if (spec !== undefined) spec.minReplicas ??= 1;
  },
  prepareForCreate(autoscaler) {
    autoscaler.status = { currentReplicas: 0, desiredReplicas: 0 };
    keepAnnotations(autoscaler, undefined, STATUS_ANNOTATIONS);
  },
  prepareForUpdate: (autoscaler, old) => keepAnnotations(autoscaler, old, STATUS_ANNOTATIONS),
  prepareForStatusUpdate: (autoscaler, old) => keepAnnotations(autoscaler, old, SPEC_ANNOTATIONS),
  validate: (autoscaler) => validateAutoscaler(fromV1(autoscaler)),
  validateStatusUpdate: (autoscaler) => validateAutoscalerStatus(fromV1(autoscaler)),
  tableRow: (autoscaler, nowMs) => autoscalerRow(fromV1(autoscaler), nowMs),
});
