import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
  tooLong,
} from '#api/object/field-error.ts';
import { validateOptionalOneOf, validateRange } from '../validation/format.ts';
import type { Container, PodSpec } from './pod-types.ts';
import { validateRelativePath } from './relative-path.ts';

type SecurityContext = NonNullable<Container['securityContext']>;

const IDS = { from: 0, to: 2 ** 31 - 1 };
const MAX_APPARMOR_PROFILE = 4095;
const PROFILE_TYPES = ['Localhost', 'RuntimeDefault', 'Unconfined'];
const SYSCTL = /^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$/;

const validateId = (id: number | undefined, path: string): FieldError[] =>
  id === undefined ? [] : validateRange(id, IDS, path);

interface Profile {
  readonly type?: string;
  readonly localhostProfile?: string;
}

/** Seccomp profiles are files below a directory of the node, AppArmor profiles are names. */
function validateLocalhostProfile(profile: string, isFile: boolean, path: string): FieldError[] {
  if (isFile) return validateRelativePath(profile, path);
  if (profile.trim() !== profile) return [invalid(path, profile, 'must not be padded with whitespace')];
  return profile.length > MAX_APPARMOR_PROFILE ? [tooLong(path, MAX_APPARMOR_PROFILE)] : [];
}

/** A seccomp or AppArmor profile. */
function validateProfile(profile: Profile | undefined, path: string): FieldError[] {
  if (profile === undefined) return [];
  const { type = '', localhostProfile } = profile;
  const at = `${path}.localhostProfile`;
  const isSeccomp = path.endsWith('seccompProfile');
  const kind = isSeccomp ? 'seccomp' : 'AppArmor';
  if (type === 'Localhost') {
    return localhostProfile
      ? validateLocalhostProfile(localhostProfile, isSeccomp, at)
      : [required(at, `must be set when ${kind} type is Localhost`)];
  }
  if (localhostProfile !== undefined) {
    return [invalid(at, localhostProfile, `can only be set when ${kind} type is Localhost`)];
  }
  if (type === '') return [required(`${path}.type`, 'type is required')];
  return PROFILE_TYPES.includes(type) ? [] : [notSupported(`${path}.type`, type, PROFILE_TYPES)];
}

function validateEscalation(context: SecurityContext, path: string): FieldError[] {
  if (context.allowPrivilegeEscalation !== false) return [];
  const errors: FieldError[] = [];
  if (context.privileged) {
    errors.push(invalid(path, context, 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true'));
  }
  if (context.capabilities?.add?.some((capability) => capability === 'CAP_SYS_ADMIN')) {
    errors.push(
      invalid(path, context, 'cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN'),
    );
  }
  return errors;
}

/** `hostUsers`: of the pod; without a user namespace of its own an unmasked /proc shows the node's. */
export function validateSecurityContext(
  context: SecurityContext | undefined,
  path: string,
  hostUsers: boolean | undefined,
): FieldError[] {
  if (context === undefined) return [];
  return [
    ...validateId(context.runAsUser, `${path}.runAsUser`),
    ...validateId(context.runAsGroup, `${path}.runAsGroup`),
    ...(context.procMount !== undefined && !['Default', 'Unmasked'].includes(context.procMount)
      ? [notSupported(`${path}.procMount`, context.procMount, ['Default', 'Unmasked'])]
      : []),
    ...(context.procMount === 'Unmasked' && hostUsers !== false
      ? [invalid(`${path}.procMount`, context.procMount, '`hostUsers` must be false to use `Unmasked`')]
      : []),
    ...validateEscalation(context, path),
    ...validateProfile(context.seccompProfile, `${path}.seccompProfile`),
    ...validateProfile(context.appArmorProfile, `${path}.appArmorProfile`),
  ];
}

/** Settings of a namespace that the pod shares with its node are the node's. */
const NAMESPACES = [
  { prefixes: ['net.'], host: 'hostNetwork' },
  { prefixes: ['kernel.shm', 'kernel.msg', 'kernel.sem', 'fs.mqueue.'], host: 'hostIPC' },
] as const;

function validateSysctls(spec: PodSpec, path: string): FieldError[] {
  const names = new Set<string>();
  return (spec.securityContext?.sysctls ?? []).flatMap(({ name = '' }, i) => {
    const at = `${path}[${i}].name`;
    if (name === '') return [required(at)];
    if (names.has(name)) return [duplicate(at, name)];
    names.add(name);
    const dotted = name.replaceAll('/', '.');
    const shared = NAMESPACES.find(
      ({ prefixes, host }) => spec[host] && prefixes.some((prefix) => dotted.startsWith(prefix)),
    );
    if (shared !== undefined) return [invalid(at, name, `may not be specified when '${shared.host}' is true`)];
    return SYSCTL.test(name) && name.length <= 253
      ? []
      : [invalid(at, name, `must have at most 253 characters and match regex ${SYSCTL.source}`)];
  });
}

/** A user namespace of its own goes with no other namespace of the node. */
function validateUserNamespace(spec: PodSpec, path: string): FieldError[] {
  if (spec.hostUsers !== false) return [];
  return (['hostNetwork', 'hostPID', 'hostIPC'] as const)
    .filter((field) => spec[field])
    .map((field) => forbiddenField(`${path}.${field}`, 'when `hostUsers` is false'));
}

export function validatePodSecurity(spec: PodSpec, path: string): FieldError[] {
  const context = spec.securityContext ?? {};
  const at = `${path}.securityContext`;
  const errors = [
    ...validateId(context.fsGroup, `${at}.fsGroup`),
    ...validateId(context.runAsUser, `${at}.runAsUser`),
    ...validateId(context.runAsGroup, `${at}.runAsGroup`),
    ...(context.supplementalGroups ?? []).flatMap((id, i) => validateId(id, `${at}.supplementalGroups[${i}]`)),
    ...validateSysctls(spec, `${at}.sysctls`),
    ...validateProfile(context.seccompProfile, `${at}.seccompProfile`),
    ...validateProfile(context.appArmorProfile, `${at}.appArmorProfile`),
  ];
  const { fsGroupChangePolicy } = context;
  if (fsGroupChangePolicy !== undefined && !['Always', 'OnRootMismatch'].includes(fsGroupChangePolicy)) {
    errors.push(notSupported(`${at}.fsGroupChangePolicy`, fsGroupChangePolicy, ['Always', 'OnRootMismatch']));
  }
  errors.push(
    ...validateOptionalOneOf(context.supplementalGroupsPolicy, ['Merge', 'Strict'], `${at}.supplementalGroupsPolicy`),
    ...validateOptionalOneOf(
      context.seLinuxChangePolicy as string | undefined,
      ['MountOption', 'Recursive'],
      `${at}.seLinuxChangePolicy`,
    ),
    ...validateUserNamespace(spec, path),
  );
  if (spec.shareProcessNamespace && spec.hostPID) {
    errors.push(
      invalid(`${path}.shareProcessNamespace`, true, 'ShareProcessNamespace and HostPID cannot both be enabled'),
    );
  }
  return errors;
}
