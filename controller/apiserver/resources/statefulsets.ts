import { dns1123Label } from '#api/meta/names.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import { type FieldError, forbiddenField, invalid, notSupported, required } from '#api/object/field-error.ts';
import type { StatefulSet } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { applyTemplateDefaults } from './pod/defaults.ts';
import type { PodTemplateSpec, Volume } from './pod/pod-types.ts';
import { validatePodTemplate } from './pod/validation.ts';
import { templateWarnings } from './pod/warnings.ts';
import { age, containerCells } from './printing/cells.ts';
import { ageColumn, containerColumns, nameColumn, text } from './printing/columns.ts';
import { scale } from './scale.ts';
import { validateDnsLabel, validateNonNegative } from './validation/format.ts';
import { amountOf, validateAmount, validateAtMostAll } from './validation/int-or-percent.ts';
import { validateNoDecrement, validateRunsForEver, validateWorkloadSelector } from './workload/replica-validation.ts';

type Spec = NonNullable<StatefulSet['spec']>;

const ROLLING_UPDATE = 'RollingUpdate';
const ON_DELETE = 'OnDelete';
const RETENTION = ['Retain', 'Delete'];
const DEFAULT_HISTORY = 10;

/** Claim templates are shown as the claims they become, unbound and in one volume mode. */
function applyClaimDefaults(claims: NonNullable<Spec['volumeClaimTemplates']>): void {
  for (const claim of claims) {
    claim.apiVersion = 'v1';
    claim.kind = 'PersistentVolumeClaim';
    if (claim.spec !== undefined) claim.spec.volumeMode ??= 'Filesystem';
    claim.status ??= {};
    claim.status.phase ||= 'Pending';
  }
}

function applyDefaults({ spec }: StatefulSet): void {
  if (spec === undefined) return;
  spec.podManagementPolicy ||= 'OrderedReady';
  spec.updateStrategy ??= {};
  spec.updateStrategy.type ||= ROLLING_UPDATE;
  if (spec.updateStrategy.type === ROLLING_UPDATE) {
    spec.updateStrategy.rollingUpdate ??= {};
    spec.updateStrategy.rollingUpdate.partition ??= 0;
    spec.updateStrategy.rollingUpdate.maxUnavailable ??= 1;
  }
  spec.persistentVolumeClaimRetentionPolicy ??= {};
  spec.persistentVolumeClaimRetentionPolicy.whenDeleted ||= 'Retain';
  spec.persistentVolumeClaimRetentionPolicy.whenScaled ||= 'Retain';
  spec.replicas ??= 1;
  spec.revisionHistoryLimit ??= DEFAULT_HISTORY;
  applyClaimDefaults(spec.volumeClaimTemplates ?? []);
  applyTemplateDefaults(spec.template);
}

type Strategy = NonNullable<Spec['updateStrategy']>;

function validateRollingUpdate(rollingUpdate: NonNullable<Strategy['rollingUpdate']>, path: string): FieldError[] {
  const errors = validateNonNegative(rollingUpdate.partition, `${path}.partition`);
  const { maxUnavailable } = rollingUpdate;
  if (maxUnavailable === undefined) return errors;
  const at = `${path}.maxUnavailable`;
  errors.push(...validateAmount(maxUnavailable, at));
  if (amountOf(maxUnavailable) === 0) errors.push(invalid(at, maxUnavailable, 'cannot be 0'));
  return [...errors, ...validateAtMostAll(maxUnavailable, at)];
}

function validateStrategy(strategy: Strategy | undefined): FieldError[] {
  const path = 'spec.updateStrategy';
  const { type, rollingUpdate } = strategy ?? {};
  switch (type as string | undefined) {
    case undefined:
    case '':
      return [required(path)];
    case ON_DELETE:
      return rollingUpdate === undefined
        ? []
        : [invalid(`${path}.rollingUpdate`, rollingUpdate, `only allowed for updateStrategy '${ROLLING_UPDATE}'`)];
    case ROLLING_UPDATE:
      return rollingUpdate === undefined ? [] : validateRollingUpdate(rollingUpdate, `${path}.rollingUpdate`);
    default:
      return [invalid(path, strategy, `must be '${ROLLING_UPDATE}' or '${ON_DELETE}'`)];
  }
}

function validatePodManagement(policy: string | undefined): FieldError[] {
  const path = 'spec.podManagementPolicy';
  if (!policy) return [required(path)];
  return policy === 'OrderedReady' || policy === 'Parallel'
    ? []
    : [invalid(path, policy, "must be 'OrderedReady' or 'Parallel'")];
}

function validateRetention(policy: Spec['persistentVolumeClaimRetentionPolicy']): FieldError[] {
  return (['whenDeleted', 'whenScaled'] as const).flatMap((field) => {
    const value = policy?.[field] ?? '';
    const path = `spec.persistentVolumeClaimRetentionPolicy.${field}`;
    return policy === undefined || RETENTION.includes(value) ? [] : [notSupported(path, value, RETENTION)];
  });
}

/** Containers may mount the claims that every pod gets besides the volumes of the template. */
function withClaims(template: PodTemplateSpec, claims: Spec['volumeClaimTemplates']): PodTemplateSpec {
  const names = new Set((claims ?? []).map((claim) => claim.metadata?.name ?? ''));
  const own = (template.spec?.volumes ?? []).filter(({ name }) => !names.has(name));
  const claimed = [...names].map((name) => ({ name, persistentVolumeClaim: { claimName: 'claim' } }));
  if (template.spec === undefined || claimed.length === 0) return template;
  return { ...template, spec: { ...template.spec, volumes: [...own, ...claimed] as Volume[] } };
}

function validateStatefulSet({ spec }: StatefulSet): FieldError[] {
  const template = spec?.template;
  return [
    ...validatePodManagement(spec?.podManagementPolicy),
    ...validateStrategy(spec?.updateStrategy),
    ...validateRetention(spec?.persistentVolumeClaimRetentionPolicy),
    ...validateNonNegative(spec?.replicas, 'spec.replicas'),
    ...validateNonNegative(spec?.minReadySeconds, 'spec.minReadySeconds'),
    ...validateNonNegative(spec?.ordinals?.start, 'spec.ordinals.start'),
    ...validateWorkloadSelector(spec?.selector, template, 'statefulset'),
    ...(template === undefined
      ? [required('spec.template')]
      : [
          ...validatePodTemplate(withClaims(template, spec?.volumeClaimTemplates), 'spec.template'),
          ...validateRunsForEver(template, 'StatefulSet'),
        ]),
  ];
}

const MAY_CHANGE = [
  'replicas',
  'ordinals',
  'template',
  'updateStrategy',
  'revisionHistoryLimit',
  'persistentVolumeClaimRetentionPolicy',
  'minReadySeconds',
] as const satisfies readonly (keyof Spec)[];

function validateStatefulSetUpdate(statefulSet: StatefulSet, old: StatefulSet): FieldError[] {
  const undone = { ...statefulSet.spec } as Record<string, unknown>;
  for (const field of MAY_CHANGE) undone[field] = old.spec?.[field];
  if (deepEqual(undone, old.spec)) return [];
  const fields = MAY_CHANGE.slice(0, -1).map((field) => `'${field}'`);
  return [
    forbiddenField(
      'spec',
      `updates to statefulset spec for fields other than ${fields.join(', ')} and 'minReadySeconds' are forbidden`,
    ),
  ];
}

const COUNTS = ['replicas', 'readyReplicas', 'currentReplicas', 'updatedReplicas', 'availableReplicas'] as const;

function validateStatefulSetStatus({ status }: StatefulSet, old: StatefulSet): FieldError[] {
  const errors = [...COUNTS, 'observedGeneration' as const, 'collisionCount' as const].flatMap((field) =>
    validateNonNegative(status?.[field], `status.${field}`),
  );
  for (const field of COUNTS.slice(1)) {
    if ((status?.[field] ?? 0) > (status?.replicas ?? 0)) {
      errors.push(invalid(`status.${field}`, status?.[field], 'cannot be greater than status.replicas'));
    }
  }
  if ((status?.availableReplicas ?? 0) > (status?.readyReplicas ?? 0)) {
    errors.push(
      invalid('status.availableReplicas', status?.availableReplicas, 'cannot be greater than status.readyReplicas'),
    );
  }
  return [
    ...errors,
    ...validateNoDecrement(status?.collisionCount, old.status?.collisionCount, 'status.collisionCount'),
  ];
}

export const statefulSets: ResourceDefinition = defineResource<StatefulSet>({
  group: 'apps',
  version: 'v1',
  resource: 'statefulsets',
  kind: 'StatefulSet',
  namespaced: true,
  shortNames: ['sts'],
  categories: ['all'],
  hasStatus: true,
  hasGeneration: true,
  subresources: [scale],
  // Its pods carry the name as part of their host names.
  validateName: dns1123Label,
  applyDefaults,
  prepareForCreate(statefulSet) {
    statefulSet.status = { replicas: 0 };
  },
  validate: (statefulSet, { request }) => [
    ...validateStatefulSet(statefulSet),
    // Older objects may name a Service that cannot exist; it is no reason to refuse their next change.
    ...(request.info.verb === 'create' && statefulSet.spec?.serviceName
      ? validateDnsLabel(statefulSet.spec.serviceName, 'spec.serviceName')
      : []),
  ],
  validateUpdate: validateStatefulSetUpdate,
  validateStatusUpdate: validateStatefulSetStatus,
  warnings: (statefulSet, old) => [
    ...templateWarnings(statefulSet.spec?.template, old?.spec?.template, 'spec.template'),
    ...(statefulSet.spec?.revisionHistoryLimit !== undefined && statefulSet.spec.revisionHistoryLimit < 0
      ? ['spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended']
      : []),
  ],
  columns: [nameColumn, text('Ready', 'Ready pods of those asked for.'), ageColumn, ...containerColumns],
  tableRow: (statefulSet, nowMs) => [
    statefulSet.metadata.name,
    `${statefulSet.status?.readyReplicas ?? 0}/${statefulSet.spec?.replicas ?? 0}`,
    age(statefulSet, nowMs),
    ...containerCells(statefulSet.spec?.template?.spec?.containers),
  ],
});
