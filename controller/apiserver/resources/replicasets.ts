import type { FieldError } from '#api/object/field-error.ts';
import type { ReplicaSet } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { applyTemplateDefaults } from './pod/defaults.ts';
import { templateWarnings } from './pod/warnings.ts';
import { age, containerCells, formatLabelSelector } from './printing/cells.ts';
import { ageColumn, containerColumns, integer, nameColumn, selectorColumn } from './printing/columns.ts';
import { scale } from './scale.ts';
import { validateImmutable, validateNonNegative } from './validation/format.ts';
import {
  validateLongRunningTemplate,
  validateReplicaCounts,
  validateWorkloadSelector,
} from './workload/replica-validation.ts';

function validateReplicaSet({ spec }: ReplicaSet): FieldError[] {
  const template = spec?.template;
  return [
    ...validateNonNegative(spec?.replicas, 'spec.replicas'),
    ...validateNonNegative(spec?.minReadySeconds, 'spec.minReadySeconds'),
    ...validateWorkloadSelector(spec?.selector, template, 'deployment'),
    ...validateLongRunningTemplate(template, 'ReplicaSet'),
  ];
}

export const replicaSets: ResourceDefinition = defineResource<ReplicaSet>({
  group: 'apps',
  version: 'v1',
  resource: 'replicasets',
  kind: 'ReplicaSet',
  namespaced: true,
  shortNames: ['rs'],
  categories: ['all'],
  hasStatus: true,
  hasGeneration: true,
  subresources: [scale],
  applyDefaults({ spec }) {
    if (spec === undefined) return;
    spec.replicas ??= 1;
    applyTemplateDefaults(spec.template);
  },
  prepareForCreate(replicaSet) {
    replicaSet.status = { replicas: 0 };
  },
  validate: validateReplicaSet,
  validateUpdate: (replicaSet, old) =>
    validateImmutable(replicaSet.spec?.selector, old.spec?.selector, 'spec.selector'),
  validateStatusUpdate: ({ status }) => validateReplicaCounts(status),
  warnings: (replicaSet, old) => templateWarnings(replicaSet.spec?.template, old?.spec?.template, 'spec.template'),
  selectableFields: (replicaSet) => ({ 'status.replicas': String(replicaSet.status?.replicas ?? 0) }),
  columns: [
    nameColumn,
    integer('Desired', 'Number of pods asked for.'),
    integer('Current', 'Number of pods that exist.'),
    integer('Ready', 'Number of pods that are ready.'),
    ageColumn,
    ...containerColumns,
    selectorColumn,
  ],
  tableRow: (replicaSet, nowMs) => [
    replicaSet.metadata.name,
    replicaSet.spec?.replicas ?? 0,
    replicaSet.status?.replicas ?? 0,
    replicaSet.status?.readyReplicas ?? 0,
    age(replicaSet, nowMs),
    ...containerCells(replicaSet.spec?.template?.spec?.containers),
    formatLabelSelector(replicaSet.spec?.selector),
  ],
});
