import type { ICSIDriver } from 'kubernetes-models/storage.k8s.io/v1/CSIDriver';
import { deepEqual } from '#api/object/deep-equal.ts';
import { duplicate, type FieldError, invalid, notSupported, required } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { column, nameColumn } from './printing/columns.ts';
import { validateImmutable, validateOptionalOneOf } from './validation/format.ts';

type CSIDriver = Stored<ICSIDriver>;
type Spec = NonNullable<CSIDriver['spec']>;

const GROUP_POLICIES = ['File', 'None', 'ReadWriteOnceWithFSType'];
const LIFECYCLE_MODES = ['Persistent', 'Ephemeral'];
const MIN_TOKEN_S = 600;
const MAX_TOKEN_S = 2 ** 32;
const MIN_UPDATE_PERIOD_S = 10;

function applyDefaults({ spec }: CSIDriver): void {
  if (spec === undefined) return;
  spec.attachRequired ??= true;
  spec.podInfoOnMount ??= false;
  spec.storageCapacity ??= false;
  spec.fsGroupPolicy ??= 'ReadWriteOnceWithFSType';
  spec.requiresRepublish ??= false;
  spec.seLinuxMount ??= false;
  if ((spec.volumeLifecycleModes ?? []).length === 0) spec.volumeLifecycleModes = ['Persistent'];
}

function validateTokenRequests(requests: Spec['tokenRequests']): FieldError[] {
  const seen = new Set<string>();
  return (requests ?? []).flatMap(({ audience = '', expirationSeconds }, i) => {
    const path = `spec.tokenRequests[${i}]`;
    if (seen.has(audience)) return [duplicate(`${path}.audience`, audience)];
    seen.add(audience);
    if (expirationSeconds === undefined) return [];
    const refuse = (detail: string) => [invalid(`${path}.expirationSeconds`, expirationSeconds, detail)];
    if (expirationSeconds < MIN_TOKEN_S) return refuse('may not specify a duration less than 10 minutes');
    return expirationSeconds > MAX_TOKEN_S ? refuse('may not specify a duration larger than 2^32 seconds') : [];
  });
}

function validateDriver({ spec }: CSIDriver): FieldError[] {
  if (spec === undefined) return [required('spec')];
  const { tokenRequests, nodeAllocatableUpdatePeriodSeconds: period, serviceAccountTokenInSecrets } = spec;
  const errors = [
    ...validateOptionalOneOf(spec.fsGroupPolicy, GROUP_POLICIES, 'spec.fsGroupPolicy'),
    ...validateTokenRequests(tokenRequests),
    ...(spec.volumeLifecycleModes ?? [])
      .filter((mode) => !LIFECYCLE_MODES.includes(mode))
      .map((mode) => notSupported('spec.volumeLifecycleModes', mode, LIFECYCLE_MODES)),
  ];
  if (period !== undefined && period < MIN_UPDATE_PERIOD_S) {
    const detail = `must be greater than or equal to ${MIN_UPDATE_PERIOD_S} seconds`;
    errors.push(invalid('spec.nodeAllocatableUpdatePeriodSeconds', period, detail));
  }
  if (serviceAccountTokenInSecrets !== undefined && (tokenRequests ?? []).length === 0) {
    const detail = 'serviceAccountTokenInSecrets is set but no tokenRequests are specified';
    errors.push(invalid('spec.serviceAccountTokenInSecrets', serviceAccountTokenInSecrets, detail));
  }
  return errors;
}

export const csiDrivers: ResourceDefinition = defineResource<CSIDriver>({
  group: 'storage.k8s.io',
  version: 'v1',
  resource: 'csidrivers',
  kind: 'CSIDriver',
  namespaced: false,
  allowUnconditionalUpdate: false,
  applyDefaults,
  // Counts changes only: a new driver has no generation.
  prepareForUpdate(driver, old) {
    if (!deepEqual(driver.spec, old.spec)) driver.metadata.generation = (old.metadata.generation ?? 0) + 1;
  },
  validate: validateDriver,
  validateUpdate: ({ spec }, old) => [
    ...validateImmutable(spec?.attachRequired, old.spec?.attachRequired, 'spec.attachedRequired'),
    ...validateImmutable(spec?.volumeLifecycleModes, old.spec?.volumeLifecycleModes, 'spec.volumeLifecycleModes'),
  ],
  columns: [
    nameColumn,
    column('AttachRequired', 'boolean', 'Whether its volumes are attached before they are mounted.'),
    column('PodInfoOnMount', 'boolean', 'Whether it is told of the pod when it mounts.'),
    column('StorageCapacity', 'boolean', 'Whether pods wait for capacity that it reports.'),
  ],
  tableRow: ({ metadata, spec }) => [
    metadata.name,
    spec?.attachRequired ?? true,
    spec?.podInfoOnMount ?? false,
    spec?.storageCapacity ?? false,
  ],
});
