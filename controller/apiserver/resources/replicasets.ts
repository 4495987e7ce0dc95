import type { FieldError } from '#api/object/field-error.ts';
import type { ReplicaSet } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { applyTemplateDefaults } from './pod/defaults.ts';
import { templateWarnings } from './pod/warnings.ts';
import { formatLabelSelector } from './printing/cells.ts';
import { scale } from './scale.ts';
import { validateImmutable, validateNonNegative } from './validation/format.ts';
import { replicaColumns, replicaRow } from './workload/replica-printing.ts';
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
  columns: replicaColumns,
  tableRow: (replicaSet, nowMs) => replicaRow(replicaSet, formatLabelSelector(replicaSet.spec?.selector), nowMs),
});
