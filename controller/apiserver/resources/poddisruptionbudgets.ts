import type { IPodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget';
import { type FieldError, invalid } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { age } from './printing/cells.ts';
import { ageColumn, integer, nameColumn, text } from './printing/columns.ts';
import { validateNonNegative, validateOptionalOneOf } from './validation/format.ts';
import { validateAmount, validateAtMostAll } from './validation/int-or-percent.ts';
import { validateLabelSelector } from './validation/label-selector.ts';

type PodDisruptionBudget = Stored<IPodDisruptionBudget>;

function validateShare(value: number | string | undefined, path: string): FieldError[] {
  if (value === undefined) return [];
  const errors = validateAmount(value, path);
  return errors.length === 0 ? validateAtMostAll(value, path) : errors;
}

function validateBudget({ spec }: PodDisruptionBudget): FieldError[] {
  const { minAvailable, maxUnavailable, selector, unhealthyPodEvictionPolicy } = spec ?? {};
  if (minAvailable !== undefined && maxUnavailable !== undefined) {
    return [invalid('spec', spec, 'minAvailable and maxUnavailable cannot be both set')];
  }
  return [
    ...validateShare(minAvailable, 'spec.minAvailable'),
    ...validateShare(maxUnavailable, 'spec.maxUnavailable'),
    ...validateLabelSelector(selector, 'spec.selector'),
    ...validateOptionalOneOf(
      unhealthyPodEvictionPolicy,
      ['AlwaysAllow', 'IfHealthyBudget'],
      'spec.unhealthyPodEvictionPolicy',
    ),
  ];
}

const COUNTS = ['disruptionsAllowed', 'currentHealthy', 'desiredHealthy', 'expectedPods'] as const;

export const podDisruptionBudgets: ResourceDefinition = defineResource<PodDisruptionBudget>({
  group: 'policy',
  version: 'v1',
  resource: 'poddisruptionbudgets',
  kind: 'PodDisruptionBudget',
  namespaced: true,
  shortNames: ['pdb'],
  hasStatus: true,
  hasGeneration: true,
  allowUnconditionalUpdate: false,
  prepareForCreate(budget) {
    budget.status = { currentHealthy: 0, desiredHealthy: 0, disruptionsAllowed: 0, expectedPods: 0 };
  },
  validate: validateBudget,
  validateStatusUpdate: ({ status }) =>
    COUNTS.flatMap((field) => validateNonNegative(status?.[field], `status.${field}`)),
  columns: [
    nameColumn,
    text('Min Available', 'Pods that must stay available.'),
    text('Max Unavailable', 'Pods that may be unavailable.'),
    integer('Allowed Disruptions', 'Pods that may be evicted now.'),
    ageColumn,
  ],
  tableRow: (budget, nowMs) => [
    budget.metadata.name,
    String(budget.spec?.minAvailable ?? 'N/A'),
    String(budget.spec?.maxUnavailable ?? 'N/A'),
    budget.status?.disruptionsAllowed ?? 0,
    age(budget, nowMs),
  ],
});
