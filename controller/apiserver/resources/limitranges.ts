import type { ILimitRange } from 'kubernetes-models/v1/LimitRange';
import { Quantity } from '#api/meta/quantity.ts';
import { type FieldError, invalid } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';

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

function validateLimitRange({ spec }: LimitRange): FieldError[] {
  return (spec?.limits ?? []).flatMap((item, i) => validateItem(item, `spec.limits[${i}]`));
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
