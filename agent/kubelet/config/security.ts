import type { IContainer } from 'kubernetes-models/v1/Container';
import type { Pod } from '#api/object/kinds.ts';
import type { ContainerSecurity, ImageInfo, NamespaceModes, SeLinuxOptions } from '../../cri/runtime.ts';
import { formatPod, specOf } from '../pod-spec.ts';
import { ConfigError } from './config-error.ts';

interface SeccompOrApparmor {
  readonly type: string;
  readonly localhostProfile?: string;
}

function profile(value: SeccompOrApparmor | undefined): ContainerSecurity['seccomp'] {
  if (value === undefined) return undefined;
  const { type, localhostProfile = '' } = value;
  if (type !== 'RuntimeDefault' && type !== 'Unconfined' && type !== 'Localhost')
    throw new ConfigError(`unknown security profile type ${type}`);
  return { type, localhostRef: localhostProfile };
}

/** The runtime opens the file: it is told where it is. */
function seccompProfile(value: SeccompOrApparmor | undefined, root: string): ContainerSecurity['seccomp'] {
  const found = profile(value);
  return found?.type === 'Localhost' ? { ...found, localhostRef: `${root}/${found.localhostRef}` } : found;
}

const UNCONFINED = { type: 'Unconfined', localhostRef: '' } as const;
const RUNTIME_DEFAULT = { type: 'RuntimeDefault', localhostRef: '' } as const;

export interface SeccompSettings {
  /** Containers that say nothing of seccomp get the runtime's profile. */
  readonly isDefault: boolean;
  /** The folder below which users name profiles of their own: `/var/lib/kubelet/seccomp`. */
  readonly profileRoot: string;
}

/** Container settings win over the pod's; privileged containers are never confined. */
export function containerSecurity(pod: Pod, container: IContainer, seccomp: SeccompSettings): ContainerSecurity {
  const podLevel = specOf(pod).securityContext;
  const own = container.securityContext;
  const isPrivileged = own?.privileged === true;
  const isUnmasked = own?.procMount === 'Unmasked';
  return {
    privileged: isPrivileged,
    runAsUser: own?.runAsUser ?? podLevel?.runAsUser,
    runAsGroup: own?.runAsGroup ?? podLevel?.runAsGroup,
    supplementalGroups: supplementalGroups(pod),
    ...groupsPolicy(pod),
    ...seLinux({ ...podLevel?.seLinuxOptions, ...own?.seLinuxOptions }),
    readOnlyRootFilesystem: own?.readOnlyRootFilesystem === true,
    // CAP_SYS_ADMIN and privileged escalate anyway; saying no there would only confuse the runtime.
    allowPrivilegeEscalation: own?.allowPrivilegeEscalation ?? true,
    addCapabilities: own?.capabilities?.add ?? [],
    dropCapabilities: own?.capabilities?.drop ?? [],
    seccomp: isPrivileged
      ? UNCONFINED
      : (seccompProfile(own?.seccompProfile ?? podLevel?.seccompProfile, seccomp.profileRoot) ??
        (seccomp.isDefault ? RUNTIME_DEFAULT : UNCONFINED)),
    apparmor: isPrivileged ? undefined : profile(own?.appArmorProfile ?? podLevel?.appArmorProfile),
    maskedPaths: isUnmasked ? [] : undefined,
    readonlyPaths: isUnmasked ? [] : undefined,
  };
}

export function sandboxSecurity(pod: Pod): ContainerSecurity {
  const podLevel = specOf(pod).securityContext;
  return {
    privileged: isAnyPrivileged(pod),
    runAsUser: podLevel?.runAsUser,
    runAsGroup: podLevel?.runAsGroup,
    supplementalGroups: supplementalGroups(pod),
    ...groupsPolicy(pod),
    ...seLinux(podLevel?.seLinuxOptions ?? {}),
    readOnlyRootFilesystem: false,
    allowPrivilegeEscalation: false,
    addCapabilities: [],
    dropCapabilities: [],
    // The pause process is the runtime's own: it always fits the runtime's default profile.
    seccomp: RUNTIME_DEFAULT,
    apparmor: undefined,
    maskedPaths: undefined,
    readonlyPaths: undefined,
  };
}

export function isAnyPrivileged(pod: Pod): boolean {
  const spec = specOf(pod);
  return [...(spec.initContainers ?? []), ...spec.containers].some(
    (container) => container.securityContext?.privileged === true,
  );
}

function groupsPolicy(pod: Pod): Pick<ContainerSecurity, 'supplementalGroupsPolicy'> {
  const policy = specOf(pod).securityContext?.supplementalGroupsPolicy;
  return policy === undefined ? {} : { supplementalGroupsPolicy: policy };
}

/** Parts that nobody sets are the host's choice; without any the runtime makes labels of its own. */
function seLinux(options: Partial<SeLinuxOptions>): Pick<ContainerSecurity, 'seLinux'> {
  const { user = '', role = '', type = '', level = '' } = options;
  return [user, role, type, level].every((part) => part === '') ? {} : { seLinux: { user, role, type, level } };
}

function supplementalGroups(pod: Pod): number[] {
  const { fsGroup, supplementalGroups: groups = [] } = specOf(pod).securityContext ?? {};
  return fsGroup === undefined ? groups : [fsGroup, ...groups];
}

/** A container that looks into another one shares its processes, unless the whole pod or host is shared anyway. */
export function containerNamespaces(
  pod: Pod,
  targetId: string | undefined,
  userMappings?: NamespaceModes['userMappings'],
): NamespaceModes {
  const namespaces = sandboxNamespaces(pod, userMappings);
  return targetId === undefined || namespaces.pid !== 'CONTAINER'
    ? namespaces
    : { ...namespaces, pid: 'TARGET', targetId };
}

export function sandboxNamespaces(pod: Pod, userMappings?: NamespaceModes['userMappings']): NamespaceModes {
  const { hostNetwork, hostPID, hostIPC, shareProcessNamespace } = specOf(pod);
  return {
    network: hostNetwork ? 'NODE' : 'POD',
    pid: hostPID ? 'NODE' : shareProcessNamespace ? 'POD' : 'CONTAINER',
    ipc: hostIPC ? 'NODE' : 'POD',
    ...(userMappings === undefined ? {} : { userMappings }),
  };
}

/** Throws ConfigError when `runAsNonRoot` is asked for and the user is root or cannot be known. */
export function verifyRunAsNonRoot(pod: Pod, container: IContainer, image: ImageInfo): void {
  const podLevel = specOf(pod).securityContext;
  if ((container.securityContext?.runAsNonRoot ?? podLevel?.runAsNonRoot) !== true) return;
  const runAsUser = container.securityContext?.runAsUser ?? podLevel?.runAsUser;
  const where = `(pod: "${formatPod(pod)}", container: ${container.name})`;
  if (runAsUser !== undefined) {
    if (runAsUser === 0) throw new ConfigError(`container's runAsUser breaks non-root policy ${where}`);
    return;
  }
  if (image.uid === 0 || (image.uid === undefined && image.username === ''))
    throw new ConfigError(`container has runAsNonRoot and image will run as root ${where}`);
  if (image.uid === undefined)
    throw new ConfigError(
      `container has runAsNonRoot and image has non-numeric user (${image.username}), cannot verify user is non-root ${where}`,
    );
}
