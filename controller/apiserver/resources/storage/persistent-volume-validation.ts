import { deepEqual } from '#api/object/deep-equal.ts';
import { type FieldError, forbiddenField, notSupported, required } from '#api/object/field-error.ts';
import type { PersistentVolume } from '#api/object/kinds.ts';
import { validateNodeSelector } from '../pod/scheduling.ts';
import { validateDnsSubdomain, validateImmutable, validateOptionalOneOf } from '../validation/format.ts';
import { validateAccessModes } from './access-modes.ts';
import { validateAmounts, validatePositive } from './amounts.ts';
import { VOLUME_MODES } from './claim-spec.ts';
import { validateDriverName } from './validate-class.ts';
import { type SourceFields, validateNoBackstep, validateVolumeSource } from './volume-sources.ts';

export type VolumeSpec = NonNullable<PersistentVolume['spec']>;

/** Everything that is no source of a volume. */
const COMMON: ReadonlySet<string> = new Set<keyof VolumeSpec>([
  'accessModes',
  'capacity',
  'claimRef',
  'mountOptions',
  'nodeAffinity',
  'persistentVolumeReclaimPolicy',
  'storageClassName',
  'volumeAttributesClassName',
  'volumeMode',
]);
const RECLAIM_POLICIES = ['Delete', 'Recycle', 'Retain'];

/** The sources that a spec names, by kind; a valid one names exactly one. */
function sourcesOf(spec: VolumeSpec): [kind: string, source: SourceFields][] {
  return Object.entries(spec).filter(([field, value]) => !COMMON.has(field) && value !== undefined) as [
    string,
    SourceFields,
  ][];
}

function validateCapacity(capacity: VolumeSpec['capacity'], path: string): FieldError[] {
  const names = Object.keys(capacity ?? {});
  if (names.length === 0) return [required(path)];
  const errors = names.includes('storage') && names.length === 1 ? [] : [notSupported(path, capacity, ['storage'])];
  errors.push(...validateAmounts(capacity, path));
  const { storage } = (capacity ?? {}) as Record<string, unknown>;
  return storage === undefined ? errors : [...errors, ...validatePositive(storage, `${path}[storage]`)];
}

type Csi = NonNullable<VolumeSpec['csi']>;

const SECRETS = [
  'controllerPublishSecretRef',
  'controllerExpandSecretRef',
  'nodeStageSecretRef',
  'nodePublishSecretRef',
  'nodeExpandSecretRef',
] as const satisfies readonly (keyof Csi)[];

function validateCsi(csi: Csi, path: string): FieldError[] {
  return [
    ...validateDriverName(csi.driver, `${path}.driver`),
    ...(csi.volumeHandle ? [] : [required(`${path}.volumeHandle`)]),
    ...SECRETS.flatMap((field) => {
      const secret = csi[field];
      if (secret === undefined) return [];
      return (['name', 'namespace'] as const).flatMap((part) =>
        secret[part] ? [] : [required(`${path}.${field}.${part}`)],
      );
    }),
  ];
}

function validateSource(kind: string, source: SourceFields, path: string): FieldError[] {
  switch (kind) {
    case 'csi':
      return validateCsi(source as unknown as Csi, path);
    case 'hostPath':
      return source.path ? validateNoBackstep(source.path, `${path}.path`) : [required(`${path}.path`)];
    default:
      return validateVolumeSource(kind, source, path);
  }
}

function validateSources(spec: VolumeSpec, path: string): FieldError[] {
  const [first, ...more] = sourcesOf(spec);
  if (first === undefined) return [required(path, 'must specify a volume type')];
  const [kind, source] = first;
  const errors = [
    ...validateSource(kind, source, `${path}.${kind}`),
    ...more.map(([other]) => forbiddenField(`${path}.${other}`, 'may not specify more than 1 volume type')),
  ];
  if (kind === 'local' && spec.nodeAffinity?.required === undefined) {
    errors.push(required(`${path}.nodeAffinity`, 'Local volume requires node affinity'));
  }
  if (kind === 'hostPath' && source.path === '/' && spec.persistentVolumeReclaimPolicy === 'Recycle') {
    const message = "may not be 'recycle' for a hostPath mount of '/'";
    errors.push(forbiddenField(`${path}.persistentVolumeReclaimPolicy`, message));
  }
  return errors;
}

function validateNodeAffinity(affinity: VolumeSpec['nodeAffinity'], path: string): FieldError[] {
  if (affinity === undefined) return [];
  return affinity.required === undefined
    ? [required(`${path}.required`, 'must specify required node constraints')]
    : validateNodeSelector(affinity.required, `${path}.required`);
}

function validateAttributesClass(spec: VolumeSpec, path: string): FieldError[] {
  const name = spec.volumeAttributesClassName;
  if (name === undefined) return [];
  const at = `${path}.volumeAttributesClassName`;
  if (name === '') return [required(at, 'an empty string is disallowed')];
  return [
    ...validateDnsSubdomain(name, at),
    ...(spec.csi === undefined
      ? [required(`${path}.csi`, 'has to be specified when using volumeAttributesClassName')]
      : []),
  ];
}

export function validateVolumeSpec(spec: VolumeSpec | undefined, path: string): FieldError[] {
  const { accessModes = [], capacity, nodeAffinity, storageClassName } = spec ?? {};
  return [
    ...validateAccessModes(accessModes, `${path}.accessModes`, ''),
    ...validateCapacity(capacity, `${path}.capacity`),
    ...validateOptionalOneOf(
      spec?.persistentVolumeReclaimPolicy,
      RECLAIM_POLICIES,
      `${path}.persistentVolumeReclaimPolicy`,
    ),
    ...validateNodeAffinity(nodeAffinity, `${path}.nodeAffinity`),
    ...validateSources(spec ?? {}, path),
    ...(storageClassName ? validateDnsSubdomain(storageClassName, `${path}.storageClassName`) : []),
    ...validateOptionalOneOf(spec?.volumeMode, VOLUME_MODES, `${path}.volumeMode`),
    ...validateAttributesClass(spec ?? {}, path),
  ];
}

/** Secrets for expansion may be given later; what the volume is may not change. */
function withoutExpandSecrets(sources: [kind: string, source: SourceFields][], old: VolumeSpec): unknown {
  return sources.map(([kind, source]) => {
    if (kind !== 'csi') return [kind, source];
    const kept = { ...source } as Record<string, unknown>;
    for (const field of ['controllerExpandSecretRef', 'nodeExpandSecretRef'] as const) {
      if (old.csi?.[field] === undefined) delete kept[field];
    }
    return [kind, kept];
  });
}

export function validateVolumeUpdate(volume: PersistentVolume, old: PersistentVolume): FieldError[] {
  const spec = volume.spec ?? {};
  const oldSpec = old.spec ?? {};
  const errors: FieldError[] = [];
  if (!deepEqual(withoutExpandSecrets(sourcesOf(spec), oldSpec), sourcesOf(oldSpec))) {
    const message = 'spec.persistentvolumesource is immutable after creation';
    errors.push(forbiddenField('spec.persistentvolumesource', message));
  }
  errors.push(...validateImmutable(spec.volumeMode, oldSpec.volumeMode, 'volumeMode'));
  if (oldSpec.nodeAffinity !== undefined) {
    errors.push(...validateImmutable(spec.nodeAffinity, oldSpec.nodeAffinity, 'nodeAffinity'));
  }
  const { volumeAttributesClassName: before } = oldSpec;
  const { volumeAttributesClassName: now } = spec;
  if (before !== undefined && now === undefined) {
    errors.push(forbiddenField('spec.volumeAttributesClassName', 'update from non-nil value to nil is forbidden'));
  }
  return errors;
}
