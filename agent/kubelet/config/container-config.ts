import type { IContainer } from 'kubernetes-models/v1/Container';
import type { ContainerConfig, IdMapping, ImageInfo, MountConfig } from '../../cri/runtime.ts';
import type { GrantedCpus } from '../cpus/cpu-manager.ts';
import { type DeviceAllocation, NO_DEVICES } from '../devices/device-plugin.ts';
import { containerAnnotations, containerLabels } from '../runtime-labels.ts';
import { ConfigError } from './config-error.ts';
import { computeEnvironment, type EnvironmentInput } from './environment.ts';
import { expandReferences } from './expansion.ts';
import { containerResources, type ResourceRules } from './linux-resources.ts';
import { PodPaths } from './pod-paths.ts';
import { containerNamespaces, containerSecurity, type SeccompSettings, verifyRunAsNonRoot } from './security.ts';

/** A volume as it stands on the host. */
export interface PreparedVolume {
  readonly hostPath: string;
  /** Whatever the mount says: ConfigMaps, Secrets and projected volumes are never writable. */
  readonly readOnly: boolean;
  /** The content of an image in place of a host path. */
  readonly imageId?: string;
  /** A device, not a directory: for `volumeDevices`. */
  readonly isBlock?: boolean;
  /** Made of files that we write: no container can change what is in it. */
  readonly isRendered?: boolean;
}

export interface ContainerConfigInput extends EnvironmentInput {
  readonly attempt: number;
  readonly image: ImageInfo;
  readonly volumes: ReadonlyMap<string, PreparedVolume>;
  readonly hostsFile: string;
  /** Host file that becomes the termination message. */
  readonly terminationLog: string;
  readonly rules: ResourceRules;
  readonly seccomp: SeccompSettings;
  /** Of the pod's own user namespace; absent: the host's. */
  readonly userMappings?: readonly IdMapping[] | undefined;
  /** The running container whose processes an ephemeral one is to see. */
  readonly targetContainerId?: string | undefined;
  /** Host paths under which sub-paths were mounted, by their place among the container's mounts. */
  readonly subPathMounts?: ReadonlyMap<number, string>;
  readonly devices?: DeviceAllocation;
  /** Absent where containers run on all CPUs. */
  readonly cpus?: GrantedCpus | undefined;
  /** The runtime can make mounts read-only with all below them. */
  readonly canRecurseReadOnly?: boolean;
}

/** Everything the runtime must know of one container. Throws ConfigError for what the user has to mend. */
export function computeContainerConfig(input: ContainerConfigInput): ContainerConfig {
  const { pod, container, attempt, image } = input;
  verifyRunAsNonRoot(pod, container, image);
  const { devices = NO_DEVICES } = input;
  // What a plug-in sets for its devices is not the user's to change.
  const env = new Map([...computeEnvironment(input), ...Object.entries(devices.env)]);
  const allDevices = [...devices.devices, ...blockDevices(input)];
  const expand = (text: string) => expandReferences(text, env);
  return {
    name: container.name,
    attempt,
    image: image.id,
    command: (container.command ?? []).map(expand),
    args: (container.args ?? []).map(expand),
    workingDir: container.workingDir ?? '',
    env: [...env].map(([key, value]) => ({ key, value })),
    mounts: computeMounts(input, env),
    labels: containerLabels(pod, container),
    annotations: { ...devices.annotations, ...containerAnnotations(pod, container, attempt) },
    logPath: PodPaths.logFile(container.name, attempt),
    stdin: container.stdin === true,
    stdinOnce: container.stdinOnce === true,
    tty: container.tty === true,
    namespaces: containerNamespaces(pod, input.targetContainerId, input.userMappings),
    security: containerSecurity(pod, container, input.seccomp),
    resources: { ...containerResources(pod, container, input.rules), ...cpuBounds(input.cpus) },
    ...(allDevices.length === 0 ? {} : { devices: allDevices }),
    ...(devices.cdiDevices.length === 0 ? {} : { cdiDevices: devices.cdiDevices }),
    ...(container.lifecycle?.stopSignal ? { stopSignal: container.lifecycle.stopSignal } : {}),
  };
}

/** Whoever has CPUs alone needs no quota, which would only interrupt it. */
function cpuBounds(cpus: GrantedCpus | undefined) {
  if (cpus === undefined) return {};
  return { cpusetCpus: cpus.cpus, ...(cpus.isExclusive ? { cpuQuota: 0 } : {}) };
}

function blockDevices({ container, volumes }: ContainerConfigInput) {
  return (container.volumeDevices ?? []).map(({ name, devicePath }) => {
    const volume = volumes.get(name);
    if (volume?.isBlock !== true)
      throw new ConfigError(`volume "${name}" of container "${container.name}" is no block device`);
    return { containerPath: devicePath, hostPath: volume.hostPath, permissions: volume.readOnly ? 'mr' : 'mrw' };
  });
}

const PROPAGATION = { None: 'PRIVATE', HostToContainer: 'HOST_TO_CONTAINER', Bidirectional: 'BIDIRECTIONAL' } as const;

function computeMounts(input: ContainerConfigInput, env: ReadonlyMap<string, string>): MountConfig[] {
  const { container, volumes, hostsFile, terminationLog, subPathMounts } = input;
  const mounts: MountConfig[] = (container.volumeMounts ?? []).map((mount, index) => {
    const volume = volumes.get(mount.name);
    if (volume === undefined || volume.isBlock === true)
      throw new ConfigError(`cannot find volume "${mount.name}" to mount into container "${container.name}"`);
    const subPath = subPathOf(mount, env);
    const propagation = mount.mountPropagation as keyof typeof PROPAGATION | undefined;
    return {
      containerPath: mount.mountPath.startsWith('/') ? mount.mountPath : `/${mount.mountPath}`,
      hostPath: subPathMounts?.get(index) ?? (subPath === '' ? volume.hostPath : `${volume.hostPath}/${subPath}`),
      ...(volume.imageId === undefined ? {} : { hostPath: '', image: { id: volume.imageId, subPath } }),
      readOnly: mount.readOnly === true || volume.readOnly,
      ...recursion(mount, input.canRecurseReadOnly === true),
      propagation: PROPAGATION[propagation ?? 'None'],
    };
  });
  for (const mount of input.devices?.mounts ?? []) mounts.push({ ...mount, propagation: 'PRIVATE' });
  const add = (containerPath: string, hostPath: string, readOnly = false) => {
    if (mounts.some((mount) => mount.containerPath === containerPath)) return;
    mounts.push({ containerPath, hostPath, readOnly, propagation: 'PRIVATE' });
  };
  add('/etc/hosts', hostsFile, container.securityContext?.readOnlyRootFilesystem === true);
  add(container.terminationMessagePath || '/dev/termination-log', terminationLog);
  return mounts;
}

/** Read-only mounts below a mount: asked for strictly, the runtime must be able to; else it is done where it can be. */
function recursion(
  { name, readOnly, recursiveReadOnly }: { name: string; readOnly?: boolean; recursiveReadOnly?: string },
  canRecurse: boolean,
): Pick<MountConfig, 'recursiveReadOnly'> {
  if (readOnly !== true || recursiveReadOnly === undefined || recursiveReadOnly === 'Disabled') return {};
  if (recursiveReadOnly === 'Enabled' && !canRecurse)
    throw new ConfigError(
      `failed to resolve recursive read-only mode: volume "${name}" requested recursive read-only mode, but it is not supported by the runtime`,
    );
  return canRecurse ? { recursiveReadOnly: true } : {};
}

/** Sub-path mounts of a container, by their place among its mounts: what must stand on the host before the container is created. */
export function subPathsOf(
  container: IContainer,
  env: ReadonlyMap<string, string>,
): { readonly index: number; readonly volume: string; readonly subPath: string }[] {
  return (container.volumeMounts ?? [])
    .map((mount, index) => ({ index, volume: mount.name, subPath: subPathOf(mount, env) }))
    .filter(({ subPath }) => subPath !== '');
}

/** Inside its volume: no `..`, not absolute. */
function subPathOf(
  mount: { readonly subPath?: string; readonly subPathExpr?: string },
  env: ReadonlyMap<string, string>,
): string {
  const subPath = mount.subPathExpr ? expandSubPath(mount.subPathExpr, env) : (mount.subPath ?? '');
  if (subPath.startsWith('/')) throw new ConfigError(`error SubPath \`${subPath}\` must not be an absolute path`);
  if (subPath.split('/').includes('..'))
    throw new ConfigError(`unable to provision SubPath \`${subPath}\`: must not contain '..'`);
  return subPath.replace(/\/+$/, '');
}

/** A folder named after nothing would be somebody else's: an empty variable counts as a missing one. */
function expandSubPath(expression: string, env: ReadonlyMap<string, string>): string {
  const names = [...expression.matchAll(/\$\$|\$\(([^)]*)\)/g)].flatMap(([, name]) => name ?? []);
  const missing = [...new Set(names.filter((name) => !env.get(name)))].sort();
  if (missing.length > 0) throw new ConfigError(`missing value for ${missing.join(', ')}`);
  return expandReferences(expression, env);
}
