import { deepEqual } from '#api/object/deep-equal.ts';
import { type FieldError, invalid, notSupported, required } from '#api/object/field-error.ts';
import type { DaemonSet } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { applyTemplateDefaults } from './pod/defaults.ts';
import { templateWarnings } from './pod/warnings.ts';
import { age, containerCells, formatLabelSelector, formatLabels } from './printing/cells.ts';
import { ageColumn, containerColumns, integer, nameColumn, selectorColumn, text } from './printing/columns.ts';
import { validateImmutable, validateNonNegative } from './validation/format.ts';
import { amountOf, validateAmount, validateAtMostAll } from './validation/int-or-percent.ts';
import {
  validateLongRunningTemplate,
  validateNoDecrement,
  validateWorkloadSelector,
} from './workload/replica-validation.ts';

const ROLLING_UPDATE = 'RollingUpdate';
const ON_DELETE = 'OnDelete';
const DEFAULT_HISTORY = 10;

/** Counts versions of the template. A field of old API versions that every version keeps up; the daemon controller labels pods with it. */
const TEMPLATE_GENERATION = 'deprecated.daemonset.template.generation';

function applyDefaults({ spec }: DaemonSet): void {
  if (spec === undefined) return;
  spec.revisionHistoryLimit ??= DEFAULT_HISTORY;
  spec.updateStrategy ??= {};
  spec.updateStrategy.type ||= ROLLING_UPDATE;
  if (spec.updateStrategy.type === ROLLING_UPDATE) {
    spec.updateStrategy.rollingUpdate ??= {};
    spec.updateStrategy.rollingUpdate.maxUnavailable ??= 1;
    spec.updateStrategy.rollingUpdate.maxSurge ??= 0;
  }
  applyTemplateDefaults(spec.template);
}

type Strategy = NonNullable<NonNullable<DaemonSet['spec']>['updateStrategy']>;

/** A node can either lend room for the new pod first or do without the old one, not both. */
function validateRollingUpdate(rollingUpdate: NonNullable<Strategy['rollingUpdate']>, path: string): FieldError[] {
  const { maxUnavailable = 0, maxSurge = 0 } = rollingUpdate;
  const errors = [
    ...validateAmount(maxUnavailable, `${path}.maxUnavailable`),
    ...validateAmount(maxSurge, `${path}.maxSurge`),
    ...validateAtMostAll(maxUnavailable, `${path}.maxUnavailable`),
    ...validateAtMostAll(maxSurge, `${path}.maxSurge`),
  ];
  const mayMiss = amountOf(maxUnavailable) !== 0;
  const maySurge = amountOf(maxSurge) !== 0;
  if (mayMiss && maySurge) {
    errors.push(invalid(`${path}.maxSurge`, maxSurge, 'may not be set when maxUnavailable is non-zero'));
  }
  if (!mayMiss && !maySurge) errors.push(required(`${path}.maxUnavailable`, 'cannot be 0 when maxSurge is 0'));
  return errors;
}

function validateStrategy(strategy: Strategy | undefined): FieldError[] {
  const path = 'spec.updateStrategy';
  switch (strategy?.type) {
    case ON_DELETE:
      return [];
    case ROLLING_UPDATE:
      return strategy.rollingUpdate === undefined
        ? [required(`${path}.rollingUpdate`)]
        : validateRollingUpdate(strategy.rollingUpdate, `${path}.rollingUpdate`);
    default:
      return [notSupported(path, strategy, [ROLLING_UPDATE, ON_DELETE])];
  }
}

function validateDaemonSet({ spec }: DaemonSet): FieldError[] {
  return [
    ...validateWorkloadSelector(spec?.selector, spec?.template, 'daemonset'),
    ...validateLongRunningTemplate(spec?.template, 'DaemonSet'),
    ...validateNonNegative(spec?.minReadySeconds, 'spec.minReadySeconds'),
    ...validateStrategy(spec?.updateStrategy),
    ...validateNonNegative(spec?.revisionHistoryLimit, 'spec.revisionHistoryLimit'),
  ];
}

const COUNTS = [
  'currentNumberScheduled',
  'numberMisscheduled',
  'desiredNumberScheduled',
  'numberReady',
  'observedGeneration',
  'updatedNumberScheduled',
  'numberAvailable',
  'numberUnavailable',
  'collisionCount',
] as const;

function validateDaemonSetStatus({ status }: DaemonSet, old: DaemonSet): FieldError[] {
  return [
    ...COUNTS.flatMap((field) => validateNonNegative(status?.[field], `status.${field}`)),
    ...validateNoDecrement(status?.collisionCount, old.status?.collisionCount, 'status.collisionCount'),
  ];
}

function setTemplateGeneration({ metadata }: DaemonSet, generation: number): void {
  metadata.annotations = { ...metadata.annotations, [TEMPLATE_GENERATION]: String(generation) };
}

const templateGenerationOf = ({ metadata }: DaemonSet): number =>
  Number.parseInt(metadata.annotations?.[TEMPLATE_GENERATION] ?? '', 10) || 0;

export const daemonSets: ResourceDefinition = defineResource<DaemonSet>({
  group: 'apps',
  version: 'v1',
  resource: 'daemonsets',
  kind: 'DaemonSet',
  namespaced: true,
  shortNames: ['ds'],
  categories: ['all'],
  hasStatus: true,
  hasGeneration: true,
  applyDefaults,
  prepareForCreate(daemonSet) {
    daemonSet.status = { currentNumberScheduled: 0, desiredNumberScheduled: 0, numberMisscheduled: 0, numberReady: 0 };
    setTemplateGeneration(daemonSet, Math.max(templateGenerationOf(daemonSet), 1));
  },
  prepareForUpdate(daemonSet, old) {
    const isNewTemplate = !deepEqual(daemonSet.spec?.template, old.spec?.template);
    setTemplateGeneration(daemonSet, templateGenerationOf(old) + (isNewTemplate ? 1 : 0));
  },
  validate: validateDaemonSet,
  validateUpdate: (daemonSet, old) => validateImmutable(daemonSet.spec?.selector, old.spec?.selector, 'spec.selector'),
  validateStatusUpdate: validateDaemonSetStatus,
  warnings: (daemonSet, old) => templateWarnings(daemonSet.spec?.template, old?.spec?.template, 'spec.template'),
  columns: [
    nameColumn,
    integer('Desired', 'Number of nodes that should run the pod.'),
    integer('Current', 'Number of nodes that should and do run it.'),
    integer('Ready', 'Number of nodes whose pod is ready.'),
    integer('Up-to-date', 'Number of nodes whose pod has the newest template.'),
    integer('Available', 'Number of nodes whose pod has been ready for at least minReadySeconds.'),
    text('Node Selector', 'Labels of the nodes that should run the pod.'),
    ageColumn,
    ...containerColumns,
    selectorColumn,
  ],
  tableRow: (daemonSet, nowMs) => [
    daemonSet.metadata.name,
    daemonSet.status?.desiredNumberScheduled ?? 0,
    daemonSet.status?.currentNumberScheduled ?? 0,
    daemonSet.status?.numberReady ?? 0,
    daemonSet.status?.updatedNumberScheduled ?? 0,
    daemonSet.status?.numberAvailable ?? 0,
    formatLabels(daemonSet.spec?.template?.spec?.nodeSelector),
    age(daemonSet, nowMs),
    ...containerCells(daemonSet.spec?.template?.spec?.containers),
    formatLabelSelector(daemonSet.spec?.selector),
  ],
});
