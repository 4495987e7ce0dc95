import { Quantity } from '#api/meta/quantity.ts';
import { type FieldError, invalid, notSupported, required } from '#api/object/field-error.ts';
import type { HorizontalPodAutoscaler } from '#api/object/kinds.ts';
import { validateNonNegative } from '../validation/format.ts';
import type { AutoscalerSpec } from './defaults.ts';
import { validateMetrics, validateObjectReference } from './metrics-validation.ts';

type Rules = NonNullable<NonNullable<AutoscalerSpec['behavior']>['scaleUp']>;
type Policy = NonNullable<Rules['policies']>[number];

const MAX_STABILIZATION_S = 3600;
const MAX_PERIOD_S = 1800;
const SELECT_POLICIES = ['Disabled', 'Max', 'Min'];
const POLICY_TYPES = ['Percent', 'Pods'];

function validatePolicy({ type, value = 0, periodSeconds = 0 }: Policy, path: string): FieldError[] {
  const errors = POLICY_TYPES.includes(type) ? [] : [notSupported(`${path}.type`, type ?? '', POLICY_TYPES)];
  if (value <= 0) errors.push(invalid(`${path}.value`, value, 'must be greater than zero'));
  if (periodSeconds <= 0) errors.push(invalid(`${path}.periodSeconds`, periodSeconds, 'must be greater than zero'));
  if (periodSeconds > MAX_PERIOD_S) {
    errors.push(invalid(`${path}.periodSeconds`, periodSeconds, `must be less than or equal to ${MAX_PERIOD_S}`));
  }
  return errors;
}

function validateRules(rules: Rules | undefined, path: string): FieldError[] {
  if (rules === undefined) return [];
  const { stabilizationWindowSeconds: window = 0, selectPolicy, policies = [], tolerance } = rules;
  const errors: FieldError[] = [];
  const at = `${path}.stabilizationWindowSeconds`;
  if (window < 0) errors.push(invalid(at, window, 'must be greater than or equal to zero'));
  if (window > MAX_STABILIZATION_S) {
    errors.push(invalid(at, window, `must be less than or equal to ${MAX_STABILIZATION_S}`));
  }
  if (selectPolicy !== undefined && !SELECT_POLICIES.includes(selectPolicy)) {
    errors.push(notSupported(`${path}.selectPolicy`, selectPolicy, SELECT_POLICIES));
  }
  if (policies.length === 0) errors.push(required(`${path}.policies`, 'must specify at least one Policy'));
  errors.push(...policies.flatMap((policy, i) => validatePolicy(policy, `${path}.policies[${i}]`)));
  if (tolerance !== undefined && Quantity.parse(tolerance as string | number).sign < 0) {
    errors.push(invalid(`${path}.tolerance`, tolerance, 'must be greater than or equal to 0'));
  }
  return errors;
}

export function validateAutoscaler({ spec }: HorizontalPodAutoscaler): FieldError[] {
  const { minReplicas, maxReplicas = 0, scaleTargetRef, behavior } = (spec ?? {}) as Partial<AutoscalerSpec>;
  const errors: FieldError[] = [];
  if (minReplicas !== undefined && minReplicas < 1) {
    errors.push(invalid('spec.minReplicas', minReplicas, 'must be greater than or equal to 1'));
  }
  if (maxReplicas < 1) errors.push(invalid('spec.maxReplicas', maxReplicas, 'must be greater than 0'));
  if (minReplicas !== undefined && maxReplicas < minReplicas) {
    errors.push(invalid('spec.maxReplicas', maxReplicas, 'must be greater than or equal to `minReplicas`'));
  }
  return [
    ...errors,
    ...validateObjectReference(scaleTargetRef, 'spec.scaleTargetRef'),
    ...(spec === undefined ? [] : validateMetrics(spec, 'spec.metrics')),
    ...validateRules(behavior?.scaleUp, 'spec.behavior.scaleUp'),
    ...validateRules(behavior?.scaleDown, 'spec.behavior.scaleDown'),
  ];
}

export function validateAutoscalerStatus({ status }: HorizontalPodAutoscaler): FieldError[] {
  return [
    ...validateNonNegative(status?.currentReplicas, 'status.currentReplicas'),
    ...validateNonNegative(status?.desiredReplicas, 'status.desiredReplicas'),
  ];
}
