import { type FieldError, forbiddenField, notSupported, required } from '#api/object/field-error.ts';
import type { Container, PodSpec } from './pod-types.ts';
import { containersOf } from './pod-types.ts';

const SYSTEMS = ['linux', 'windows'];
const FOR_WINDOWS = 'cannot be set for a windows pod';

/** What a Windows node has no idea of. */
const LINUX_SPEC = ['hostPID', 'hostIPC', 'shareProcessNamespace', 'hostUsers'] as const;
const LINUX_POD_CONTEXT = [
  'appArmorProfile',
  'seLinuxOptions',
  'seccompProfile',
  'fsGroup',
  'fsGroupChangePolicy',
  'seLinuxChangePolicy',
  'sysctls',
  'runAsUser',
  'runAsGroup',
  'supplementalGroups',
  'supplementalGroupsPolicy',
] as const satisfies readonly (keyof NonNullable<PodSpec['securityContext']>)[];
const LINUX_CONTEXT = [
  'appArmorProfile',
  'seLinuxOptions',
  'seccompProfile',
  'capabilities',
  'readOnlyRootFilesystem',
  'privileged',
  'allowPrivilegeEscalation',
  'procMount',
  'runAsUser',
  'runAsGroup',
] as const satisfies readonly (keyof NonNullable<Container['securityContext']>)[];

function validateWindows(spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const field of LINUX_SPEC) {
    if (spec[field] !== undefined && spec[field] !== (field === 'hostUsers')) {
      errors.push(forbiddenField(`${path}.${field}`, FOR_WINDOWS));
    }
  }
  for (const field of LINUX_POD_CONTEXT) {
    if (spec.securityContext?.[field] !== undefined) {
      errors.push(forbiddenField(`${path}.securityContext.${field}`, FOR_WINDOWS));
    }
  }
  for (const { container, path: at } of containersOf(spec, path)) {
    for (const field of LINUX_CONTEXT) {
      if (container.securityContext?.[field] !== undefined) {
        errors.push(forbiddenField(`${at}.securityContext.${field}`, FOR_WINDOWS));
      }
    }
  }
  return errors;
}

function validateLinux(spec: PodSpec, path: string): FieldError[] {
  const holders = [{ at: path, context: spec.securityContext }].concat(
    [...containersOf(spec, path)].map(({ container, path: at }) => ({ at, context: container.securityContext })),
  );
  return holders.flatMap(({ at, context }) =>
    context?.windowsOptions === undefined
      ? []
      : [forbiddenField(`${at}.securityContext.windowsOptions`, 'windows options cannot be set for a linux pod')],
  );
}

/** A pod that names its system must not ask for the ways of the other. */
export function validateOperatingSystem(spec: PodSpec, path: string): FieldError[] {
  if (spec.os === undefined) return [];
  const { name } = spec.os;
  if (!name) return [required(`${path}.os.name`)];
  if (!SYSTEMS.includes(name)) return [notSupported(`${path}.os.name`, name, SYSTEMS)];
  return name === 'windows' ? validateWindows(spec, path) : validateLinux(spec, path);
}
