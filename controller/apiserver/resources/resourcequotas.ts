import type { IResourceQuota } from 'kubernetes-models/v1/ResourceQuota';
import { Quantity } from '#api/meta/quantity.ts';
import { type FieldError, invalid, required } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { age } from './printing/cells.ts';
import { ageColumn, nameColumn, text } from './printing/columns.ts';
import { validateImmutable } from './validation/format.ts';
import { isCounted, validateQuotaName } from './validation/quota-names.ts';

type ResourceQuota = Stored<IResourceQuota>;
type Amounts = Readonly<Record<string, string | number>>;

function validateHard(hard: Amounts, path: string): FieldError[] {
  return Object.entries(hard).flatMap(([name, value]) => {
    const at = `${path}[${name}]`;
    const quantity = Quantity.parse(value);
    const errors = validateQuotaName(name, at);
    if (quantity.sign < 0) errors.push(invalid(at, quantity.toString(), 'must be greater than or equal to 0'));
    if (isCounted(name) && quantity.nano % 1_000_000_000n !== 0n) {
      errors.push(invalid(at, quantity.toString(), 'must be an integer'));
    }
    return errors;
  });
}

const SCOPES: readonly string[] = [
  'Terminating',
  'NotTerminating',
  'BestEffort',
  'NotBestEffort',
  'PriorityClass',
  'CrossNamespacePodAffinity',
  'VolumeAttributesClass',
];
/** Of these pairs no object can be in both. */
const CONFLICTS = [
  ['BestEffort', 'NotBestEffort'],
  ['Terminating', 'NotTerminating'],
] as const;
const COMPUTE = /^((requests|limits)\.)?(cpu|memory)$/;
const OF_CLAIMS = /^(persistentvolumeclaims|requests\.storage|count\/persistentvolumeclaims)$/;

/** Pods that ask for nothing are only counted. */
function isOfScope(scope: string, resource: string): boolean {
  if (scope === 'BestEffort') return resource === 'pods';
  if (scope === 'VolumeAttributesClass') return OF_CLAIMS.test(resource);
  return resource === 'pods' || COMPUTE.test(resource);
}

function validateScopes(scopes: readonly string[], resources: readonly string[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const scope of scopes) {
    if (!SCOPES.includes(scope)) errors.push(invalid(path, scopes, 'unsupported scope'));
    else if (!resources.every((resource) => isOfScope(scope, resource))) {
      errors.push(invalid(path, scopes, 'unsupported scope applied to resource'));
    }
  }
  const isConflict = CONFLICTS.some((pair) => pair.every((scope) => scopes.includes(scope)));
  return isConflict ? [...errors, invalid(path, scopes, 'conflicting scopes')] : errors;
}

type Requirement = NonNullable<
  NonNullable<NonNullable<ResourceQuota['spec']>['scopeSelector']>['matchExpressions']
>[number];

/** Scopes that are true or false have nothing to compare. */
function validateRequirement({ scopeName, operator, values = [] }: Requirement, path: string): FieldError[] {
  const isPlain = !['PriorityClass', 'VolumeAttributesClass'].includes(scopeName);
  const at = `${path}.values`;
  if (isPlain && operator !== 'Exists') {
    const message =
      "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
    return [invalid(`${path}.operator`, operator ?? '', message)];
  }
  switch (operator) {
    case 'In':
    case 'NotIn':
      return values.length > 0
        ? []
        : [required(at, "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector")];
    case 'Exists':
    case 'DoesNotExist':
      return values.length === 0
        ? []
        : [invalid(at, values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector")];
    default:
      return [invalid(`${path}.operator`, operator ?? '', 'not a valid selector operator')];
  }
}

function validateQuota({ spec }: ResourceQuota): FieldError[] {
  const hard = (spec?.hard ?? {}) as Amounts;
  const names = Object.keys(hard);
  const expressions = spec?.scopeSelector?.matchExpressions ?? [];
  const path = 'spec.scopeSelector.matchExpressions';
  return [
    ...validateHard(hard, 'spec.hard'),
    ...validateScopes(spec?.scopes ?? [], names, 'spec.scopes'),
    ...validateScopes(
      expressions.map(({ scopeName }) => scopeName),
      names,
      path,
    ),
    ...expressions.flatMap((expression, i) => validateRequirement(expression, `${path}[${i}]`)),
  ];
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
  validateUpdate: (quota, old) => [
    ...validateImmutable(quota.spec?.scopes, old.spec?.scopes, 'spec.scopes'),
    ...validateImmutable(quota.spec?.scopeSelector, old.spec?.scopeSelector, 'spec.scopeSelector'),
  ],
  validateStatusUpdate: ({ status }) => [
    ...validateHard((status?.hard ?? {}) as Amounts, 'status.hard'),
    ...validateHard((status?.used ?? {}) as Amounts, 'status.used'),
  ],
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
