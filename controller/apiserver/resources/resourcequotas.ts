import type { IResourceQuota } from 'kubernetes-models/v1/ResourceQuota';
import { Quantity } from '#api/meta/quantity.ts';
import { type FieldError, invalid } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { age } from './printing/cells.ts';
import { ageColumn, nameColumn, text } from './printing/columns.ts';
import { validateImmutable } from './validation/format.ts';

type ResourceQuota = Stored<IResourceQuota>;
type Amounts = Readonly<Record<string, string | number>>;

function validateQuota({ spec }: ResourceQuota): FieldError[] {
  return Object.entries((spec?.hard ?? {}) as Amounts).flatMap(([name, value]) =>
    Quantity.parse(value).sign < 0
      ? [invalid(`spec.hard[${name}]`, String(value), 'must be greater than or equal to 0')]
      : [],
  );
}

/** `cpu: 1/2, pods: 3/10` for the resources that `wanted` keeps. */
function usageCell({ status }: ResourceQuota, wanted: (name: string) => boolean): string {
  const hard = (status?.hard ?? {}) as Amounts;
  const used = (status?.used ?? {}) as Amounts;
  return Object.keys(hard)
    .filter(wanted)
    .sort()
    .map((name) => `${name}: ${used[name] ?? 0}/${hard[name]}`)
    .join(', ');
}

const isLimit = (name: string): boolean => name.startsWith('limits.');

export const resourceQuotas: ResourceDefinition = defineResource<ResourceQuota>({
  group: '',
  version: 'v1',
  resource: 'resourcequotas',
  kind: 'ResourceQuota',
  namespaced: true,
  shortNames: ['quota'],
  hasStatus: true,
  prepareForCreate(quota) {
    quota.status = {};
  },
  validate: validateQuota,
  validateUpdate: (quota, old) => validateImmutable(quota.spec?.scopes, old.spec?.scopes, 'spec.scopes'),
  columns: [
    nameColumn,
    text('Request', 'Used and allowed amounts of everything but limits.'),
    text('Limit', 'Used and allowed sums of limits.'),
    ageColumn,
  ],
  tableRow: (quota, nowMs) => [
    quota.metadata.name,
    usageCell(quota, (name) => !isLimit(name)),
    usageCell(quota, isLimit),
    age(quota, nowMs),
  ],
});
