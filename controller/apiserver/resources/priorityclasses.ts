import type { IPriorityClass } from 'kubernetes-models/scheduling.k8s.io/v1/PriorityClass';
import { type FieldError, forbiddenField, invalid } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { age } from './printing/cells.ts';
import { ageColumn, column, integer, nameColumn, text } from './printing/columns.ts';
import { validateOptionalOneOf } from './validation/format.ts';

type PriorityClass = Stored<IPriorityClass>;

/** Users may go as high as this; what lies above belongs to the system's own classes. */
const HIGHEST_USER_PRIORITY = 1_000_000_000;

interface SystemClass {
  readonly name: string;
  readonly value: number;
  readonly description: string;
}

export const SYSTEM_PRIORITY_CLASSES: readonly SystemClass[] = [
  {
    name: 'system-node-critical',
    value: 2_000_001_000,
    description: 'Used for system critical pods that must not be moved from their current node.',
  },
  {
    name: 'system-cluster-critical',
    value: 2_000_000_000,
    description:
      'Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.',
  },
];

function validatePriorityClass({ metadata, value, globalDefault }: PriorityClass): FieldError[] {
  if (metadata.name?.startsWith('system-')) {
    const known = SYSTEM_PRIORITY_CLASSES.find((known) => known.name === metadata.name);
    if (known === undefined || known.value !== value || globalDefault) {
      return [
        forbiddenField('metadata.name', "priority class names with 'system-' prefix are reserved for system use only"),
      ];
    }
    return [];
  }
  return (value ?? 0) > HIGHEST_USER_PRIORITY
    ? [forbiddenField('value', `maximum allowed value of a user defined priority is ${HIGHEST_USER_PRIORITY}`)]
    : [];
}

function validatePriorityClassUpdate(next: PriorityClass, old: PriorityClass): FieldError[] {
  const errors: FieldError[] = [];
  if (next.value !== old.value) errors.push(forbiddenField('value', 'may not be changed in an update.'));
  if (next.preemptionPolicy !== old.preemptionPolicy) {
    errors.push(invalid('preemptionPolicy', next.preemptionPolicy, 'field is immutable'));
  }
  return errors;
}

export const priorityClasses: ResourceDefinition = defineResource<PriorityClass>({
  group: 'scheduling.k8s.io',
  version: 'v1',
  resource: 'priorityclasses',
  kind: 'PriorityClass',
  namespaced: false,
  shortNames: ['pc'],
  hasGeneration: true,
  applyDefaults(object) {
    object.preemptionPolicy ??= 'PreemptLowerPriority';
  },
  validate: (object) => [
    ...validatePriorityClass(object),
    ...validateOptionalOneOf(object.preemptionPolicy, ['Never', 'PreemptLowerPriority'], 'preemptionPolicy'),
  ],
  validateUpdate: validatePriorityClassUpdate,
  columns: [
    nameColumn,
    integer('Value', 'Priority that pods of this class get.'),
    column('Global-Default', 'boolean', 'Whether pods without a class get this one.'),
    ageColumn,
    text('PreemptionPolicy', 'Whether its pods may push out lesser ones.'),
  ],
  tableRow: (object, nowMs) => [
    object.metadata.name,
    object.value ?? 0,
    object.globalDefault ?? false,
    age(object, nowMs),
    object.preemptionPolicy ?? '',
  ],
});
