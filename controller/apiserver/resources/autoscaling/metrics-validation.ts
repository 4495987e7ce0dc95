import { pathSegmentName } from '#api/meta/names.ts';
import { Quantity } from '#api/meta/quantity.ts';
import { type FieldError, forbiddenField, invalid, notSupported, required } from '#api/object/field-error.ts';
import { validateLabelSelector } from '../validation/label-selector.ts';
import type { AutoscalerSpec } from './defaults.ts';

type Metric = NonNullable<AutoscalerSpec['metrics']>[number];
type Target = NonNullable<Metric['resource']>['target'];
type Identifier = NonNullable<Metric['pods']>['metric'];

/** `metric.type` and the field that goes with it. */
const SOURCES = {
  ContainerResource: 'containerResource',
  External: 'external',
  Object: 'object',
  Pods: 'pods',
  Resource: 'resource',
} as const satisfies Readonly<Record<string, keyof Metric>>;
type SourceField = (typeof SOURCES)[keyof typeof SOURCES];

const isPositive = (value: unknown): boolean => Quantity.parse(value as string | number).sign > 0;

/** What an autoscaler scales, or takes a metric of. */
export function validateObjectReference(
  ref: { readonly apiVersion?: string; readonly kind?: string; readonly name?: string } | undefined,
  path: string,
): FieldError[] {
  const parts = (['kind', 'name'] as const).flatMap((field) => {
    const value = ref?.[field];
    if (!value) return [required(`${path}.${field}`)];
    return pathSegmentName(value).map((message) => invalid(`${path}.${field}`, value, message));
  });
  const { apiVersion = '' } = ref ?? {};
  return apiVersion.split('/').length > 2
    ? [...parts, invalid(`${path}.apiVersion`, apiVersion, `unexpected GroupVersion string: ${apiVersion}`)]
    : parts;
}

function validateTarget(target: Target | undefined, path: string): FieldError[] {
  const { type, value, averageValue, averageUtilization } = (target ?? {}) as Partial<Target>;
  const errors: FieldError[] = [];
  if (!type) errors.push(required(`${path}.type`, 'must specify a metric target type'));
  else if (!['Utilization', 'Value', 'AverageValue'].includes(type)) {
    errors.push(invalid(`${path}.type`, type, 'must be either Utilization, Value, or AverageValue'));
  }
  for (const [field, amount] of Object.entries({ value, averageValue })) {
    if (amount !== undefined && !isPositive(amount))
      errors.push(invalid(`${path}.${field}`, amount, 'must be positive'));
  }
  if (averageUtilization !== undefined && averageUtilization < 1) {
    errors.push(invalid(`${path}.averageUtilization`, averageUtilization, 'must be greater than 0'));
  }
  return errors;
}

function validateIdentifier(metric: Identifier | undefined, path: string): FieldError[] {
  const name = metric?.name;
  const errors: FieldError[] = name
    ? pathSegmentName(name).map((message) => invalid(`${path}.name`, name, message))
    : [required(`${path}.name`, 'must specify a metric name')];
  return [...errors, ...validateLabelSelector(metric?.selector, `${path}.selector`)];
}

/** Usage of a resource: as an amount or as a share of the request, one of both. */
function validateUsage(target: Target | undefined, path: string): FieldError[] {
  const { averageUtilization, averageValue } = target ?? {};
  if (averageUtilization === undefined && averageValue === undefined) {
    const message = 'must set either a target raw value or a target utilization';
    return [required(`${path}.averageUtilization`, message)];
  }
  return averageUtilization !== undefined && averageValue !== undefined
    ? [forbiddenField(`${path}.averageValue`, 'may not set both a target raw value and a target utilization')]
    : [];
}

const EITHER_TARGET = 'must set either a target value for metric or a per-pod target';

const RULES: { readonly [K in SourceField]: (source: NonNullable<Metric[K]>, path: string) => FieldError[] } = {
  object: ({ describedObject, metric, target }, path) => [
    ...validateObjectReference(describedObject, `${path}.describedObject`),
    ...validateIdentifier(metric, `${path}.metric`),
    ...validateTarget(target, `${path}.target`),
    ...(target?.value === undefined && target?.averageValue === undefined
      ? [required(`${path}.target.averageValue`, EITHER_TARGET)]
      : []),
  ],
  external: ({ metric, target }, path) => [
    ...validateIdentifier(metric, `${path}.metric`),
    ...validateTarget(target, `${path}.target`),
    ...(target?.value === undefined && target?.averageValue === undefined
      ? [required(`${path}.target.averageValue`, EITHER_TARGET)]
      : []),
    ...(target?.value !== undefined && target.averageValue !== undefined
      ? [forbiddenField(`${path}.target.value`, 'may not set both a target value for metric and a per-pod target')]
      : []),
  ],
  pods: ({ metric, target }, path) => [
    ...validateIdentifier(metric, `${path}.metric`),
    ...validateTarget(target, `${path}.target`),
    ...(target?.averageValue === undefined || !isPositive(target.averageValue)
      ? [required(`${path}.target.averageValue`, 'must specify a positive target averageValue')]
      : []),
  ],
  containerResource: ({ name, container, target }, path) => [
    ...(name ? [] : [required(`${path}.name`, 'must specify a resource name')]),
    ...(container ? [] : [required(`${path}.container`, 'must specify a container')]),
    ...validateTarget(target, `${path}.target`),
    ...validateUsage(target, `${path}.target`),
  ],
  resource: ({ name, target }, path) => [
    ...(name ? [] : [required(`${path}.name`, 'must specify a resource name')]),
    ...validateTarget(target, `${path}.target`),
    ...validateUsage(target, `${path}.target`),
  ],
};

function validateMetric(metric: Metric, path: string): FieldError[] {
  const { type } = metric;
  const expected = Object.hasOwn(SOURCES, type ?? '') ? SOURCES[type as keyof typeof SOURCES] : undefined;
  const errors: FieldError[] = [];
  if (!type) errors.push(required(`${path}.type`, 'must specify a metric source type'));
  else if (expected === undefined) errors.push(notSupported(`${path}.type`, type, Object.keys(SOURCES)));
  const present = Object.values(SOURCES).filter((field) => metric[field] !== undefined);
  const [first] = present;
  if (first !== undefined) {
    const rule = RULES[first] as (source: unknown, path: string) => FieldError[];
    errors.push(...rule(metric[first], `${path}.${first}`));
  }
  if (expected !== undefined && metric[expected] === undefined) {
    errors.push(required(`${path}.${expected}`, 'must populate information for the given metric source'));
  }
  if (present.length === 1) return errors;
  return [
    ...errors,
    ...present
      .filter((field) => field !== expected)
      .map((field) => forbiddenField(`${path}.${field}`, 'must populate the given metric source only')),
  ];
}

export function validateMetrics({ metrics = [], minReplicas }: AutoscalerSpec, path: string): FieldError[] {
  const errors = metrics.flatMap((metric, i) => validateMetric(metric, `${path}[${i}]`));
  const canWake = metrics.some(({ type }) => type === 'Object' || type === 'External');
  if (minReplicas === 0 && !canWake) {
    const message = 'must specify at least one Object or External metric to support scaling to zero replicas';
    errors.push(forbiddenField(path, message));
  }
  return errors;
}
