import { type FieldError, forbiddenField, invalid, notSupported, required } from '#api/object/field-error.ts';
import type { ReplicationController } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { applyTemplateDefaults } from './pod/defaults.ts';
import { validatePodTemplate } from './pod/validation.ts';
import { templateWarnings } from './pod/warnings.ts';
import { formatLabels } from './printing/cells.ts';
import { scaleByLabels } from './scale.ts';
import { validateNonNegative } from './validation/format.ts';
import { replicaColumns, replicaRow } from './workload/replica-printing.ts';
import { validateReplicaCounts } from './workload/replica-validation.ts';

type Spec = NonNullable<ReplicationController['spec']>;

const isEmpty = (map: object | undefined): boolean => Object.keys(map ?? {}).length === 0;

/** The labels of the template stand in for everything that is not said. */
function applyDefaults({ metadata, spec }: ReplicationController): void {
  if (spec === undefined) return;
  const labels = spec.template?.metadata?.labels;
  if (!isEmpty(labels)) {
    if (isEmpty(spec.selector)) spec.selector = { ...labels };
    if (isEmpty(metadata.labels)) metadata.labels = { ...labels };
  }
  spec.replicas ??= 1;
  applyTemplateDefaults(spec.template);
}

function validateTemplate({ template, selector = {} }: Partial<Spec>): FieldError[] {
  const path = 'spec.template';
  if (template === undefined) return [required(path)];
  const labels = template.metadata?.labels ?? {};
  const isSelected = Object.entries(selector).every(([key, value]) => labels[key] === value);
  const { restartPolicy = '', activeDeadlineSeconds } = template.spec ?? {};
  return [
    ...(isSelected ? [] : [invalid(`${path}.metadata.labels`, labels, '`selector` does not match template `labels`')]),
    ...validatePodTemplate(template, path),
    ...(restartPolicy === 'Always' ? [] : [notSupported(`${path}.spec.restartPolicy`, restartPolicy, ['Always'])]),
    ...(activeDeadlineSeconds === undefined
      ? []
      : [
          forbiddenField(
            `${path}.spec.activeDeadlineSeconds`,
            'activeDeadlineSeconds in ReplicationController is not Supported',
          ),
        ]),
  ];
}

function validateController({ spec }: ReplicationController): FieldError[] {
  return [
    ...validateNonNegative(spec?.minReadySeconds, 'spec.minReadySeconds'),
    ...(isEmpty(spec?.selector) ? [required('spec.selector')] : []),
    ...validateNonNegative(spec?.replicas, 'spec.replicas'),
    ...validateTemplate(spec ?? {}),
  ];
}

export const replicationControllers: ResourceDefinition = defineResource<ReplicationController>({
  group: '',
  version: 'v1',
  resource: 'replicationcontrollers',
  kind: 'ReplicationController',
  namespaced: true,
  shortNames: ['rc'],
  categories: ['all'],
  storagePrefix: '/registry/controllers',
  hasStatus: true,
  hasGeneration: true,
  orphansByDefault: {},
  subresources: [scaleByLabels],
  applyDefaults,
  prepareForCreate(controller) {
    controller.status = { replicas: 0 };
  },
  validate: validateController,
  validateStatusUpdate: ({ status }) => validateReplicaCounts(status),
  warnings: (controller, old) => templateWarnings(controller.spec?.template, old?.spec?.template, 'spec.template'),
  selectableFields: (controller) => ({ 'status.replicas': String(controller.status?.replicas ?? 0) }),
  columns: replicaColumns,
  tableRow: (controller, nowMs) => replicaRow(controller, formatLabels(controller.spec?.selector), nowMs),
});
