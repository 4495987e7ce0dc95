import { type FieldError, forbiddenField, invalid, missing, notSupported, required } from '#api/object/field-error.ts';
import type { Container, Volume } from './pod-types.ts';
import { hasBackstep, validateRelativePath } from './relative-path.ts';

type Mount = NonNullable<Container['volumeMounts']>[number];

const PROPAGATIONS = ['Bidirectional', 'HostToContainer', 'None'];
const RECURSIONS = ['Disabled', 'Enabled', 'IfPossible'];

function validateMount(mount: Mount, path: string, container: Container): FieldError[] {
  const errors: FieldError[] = [];
  if (mount.subPath && mount.subPathExpr) {
    errors.push(invalid(`${path}.subPathExpr`, mount.subPathExpr, 'subPathExpr and subPath are mutually exclusive'));
  }
  if (mount.subPath) errors.push(...validateRelativePath(mount.subPath, `${path}.subPath`));
  if (mount.subPathExpr) errors.push(...validateRelativePath(mount.subPathExpr, `${path}.subPathExpr`));
  const { mountPropagation } = mount;
  if (mountPropagation !== undefined && !PROPAGATIONS.includes(mountPropagation)) {
    errors.push(notSupported(`${path}.mountPropagation`, mountPropagation, PROPAGATIONS));
  }
  if (mountPropagation === 'Bidirectional' && !container.securityContext?.privileged) {
    errors.push(
      forbiddenField(
        `${path}.mountPropagation`,
        'Bidirectional mount propagation is available only to privileged containers',
      ),
    );
  }
  return [...errors, ...validateRecursion(mount, path)];
}

function validateRecursion({ recursiveReadOnly, readOnly, mountPropagation }: Mount, path: string): FieldError[] {
  const at = `${path}.recursiveReadOnly`;
  if (recursiveReadOnly === undefined || recursiveReadOnly === 'Disabled') return [];
  if (!RECURSIONS.includes(recursiveReadOnly)) return [notSupported(at, recursiveReadOnly, RECURSIONS)];
  const errors: FieldError[] = [];
  if (!readOnly) errors.push(forbiddenField(at, 'may only be specified when readOnly is true'));
  if (mountPropagation !== undefined && mountPropagation !== 'None') {
    errors.push(forbiddenField(at, 'may only be specified when mountPropagation is None or not specified'));
  }
  return errors;
}

/** The pod's volumes by name. */
export type VolumesByName = ReadonlyMap<string, Volume>;

export function validateMounts(container: Container, path: string, volumes: VolumesByName): FieldError[] {
  const points = new Set<string>();
  const devices = new Set((container.volumeDevices ?? []).map(({ devicePath }) => devicePath));
  return (container.volumeMounts ?? []).flatMap((mount, i) => {
    const at = `${path}.volumeMounts[${i}]`;
    const errors: FieldError[] = [];
    if (!mount.name) errors.push(required(`${at}.name`));
    else if (!volumes.has(mount.name)) errors.push(missing(`${at}.name`, mount.name));
    if (!mount.mountPath) errors.push(required(`${at}.mountPath`));
    else if (points.has(mount.mountPath)) errors.push(invalid(`${at}.mountPath`, mount.mountPath, 'must be unique'));
    if (mount.mountPath && devices.has(mount.mountPath)) {
      errors.push(invalid(`${at}.mountPath`, mount.mountPath, 'must not already exist as a path in volumeDevices'));
    }
    points.add(mount.mountPath);
    return [...errors, ...validateMount(mount, at, container)];
  });
}

/** Volumes that are handed in as raw devices. */
export function validateDevices(container: Container, path: string, volumes: VolumesByName): FieldError[] {
  const names = new Set<string>();
  const paths = new Set<string>();
  const mounted = new Set((container.volumeMounts ?? []).map(({ name }) => name));
  return (container.volumeDevices ?? []).flatMap(({ name, devicePath }, i) => {
    const at = `${path}.volumeDevices[${i}]`;
    const errors: FieldError[] = [];
    const volume = volumes.get(name);
    if (!name) errors.push(required(`${at}.name`));
    else if (volume === undefined) errors.push(missing(`${at}.name`, name));
    else if (volume.persistentVolumeClaim === undefined && volume.ephemeral === undefined) {
      const message = 'can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode';
      errors.push(invalid(`${at}.name`, name, message));
    }
    if (names.has(name)) errors.push(invalid(`${at}.name`, name, 'must be unique'));
    if (mounted.has(name)) errors.push(invalid(`${at}.name`, name, 'must not already exist in volumeMounts'));
    if (!devicePath) errors.push(required(`${at}.devicePath`));
    else if (paths.has(devicePath)) errors.push(invalid(`${at}.devicePath`, devicePath, 'must be unique'));
    else if (hasBackstep(devicePath)) {
      errors.push(invalid(`${at}.devicePath`, devicePath, "can not contain backsteps ('..')"));
    }
    names.add(name);
    paths.add(devicePath);
    return errors;
  });
}
