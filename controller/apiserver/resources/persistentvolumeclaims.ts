import { Quantity } from '#api/meta/quantity.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import { type FieldError, forbiddenField } from '#api/object/field-error.ts';
import type { PersistentVolumeClaim } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { age } from './printing/cells.ts';
import { ageColumn, nameColumn, text, wideColumn } from './printing/columns.ts';
import { formatAccessModes } from './storage/access-modes.ts';
import { validateAmounts } from './storage/amounts.ts';
import { type ClaimSpec, normalizeDataSources, validateClaimSpec } from './storage/claim-spec.ts';
import { validateImmutable } from './validation/format.ts';

/** Where the class was named before the spec had a field for it; it still wins. */
export const CLASS_ANNOTATION = 'volume.beta.kubernetes.io/storage-class';
const UNSET = '<unset>';

type Requests = NonNullable<NonNullable<ClaimSpec['resources']>['requests']>;

const storageOf = (list: object | undefined): Quantity => {
  const { storage } = (list ?? {}) as Requests;
  return storage === undefined ? Quantity.zero : Quantity.parse(storage as string | number);
};

/** The new spec with what may change put back. A volume is bound once; a default class may be given later. */
function withAllowedChangesUndone(claim: PersistentVolumeClaim, old: PersistentVolumeClaim): ClaimSpec {
  const oldSpec = old.spec ?? {};
  const undone: ClaimSpec = { ...claim.spec };
  if (!oldSpec.volumeName) undone.volumeName = oldSpec.volumeName;
  const hadClass = oldSpec.storageClassName !== undefined || old.metadata.annotations?.[CLASS_ANNOTATION] !== undefined;
  if (!hadClass) undone.storageClassName = oldSpec.storageClassName;
  if (old.status?.phase === 'Bound') {
    const requests = { ...undone.resources?.requests, storage: oldSpec.resources?.requests?.storage } as Requests;
    undone.resources = { ...undone.resources, requests };
  }
  undone.volumeAttributesClassName = oldSpec.volumeAttributesClassName;
  return undone;
}

function changedFields(spec: ClaimSpec, old: ClaimSpec): string {
  const fields = new Set([...Object.keys(spec), ...Object.keys(old)]) as Set<keyof ClaimSpec>;
  return [...fields]
    .filter((field) => !deepEqual(spec[field], old[field]))
    .map((field) => `spec.${field}`)
    .sort()
    .join(', ');
}

/** An expansion that cannot be done may be taken back, but never below what the volume has. */
function validateSize(claim: PersistentVolumeClaim, old: PersistentVolumeClaim): FieldError[] {
  const wanted = storageOf(claim.spec?.resources?.requests);
  if (wanted.compare(storageOf(old.spec?.resources?.requests)) >= 0) return [];
  return wanted.compare(storageOf(old.status?.capacity)) <= 0
    ? [forbiddenField('spec.resources.requests.storage', 'field can not be less than status.capacity')]
    : [];
}

function validateAttributesClass({ spec }: PersistentVolumeClaim, old: PersistentVolumeClaim): FieldError[] {
  const path = 'spec.volumeAttributesClassName';
  const before = old.spec?.volumeAttributesClassName;
  const now = spec?.volumeAttributesClassName;
  if (before !== undefined && now === undefined) {
    return [forbiddenField(path, 'update from non-nil value to nil is forbidden')];
  }
  return before && now === ''
    ? [forbiddenField(path, 'update from non-nil value to an empty string is forbidden')]
    : [];
}

function validateClaimUpdate(claim: PersistentVolumeClaim, old: PersistentVolumeClaim): FieldError[] {
  const oldSpec = old.spec ?? {};
  const rest = withAllowedChangesUndone(claim, old);
  const annotation = `metadata.annotations[${CLASS_ANNOTATION}]`;
  const [before, now] = [old, claim].map(({ metadata }) => metadata.annotations?.[CLASS_ANNOTATION]);
  const errors: FieldError[] = [];
  if (!deepEqual(rest, oldSpec)) {
    const rule =
      'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims';
    errors.push(forbiddenField('spec', `${rule}\nchanged: ${changedFields(rest, oldSpec)}`));
  }
  // The annotation may give way to the field of the same value.
  if (before !== undefined && !(now === undefined && claim.spec?.storageClassName === before)) {
    errors.push(...validateImmutable(now, before, annotation));
  }
  return [
    ...errors,
    ...validateSize(claim, old),
    ...validateImmutable(claim.spec?.volumeMode, oldSpec.volumeMode, 'volumeMode'),
    ...validateAttributesClass(claim, old),
  ];
}

function phaseCell({ metadata, status }: PersistentVolumeClaim): string {
  return metadata.deletionTimestamp === undefined ? (status?.phase ?? '') : 'Terminating';
}

function row(claim: PersistentVolumeClaim, nowMs: number): unknown[] {
  const { metadata, spec, status } = claim;
  const isBound = Boolean(spec?.volumeName);
  return [
    metadata.name,
    phaseCell(claim),
    spec?.volumeName ?? '',
    isBound ? storageOf(status?.capacity).toString() : '',
    isBound ? formatAccessModes(status?.accessModes) : '',
    metadata.annotations?.[CLASS_ANNOTATION] ?? spec?.storageClassName ?? '',
    spec?.volumeAttributesClassName ?? UNSET,
    age(claim, nowMs),
    spec?.volumeMode ?? UNSET,
  ];
}

export const persistentVolumeClaims: ResourceDefinition = defineResource<PersistentVolumeClaim>({
  group: '',
  version: 'v1',
  resource: 'persistentvolumeclaims',
  kind: 'PersistentVolumeClaim',
  namespaced: true,
  shortNames: ['pvc'],
  hasStatus: true,
  applyDefaults(claim) {
    if (claim.spec !== undefined) claim.spec.volumeMode ??= 'Filesystem';
  },
  prepareForCreate(claim) {
    claim.status = { phase: 'Pending' };
    if (claim.spec !== undefined) normalizeDataSources(claim.spec);
  },
  prepareForUpdate(claim) {
    if (claim.spec !== undefined) normalizeDataSources(claim.spec);
  },
  validate: ({ spec }) => validateClaimSpec(spec, 'spec'),
  validateUpdate: validateClaimUpdate,
  validateStatusUpdate: ({ status }) => [
    ...validateAmounts(status?.capacity, 'status.capacity'),
    ...validateAmounts(status?.allocatedResources, 'status.allocatedResources'),
  ],
  columns: [
    nameColumn,
    text('Status', 'Whether a volume is bound.'),
    text('Volume', 'Name of the bound volume.'),
    text('Capacity', 'Size of the bound volume.'),
    text('Access Modes', 'How pods may mount it.'),
    text('StorageClass', 'Class that it is made or chosen by.'),
    text('VolumeAttributesClass', 'Class of its changeable attributes.'),
    ageColumn,
    wideColumn('VolumeMode', 'A file system or a raw device.'),
  ],
  tableRow: row,
});
