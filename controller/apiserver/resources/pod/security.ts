import { type FieldError, invalid, notSupported, required } from '#api/object/field-error.ts';
import { validateRange } from '../validation/format.ts';
import type { Container, PodSpec } from './pod-types.ts';

type SecurityContext = NonNullable<Container['securityContext']>;
type PodSecurityContext = NonNullable<PodSpec['securityContext']>;

const IDS = { from: 0, to: 2 ** 31 - 1 };
const PROFILE_TYPES = ['Localhost', 'RuntimeDefault', 'Unconfined'];
const SYSCTL = /^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$/;

const validateId = (id: number | undefined, path: string): FieldError[] =>
  id === undefined ? [] : validateRange(id, IDS, path);

interface Profile {
  readonly type?: string;
  readonly localhostProfile?: string;
}

/** A seccomp or AppArmor profile. */
function validateProfile(profile: Profile | undefined, path: string): FieldError[] {
  if (profile === undefined) return [];
  const { type = '', localhostProfile } = profile;
  if (type === 'Localhost') {
    return localhostProfile
      ? []
      : [
          required(
            `${path}.localhostProfile`,
            `must be set when ${path.endsWith('seccompProfile') ? 'seccomp' : 'AppArmor'} type is Localhost`,
          ),
        ];
  }
  if (localhostProfile !== undefined) {
    return [invalid(`${path}.localhostProfile`, localhostProfile, 'can only be set when type is Localhost')];
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

export function validateSecurityContext(context: SecurityContext | undefined, path: string): FieldError[] {
  if (context === undefined) return [];
  return [
    ...validateId(context.runAsUser, `${path}.runAsUser`),
    ...validateId(context.runAsGroup, `${path}.runAsGroup`),
    ...(context.procMount !== undefined && !['Default', 'Unmasked'].includes(context.procMount)
      ? [notSupported(`${path}.procMount`, context.procMount, ['Default', 'Unmasked'])]
      : []),
    ...validateEscalation(context, path),
    ...validateProfile(context.seccompProfile, `${path}.seccompProfile`),
    ...validateProfile(context.appArmorProfile, `${path}.appArmorProfile`),
  ];
}

function validateSysctls(sysctls: PodSecurityContext['sysctls'], path: string): FieldError[] {
  const names = new Set<string>();
  return (sysctls ?? []).flatMap(({ name = '' }, i) => {
    const at = `${path}[${i}].name`;
    if (name === '') return [required(at)];
    const isDuplicate = names.has(name);
    names.add(name);
    if (isDuplicate)
      return [{ type: 'FieldValueDuplicate', field: at, message: `Duplicate value: ${JSON.stringify(name)}` } as const];
    return SYSCTL.test(name) && name.length <= 253
      ? []
      : [invalid(at, name, `must have at most 253 characters and match regex ${SYSCTL.source}`)];
  });
}

export function validatePodSecurity(spec: PodSpec, path: string): FieldError[] {
  const context = spec.securityContext ?? {};
  const at = `${path}.securityContext`;
  const errors = [
    ...validateId(context.fsGroup, `${at}.fsGroup`),
    ...validateId(context.runAsUser, `${at}.runAsUser`),
    ...validateId(context.runAsGroup, `${at}.runAsGroup`),
    ...(context.supplementalGroups ?? []).flatMap((id, i) => validateId(id, `${at}.supplementalGroups[${i}]`)),
    ...validateSysctls(context.sysctls, `${at}.sysctls`),
    ...validateProfile(context.seccompProfile, `${at}.seccompProfile`),
    ...validateProfile(context.appArmorProfile, `${at}.appArmorProfile`),
  ];
  const { fsGroupChangePolicy } = context;
  if (fsGroupChangePolicy !== undefined && !['Always', 'OnRootMismatch'].includes(fsGroupChangePolicy)) {
    errors.push(notSupported(`${at}.fsGroupChangePolicy`, fsGroupChangePolicy, ['Always', 'OnRootMismatch']));
  }
  if (spec.shareProcessNamespace && spec.hostPID) {
    errors.push(
      invalid(`${path}.shareProcessNamespace`, true, 'ShareProcessNamespace and HostPID cannot both be enabled'),
    );
  }
  return errors;
}
