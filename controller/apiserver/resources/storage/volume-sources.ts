import { type FieldError, invalid, required } from '#api/object/field-error.ts';
import { validateRange } from '../validation/format.ts';

/** The fields of one kind of volume; which they are is the type table's matter. */
export type SourceFields = Readonly<Record<string, unknown>>;

/** What each kind cannot do without, as pods and PersistentVolumes have it in common. */
const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  awsElasticBlockStore: ['volumeID'],
  azureDisk: ['diskName', 'diskURI'],
  azureFile: ['secretName', 'shareName'],
  cephfs: ['monitors'],
  cinder: ['volumeID'],
  flexVolume: ['driver'],
  gcePersistentDisk: ['pdName'],
  gitRepo: ['repository'],
  glusterfs: ['endpoints', 'path'],
  iscsi: ['targetPortal', 'iqn'],
  local: ['path'],
  nfs: ['server', 'path'],
  photonPersistentDisk: ['pdID'],
  portworxVolume: ['volumeID'],
  quobyte: ['registry', 'volume'],
  rbd: ['monitors', 'image'],
  scaleIO: ['gateway', 'system', 'volumeName'],
  vsphereVolume: ['volumePath'],
};

const PARTITIONS = { from: 0, to: 255 };
const LUNS = { from: 0, to: 255 };
const isAbsent = (value: unknown): boolean =>
  value === undefined || value === '' || (Array.isArray(value) && value.length === 0);

const validatePartition = ({ partition }: SourceFields, path: string): FieldError[] =>
  partition === undefined ? [] : validateRange(partition as number, PARTITIONS, `${path}.partition`);

const BACKSTEP = "must not contain '..'";

/** A path on a node that stays where it says. */
export function validateNoBackstep(value: unknown, path: string): FieldError[] {
  return typeof value === 'string' && value.split('/').includes('..') ? [invalid(path, value, BACKSTEP)] : [];
}

function validateIscsi(source: SourceFields, path: string): FieldError[] {
  const { iqn, lun = 0, chapAuthDiscovery, chapAuthSession, secretRef } = source;
  const errors: FieldError[] = [];
  if (typeof iqn === 'string' && iqn !== '' && !/^(iqn\.|eui\.|naa\.)/.test(iqn)) {
    errors.push(invalid(`${path}.iqn`, iqn, 'must be valid format starting with iqn, eui, or naa'));
  }
  errors.push(...validateRange(lun as number, LUNS, `${path}.lun`));
  if ((chapAuthDiscovery || chapAuthSession) && secretRef === undefined) errors.push(required(`${path}.secretRef`));
  return errors;
}

function validateFibreChannel({ targetWWNs, wwids, lun }: SourceFields, path: string): FieldError[] {
  if (isAbsent(targetWWNs) && isAbsent(wwids)) {
    return [required(`${path}.targetWWNs`, 'must specify either targetWWNs or wwids, but not both')];
  }
  if (!isAbsent(targetWWNs) && !isAbsent(wwids)) {
    return [invalid(`${path}.targetWWNs`, targetWWNs, 'targetWWNs and wwids can not be specified simultaneously')];
  }
  if (isAbsent(targetWWNs)) return [];
  if (lun === undefined) return [required(`${path}.lun`, 'lun is required if targetWWNs is specified')];
  return validateRange(lun as number, LUNS, `${path}.lun`);
}

function validateFlocker({ datasetName, datasetUUID }: SourceFields, path: string): FieldError[] {
  if (isAbsent(datasetName) && isAbsent(datasetUUID)) {
    return [required(`${path}.datasetName`, 'one of datasetName and datasetUUID is required')];
  }
  if (!isAbsent(datasetName) && !isAbsent(datasetUUID)) {
    return [invalid(path, 'resource', 'datasetName and datasetUUID can not be specified simultaneously')];
  }
  return typeof datasetName === 'string' && datasetName.includes('/')
    ? [invalid(`${path}.datasetName`, datasetName, "must not contain '/'")]
    : [];
}

type SourceRule = (source: SourceFields, path: string) => FieldError[];

const RULES: Readonly<Record<string, SourceRule>> = {
  awsElasticBlockStore: validatePartition,
  gcePersistentDisk: validatePartition,
  fc: validateFibreChannel,
  flocker: validateFlocker,
  iscsi: validateIscsi,
  local: ({ path: file }, path) => validateNoBackstep(file, `${path}.path`),
  nfs: ({ path: directory }, path) =>
    typeof directory === 'string' && directory !== '' && !directory.startsWith('/')
      ? [invalid(`${path}.path`, directory, 'must be an absolute path')]
      : [],
};

/** `kind` is the name of the field that holds the source; unknown kinds have no rules here. */
export function validateVolumeSource(kind: string, source: SourceFields, path: string): FieldError[] {
  const needed = Object.hasOwn(REQUIRED, kind) ? (REQUIRED[kind] as readonly string[]) : [];
  const errors = needed.filter((field) => isAbsent(source[field])).map((field) => required(`${path}.${field}`));
  const rule = Object.hasOwn(RULES, kind) ? RULES[kind] : undefined;
  return rule === undefined ? errors : [...errors, ...rule(source, path)];
}

/** Defaults of the kinds that have some; `source` is changed. */
const DEFAULTS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  azureDisk: { cachingMode: 'ReadWrite', kind: 'Shared', fsType: 'ext4', readOnly: false },
  hostPath: { type: '' },
  iscsi: { iscsiInterface: 'default' },
  rbd: { pool: 'rbd', user: 'admin', keyring: '/etc/ceph/keyring' },
  scaleIO: { storageMode: 'ThinProvisioned', fsType: 'xfs' },
};

/** `volume`: anything that holds sources by the name of their kind. */
export function applySourceDefaults(volume: object): void {
  for (const [kind, source] of Object.entries(volume)) {
    if (!Object.hasOwn(DEFAULTS, kind) || typeof source !== 'object' || source === null) continue;
    const fields = source as Record<string, unknown>;
    for (const [field, value] of Object.entries(DEFAULTS[kind] ?? {})) {
      if (fields[field] === undefined || (fields[field] === '' && value !== '')) fields[field] = value;
    }
  }
}
