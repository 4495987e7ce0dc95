import { type FieldError, forbiddenField, invalid, notSupported, required } from '#api/object/field-error.ts';
import type { Deployment } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { applyTemplateDefaults } from './pod/defaults.ts';
import { templateWarnings } from './pod/warnings.ts';
import { age, containerCells, formatLabelSelector } from './printing/cells.ts';
import { ageColumn, containerColumns, nameColumn, selectorColumn, text } from './printing/columns.ts';
import { scale } from './scale.ts';
import { validateImmutable, validateNonNegative } from './validation/format.ts';
import { amountOf, validateAmount, validateAtMostAll } from './validation/int-or-percent.ts';
import {
  validateLongRunningTemplate,
  validateNoDecrement,
  validateWorkloadSelector,
} from './workload/replica-validation.ts';

const ROLLING_UPDATE = 'RollingUpdate';
const RECREATE = 'Recreate';
const DEFAULT_AMOUNT = '25%';
const DEFAULT_PROGRESS_DEADLINE_S = 600;
const DEFAULT_HISTORY = 10;

function applyDefaults({ spec }: Deployment): void {
  if (spec === undefined) return;
  spec.replicas ??= 1;
  spec.revisionHistoryLimit ??= DEFAULT_HISTORY;
  spec.progressDeadlineSeconds ??= DEFAULT_PROGRESS_DEADLINE_S;
  spec.strategy ??= {};
  spec.strategy.type ||= ROLLING_UPDATE;
  if (spec.strategy.type === ROLLING_UPDATE) {
    spec.strategy.rollingUpdate ??= {};
    spec.strategy.rollingUpdate.maxUnavailable ??= DEFAULT_AMOUNT;
    spec.strategy.rollingUpdate.maxSurge ??= DEFAULT_AMOUNT;
  }
  applyTemplateDefaults(spec.template);
}

type Strategy = NonNullable<NonNullable<Deployment['spec']>['strategy']>;

function validateRollingUpdate(rollingUpdate: NonNullable<Strategy['rollingUpdate']>, path: string): FieldError[] {
  const { maxUnavailable = 0, maxSurge = 0 } = rollingUpdate;
  const errors = [
    ...validateAmount(maxUnavailable, `${path}.maxUnavailable`),
    ...validateAmount(maxSurge, `${path}.maxSurge`),
  ];
  if (errors.length > 0) return errors;
  if (amountOf(maxUnavailable) === 0 && amountOf(maxSurge) === 0) {
    errors.push(invalid(`${path}.maxUnavailable`, maxUnavailable, 'may not be 0 when `maxSurge` is 0'));
  }
  return [...errors, ...validateAtMostAll(maxUnavailable, `${path}.maxUnavailable`)];
}

function validateStrategy(strategy: Strategy | undefined): FieldError[] {
  const path = 'spec.strategy';
  const { type, rollingUpdate } = strategy ?? {};
  switch (type) {
    case RECREATE:
      return rollingUpdate === undefined
        ? []
        : [forbiddenField(`${path}.rollingUpdate`, "may not be specified when strategy `type` is 'Recreate'")];
    case ROLLING_UPDATE:
      return rollingUpdate === undefined
        ? [required(`${path}.rollingUpdate`, 'this should be defaulted and never be nil')]
        : validateRollingUpdate(rollingUpdate, `${path}.rollingUpdate`);
    default:
      return [notSupported(`${path}.type`, type ?? '', [RECREATE, ROLLING_UPDATE])];
  }
}

function validateDeployment({ spec }: Deployment): FieldError[] {
  const template = spec?.template;
  const errors = [
    ...validateNonNegative(spec?.replicas, 'spec.replicas'),
    ...validateWorkloadSelector(spec?.selector, template, 'deployment'),
    ...validateLongRunningTemplate(template, 'ReplicaSet'),
    ...validateStrategy(spec?.strategy),
    ...validateNonNegative(spec?.minReadySeconds, 'spec.minReadySeconds'),
    ...validateNonNegative(spec?.revisionHistoryLimit, 'spec.revisionHistoryLimit'),
    ...validateNonNegative(spec?.progressDeadlineSeconds, 'spec.progressDeadlineSeconds'),
  ];
  const { progressDeadlineSeconds, minReadySeconds = 0 } = spec ?? {};
  if (progressDeadlineSeconds !== undefined && progressDeadlineSeconds <= minReadySeconds) {
    errors.push(
      invalid('spec.progressDeadlineSeconds', progressDeadlineSeconds, 'must be greater than minReadySeconds'),
    );
  }
  return errors;
}

const COUNTS = [
  'observedGeneration',
  'replicas',
  'updatedReplicas',
  'terminatingReplicas',
  'readyReplicas',
  'availableReplicas',
  'unavailableReplicas',
  'collisionCount',
] as const;

function validateDeploymentStatus({ status }: Deployment, old: Deployment): FieldError[] {
  const errors = COUNTS.flatMap((field) => validateNonNegative(status?.[field], `status.${field}`));
  const { replicas = 0, readyReplicas = 0, availableReplicas = 0, updatedReplicas = 0 } = status ?? {};
  for (const [field, value] of Object.entries({ updatedReplicas, readyReplicas, availableReplicas })) {
    if (value > replicas) errors.push(invalid(`status.${field}`, value, 'cannot be greater than status.replicas'));
  }
  if (availableReplicas > readyReplicas) {
    errors.push(invalid('status.availableReplicas', availableReplicas, 'cannot be greater than readyReplicas'));
  }
  return [
    ...errors,
    ...validateNoDecrement(status?.collisionCount, old.status?.collisionCount, 'status.collisionCount'),
  ];
}

export const deployments: ResourceDefinition = defineResource<Deployment>({
  group: 'apps',
  version: 'v1',
  resource: 'deployments',
  kind: 'Deployment',
  namespaced: true,
  shortNames: ['deploy'],
  categories: ['all'],
  hasStatus: true,
  hasGeneration: true,
  subresources: [scale],
  applyDefaults,
  prepareForCreate(deployment) {
    deployment.status = {};
  },
  validate: validateDeployment,
  validateUpdate: (deployment, old) =>
    validateImmutable(deployment.spec?.selector, old.spec?.selector, 'spec.selector'),
  validateStatusUpdate: validateDeploymentStatus,
  warnings: (deployment, old) => templateWarnings(deployment.spec?.template, old?.spec?.template, 'spec.template'),
  columns: [
    nameColumn,
    text('Ready', 'Ready pods of those asked for.'),
    text('Up-to-date', 'Pods that run the newest template.'),
    text('Available', 'Pods that have been ready for at least minReadySeconds.'),
    ageColumn,
    ...containerColumns,
    selectorColumn,
  ],
  tableRow: (deployment, nowMs) => [
    deployment.metadata.name,
    `${deployment.status?.readyReplicas ?? 0}/${deployment.spec?.replicas ?? 0}`,
    deployment.status?.updatedReplicas ?? 0,
    deployment.status?.availableReplicas ?? 0,
    age(deployment, nowMs),
    ...containerCells(deployment.spec?.template?.spec?.containers),
    formatLabelSelector(deployment.spec?.selector),
  ],
});
