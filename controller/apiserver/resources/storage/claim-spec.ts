import { deepEqual } from '#api/object/deep-equal.ts';
import { type FieldError, invalid, required } from '#api/object/field-error.ts';
import type { PersistentVolumeClaim } from '#api/object/kinds.ts';
import { validateDnsSubdomain, validateOptionalOneOf } from '../validation/format.ts';
import { validateLabelSelector } from '../validation/label-selector.ts';
import { validateAccessModes } from './access-modes.ts';
import { validatePositive } from './amounts.ts';

export type ClaimSpec = NonNullable<PersistentVolumeClaim['spec']>;

export const VOLUME_MODES: readonly string[] = ['Block', 'Filesystem'];
const SNAPSHOT_GROUP = 'snapshot.storage.k8s.io';

interface DataSource {
  readonly apiGroup?: string;
  readonly kind?: string;
  readonly name?: string;
  readonly namespace?: string;
}

const isClaimOrSnapshot = ({ apiGroup = '', kind }: DataSource): boolean =>
  (apiGroup === '' && kind === 'PersistentVolumeClaim') || (apiGroup === SNAPSHOT_GROUP && kind === 'VolumeSnapshot');

/** `dataSource` is the older field and knows two kinds; `dataSourceRef` knows any. Where they can, both say the same. */
export function normalizeDataSources(spec: ClaimSpec): void {
  if (spec.dataSource !== undefined && !isClaimOrSnapshot(spec.dataSource)) delete spec.dataSource;
  if (spec.dataSource !== undefined && spec.dataSourceRef === undefined) {
    spec.dataSourceRef = { ...spec.dataSource };
  } else if (spec.dataSource === undefined && spec.dataSourceRef !== undefined) {
    const { namespace, ...source } = spec.dataSourceRef;
    if (!namespace) spec.dataSource = source;
  }
}

function validateDataSource(source: DataSource | undefined, path: string): FieldError[] {
  if (source === undefined) return [];
  const { apiGroup, kind, name } = source;
  const errors: FieldError[] = [];
  if (!name) errors.push(required(`${path}.name`));
  if (!kind) errors.push(required(`${path}.kind`));
  if (!apiGroup && kind !== 'PersistentVolumeClaim') {
    const message = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
    errors.push(invalid(path, kind ?? '', message));
  }
  return apiGroup ? [...errors, ...validateDnsSubdomain(apiGroup, `${path}.apiGroup`)] : errors;
}

function validateSources({ dataSource, dataSourceRef }: ClaimSpec, path: string): FieldError[] {
  const errors = [
    ...validateDataSource(dataSource, `${path}.dataSource`),
    ...validateDataSource(dataSourceRef, `${path}.dataSourceRef`),
  ];
  const identity = ({ apiGroup = '', kind, name }: DataSource) => ({ apiGroup, kind, name });
  if (dataSource !== undefined && dataSourceRef !== undefined) {
    if (!deepEqual(identity(dataSource), identity(dataSourceRef))) {
      errors.push(invalid(path, `${path}.dataSource`, 'must match dataSourceRef'));
    }
  }
  return errors;
}

/** The spec of a claim, also as the template of a pod's own one. */
export function validateClaimSpec(spec: ClaimSpec | undefined, path: string): FieldError[] {
  const { accessModes = [], selector, resources, storageClassName, volumeAttributesClassName } = spec ?? {};
  const storage = resources?.requests?.storage;
  const at = `${path}.resources[storage]`;
  return [
    ...validateAccessModes(accessModes, `${path}.accessModes`, 'at least 1 access mode is required'),
    ...validateLabelSelector(selector, `${path}.selector`),
    ...(storage === undefined ? [required(at)] : validatePositive(storage, at)),
    ...(storageClassName ? validateDnsSubdomain(storageClassName, `${path}.storageClassName`) : []),
    ...validateOptionalOneOf(spec?.volumeMode, VOLUME_MODES, `${path}.volumeMode`),
    ...validateSources(spec ?? {}, path),
    ...(volumeAttributesClassName
      ? validateDnsSubdomain(volumeAttributesClassName, `${path}.volumeAttributesClassName`)
      : []),
  ];
}
