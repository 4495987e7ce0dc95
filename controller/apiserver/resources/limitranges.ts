import type { ILimitRange } from 'kubernetes-models/v1/LimitRange';
import { Quantity } from '#api/meta/quantity.ts';
import { duplicate, type FieldError, forbiddenField, invalid, required } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { validateQualifiedName } from './validation/format.ts';
import { validateLimitName } from './validation/quota-names.ts';

type LimitRange = Stored<ILimitRange>;
type Item = NonNullable<LimitRange['spec']>['limits'][number];

type Amounts = Readonly<Record<string, unknown>>;

/** Pairs that must stand in this order, with Kubernetes' names for them. */
const ORDER: readonly (readonly [keyof Item, keyof Item, string, string])[] = [
  ['min', 'max', 'min', 'max'],
  ['min', 'defaultRequest', 'min', 'default request'],
  ['defaultRequest', 'default', 'default request', 'default limit'],
  ['defaultRequest', 'max', 'default request', 'max'],
  ['default', 'max', 'default', 'max'],
];

function validateItem(item: Item, path: string): FieldError[] {
  return ORDER.flatMap(([low, high, lowName, highName]) => {
    const [lows = {}, highs = {}] = [item[low] as Amounts | undefined, item[high] as Amounts | undefined];
    return Object.keys(lows).flatMap((name) => {
      if (!Object.hasOwn(highs, name)) return [];
      const a = Quantity.parse(lows[name] as string);
      const b = Quantity.parse(highs[name] as string);
      return a.compare(b) > 0
        ? [
            invalid(
              `${path}.${low}[${name}]`,
              a.toString(),
              `${lowName} value ${a} is greater than ${highName} value ${b}`,
            ),
          ]
        : [];
    });
  });
}

const BOUNDS = ['max', 'min', 'default', 'defaultRequest', 'maxLimitRequestRatio'] as const;

function validateNames(item: Item, path: string): FieldError[] {
  return BOUNDS.flatMap((field) =>
    Object.keys((item[field] as Amounts | undefined) ?? {}).flatMap((name) =>
      validateLimitName(name, item.type, `${path}.${field}[${name}]`),
    ),
  );
}

/** What a type can have: pods have no defaults, claims have a size. */
function validateType(item: Item, path: string): FieldError[] {
  if (item.type === 'Pod') {
    return (['default', 'defaultRequest'] as const)
      .filter((field) => Object.keys(item[field] ?? {}).length > 0)
      .map((field) => forbiddenField(`${path}.${field}`, "may not be specified when `type` is 'Pod'"));
  }
  if (item.type !== 'PersistentVolumeClaim') return [];
  const hasSize = [item.min, item.max].some((list) => (list as Amounts | undefined)?.storage !== undefined);
  return hasSize
    ? []
    : [required(`${path}.limits`, 'either minimum or maximum storage value is required, but neither was provided')];
}

/** A limit may be so many times its request, and never less than it; the bounds themselves must leave room for that. */
function validateRatios(item: Item, path: string): FieldError[] {
  const [min = {}, max = {}] = [item.min as Amounts | undefined, item.max as Amounts | undefined];
  return Object.entries((item.maxLimitRequestRatio as Amounts | undefined) ?? {}).flatMap(([name, value]) => {
    const at = `${path}.maxLimitRequestRatio[${name}]`;
    const ratio = Quantity.parse(value as string);
    if (ratio.compare(Quantity.fromValue(1)) < 0)
      return [invalid(at, ratio.toString(), `ratio ${ratio} is less than 1`)];
    if (!Object.hasOwn(min, name) || !Object.hasOwn(max, name)) return [];
    const [low, high] = [Quantity.parse(min[name] as string), Quantity.parse(max[name] as string)];
    const widest = low.nano === 0n ? Number.POSITIVE_INFINITY : Number(high.nano) / Number(low.nano);
    return Number(ratio.nano) / 1e9 > widest
      ? [invalid(at, ratio.toString(), `ratio ${ratio} is greater than max/min = ${widest.toFixed(6)}`)]
      : [];
  });
}

function validateLimitRange({ spec }: LimitRange): FieldError[] {
  const types = new Set<string>();
  return (spec?.limits ?? []).flatMap((item, i) => {
    const path = `spec.limits[${i}]`;
    const isKnown = types.has(item.type);
    types.add(item.type);
    return [
      ...(item.type ? validateQualifiedName(item.type, `${path}.type`) : [required(`${path}.type`)]),
      ...(isKnown ? [duplicate(`${path}.type`, item.type)] : []),
      ...validateNames(item, path),
      ...validateType(item, path),
      ...validateItem(item, path),
      ...validateRatios(item, path),
    ];
  });
}

/** A container's default limit is its maximum, its default request the limit, then the minimum, where nothing else is said. */
function applyItemDefaults(item: Item): void {
  if (item.type !== 'Container') return;
  const limits = { ...item.max, ...item.default };
  if (Object.keys(limits).length > 0) item.default = limits;
  const requests = { ...item.min, ...limits, ...item.defaultRequest };
  if (Object.keys(requests).length > 0) item.defaultRequest = requests;
}

export const limitRanges: ResourceDefinition = defineResource<LimitRange>({
  group: '',
  version: 'v1',
  resource: 'limitranges',
  kind: 'LimitRange',
  namespaced: true,
  shortNames: ['limits'],
  applyDefaults({ spec }) {
    for (const item of spec?.limits ?? []) applyItemDefaults(item);
  },
  validate: validateLimitRange,
});
