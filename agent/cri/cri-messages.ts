import type {
  ContainerConfig,
  ContainerSecurity,
  ContainerState,
  ContainerStats,
  ContainerStatus,
  ContainerSummary,
  FileSystemUsage,
  IdMapping,
  ImageInfo,
  LinuxResources,
  MountConfig,
  NamespaceModes,
  RuntimeFeatures,
  SandboxConfig,
  SandboxStatus,
  SandboxSummary,
} from './runtime.ts';

/** Messages as protos/cri-v1.proto describes them and api/codec/described-messages.ts decodes them: absent sub-messages are null, absent scalars zero. */

interface WireImageSpec {
  readonly image: string;
  readonly user_specified_image: string;
}

export interface WireSandbox {
  readonly id: string;
  readonly metadata: { name: string; uid: string; namespace: string; attempt: number } | null;
  readonly state: 'SANDBOX_READY' | 'SANDBOX_NOTREADY';
  readonly created_at: number;
  readonly labels: Record<string, string>;
  readonly annotations: Record<string, string>;
}

export interface WireSandboxStatus extends WireSandbox {
  readonly network: { ip: string; additional_ips: { ip: string }[] } | null;
}

interface WireContainerBase {
  readonly id: string;
  readonly metadata: { name: string; attempt: number } | null;
  readonly image: WireImageSpec | null;
  readonly image_ref: string;
  readonly state: string;
  readonly created_at: number;
  readonly labels: Record<string, string>;
  readonly annotations: Record<string, string>;
}

export interface WireContainer extends WireContainerBase {
  readonly pod_sandbox_id: string;
}

export interface WireContainerStatus extends WireContainerBase {
  readonly started_at: number;
  readonly finished_at: number;
  readonly exit_code: number;
  readonly reason: string;
  readonly message: string;
  readonly log_path: string;
  readonly resources: { readonly linux: WireResources | null } | null;
  readonly user: { readonly linux: { uid: number; gid: number; supplemental_groups: number[] } | null } | null;
  readonly stop_signal: string;
}

interface WireResources {
  readonly cpu_period: number;
  readonly cpu_quota: number;
  readonly cpu_shares: number;
  readonly memory_limit_in_bytes: number;
  readonly oom_score_adj: number;
}

export interface WireImage {
  readonly id: string;
  readonly repo_tags: readonly string[];
  readonly repo_digests: readonly string[];
  readonly size: number;
  readonly uid: { value: number } | null;
  readonly username: string;
  readonly pinned: boolean;
}

type Boxed = { readonly value: number } | null;

interface WireFileSystemUsage {
  readonly fs_id: { readonly mountpoint: string } | null;
  readonly used_bytes: Boxed;
  readonly inodes_used: Boxed;
}

export interface WireStats {
  readonly attributes: { id: string; metadata: { name: string } | null } | null;
  readonly cpu: { timestamp: number; usage_core_nano_seconds: Boxed } | null;
  readonly memory: {
    timestamp: number;
    working_set_bytes: Boxed;
    usage_bytes: Boxed;
    rss_bytes: Boxed;
    page_faults: Boxed;
    major_page_faults: Boxed;
  } | null;
  readonly writable_layer: WireFileSystemUsage | null;
  readonly swap: { swap_usage_bytes: Boxed } | null;
}

export interface WireImageFileSystems {
  readonly image_filesystems: readonly WireFileSystemUsage[];
}

export interface WireFeatures {
  readonly runtime_handlers: readonly {
    readonly name: string;
    readonly features: { recursive_read_only_mounts: boolean; user_namespaces: boolean } | null;
  }[];
  readonly features: { readonly supplemental_groups_policy: boolean } | null;
}

const nanosToMs = (nanos: number) => Math.round(nanos / 1e6);

export function sandboxSummaryFrom(wire: WireSandbox): SandboxSummary {
  const { name = '', namespace = '', uid = '', attempt = 0 } = wire.metadata ?? {};
  return {
    id: wire.id,
    identity: { name, namespace, uid, attempt },
    ready: wire.state === 'SANDBOX_READY',
    createdAtMs: nanosToMs(wire.created_at),
    labels: wire.labels,
    annotations: wire.annotations,
  };
}

export function sandboxStatusFrom(wire: WireSandboxStatus): SandboxStatus {
  const addresses = [wire.network?.ip ?? '', ...(wire.network?.additional_ips ?? []).map(({ ip }) => ip)];
  return { ...sandboxSummaryFrom(wire), ips: addresses.filter((ip) => ip !== '') };
}

const STATES: Readonly<Record<string, ContainerState>> = {
  CONTAINER_CREATED: 'CREATED',
  CONTAINER_RUNNING: 'RUNNING',
  CONTAINER_EXITED: 'EXITED',
};

export function containerSummaryFrom(wire: WireContainerBase, sandboxId: string): ContainerSummary {
  return {
    id: wire.id,
    sandboxId,
    name: wire.metadata?.name ?? '',
    attempt: wire.metadata?.attempt ?? 0,
    image: wire.image?.image ?? '',
    imageRef: wire.image_ref,
    state: STATES[wire.state] ?? 'UNKNOWN',
    createdAtMs: nanosToMs(wire.created_at),
    labels: wire.labels,
    annotations: wire.annotations,
  };
}

export function containerStatusFrom(wire: WireContainerStatus, sandboxId: string): ContainerStatus {
  return {
    ...containerSummaryFrom(wire, sandboxId),
    startedAtMs: nanosToMs(wire.started_at),
    finishedAtMs: nanosToMs(wire.finished_at),
    exitCode: wire.exit_code,
    reason: wire.reason,
    message: wire.message,
    logPath: wire.log_path,
    imageName: wire.image?.user_specified_image || (wire.image?.image ?? ''),
    ...(wire.user?.linux ? { user: userFrom(wire.user.linux) } : {}),
    ...(wire.resources?.linux ? { resources: resourcesFrom(wire.resources.linux) } : {}),
    ...(wire.stop_signal && wire.stop_signal !== NO_SIGNAL ? { stopSignal: signalName(wire.stop_signal) } : {}),
  };
}

function userFrom({
  uid,
  gid,
  supplemental_groups: supplementalGroups,
}: {
  uid: number;
  gid: number;
  supplemental_groups: number[];
}) {
  return { uid, gid, supplementalGroups };
}

function resourcesFrom(wire: WireResources): LinuxResources {
  return {
    cpuPeriod: wire.cpu_period,
    cpuQuota: wire.cpu_quota,
    cpuShares: wire.cpu_shares,
    memoryLimitBytes: wire.memory_limit_in_bytes,
    oomScoreAdj: wire.oom_score_adj,
  };
}

const NO_SIGNAL = 'RUNTIME_DEFAULT';

/** CRI cannot have `+` and `-` in the names of its values: `SIGRTMIN+1` is SIGRTMINPLUS1 there, and `SIGRTMAX-1` SIGRTMAXMINUS1. */
const signalName = (wire: string) => wire.replace('PLUS', '+').replace('MINUS', '-');
const wireSignal = (name: string) => name.replace('+', 'PLUS').replace('-', 'MINUS');

export function imageInfoFrom(wire: WireImage): ImageInfo {
  return {
    id: wire.id,
    repoTags: wire.repo_tags,
    repoDigests: wire.repo_digests,
    sizeBytes: wire.size,
    uid: wire.uid?.value,
    username: wire.username,
    pinned: wire.pinned,
  };
}

const unboxed = (box: Boxed | undefined) => box?.value ?? 0;

export function fileSystemUsageFrom(wire: WireFileSystemUsage): FileSystemUsage {
  return {
    mountPoint: wire.fs_id?.mountpoint ?? '',
    usedBytes: unboxed(wire.used_bytes),
    usedInodes: unboxed(wire.inodes_used),
  };
}

export function runtimeFeaturesFrom(wire: WireFeatures): RuntimeFeatures {
  return {
    supplementalGroupsPolicy: wire.features?.supplemental_groups_policy ?? false,
    handlers: wire.runtime_handlers.map(({ name, features }) => ({
      name,
      recursiveReadOnlyMounts: features?.recursive_read_only_mounts ?? false,
      userNamespaces: features?.user_namespaces ?? false,
    })),
  };
}

export function containerStatsFrom(wire: WireStats, sandboxId: string): ContainerStats {
  return {
    containerId: wire.attributes?.id ?? '',
    name: wire.attributes?.metadata?.name ?? '',
    sandboxId,
    readAtMs: nanosToMs(wire.cpu?.timestamp || (wire.memory?.timestamp ?? 0)),
    cpuUsageNanoCoreSeconds: unboxed(wire.cpu?.usage_core_nano_seconds),
    memoryWorkingSetBytes: unboxed(wire.memory?.working_set_bytes),
    memoryUsageBytes: unboxed(wire.memory?.usage_bytes),
    memoryRssBytes: unboxed(wire.memory?.rss_bytes),
    pageFaults: unboxed(wire.memory?.page_faults),
    majorPageFaults: unboxed(wire.memory?.major_page_faults),
    swapUsageBytes: unboxed(wire.swap?.swap_usage_bytes),
    writableLayerBytes: unboxed(wire.writable_layer?.used_bytes),
    writableLayerInodes: unboxed(wire.writable_layer?.inodes_used),
  };
}

function namespaceOptions({ network, pid, ipc, targetId, userMappings }: NamespaceModes): object {
  const mappings = userMappings?.map(wireMapping);
  return {
    network,
    pid,
    ipc,
    ...(targetId === undefined ? {} : { target_id: targetId }),
    ...(mappings === undefined ? {} : { userns_options: { mode: 'POD', uids: mappings, gids: mappings } }),
  };
}

const wireMapping = ({ hostId, containerId, length }: IdMapping) => ({
  host_id: hostId,
  container_id: containerId,
  length,
});

export function wireResources(resources: LinuxResources): object {
  const { cpusetCpus, hugepages, memorySwapLimitBytes, unified } = resources;
  return {
    cpu_period: resources.cpuPeriod,
    cpu_quota: resources.cpuQuota,
    cpu_shares: resources.cpuShares,
    memory_limit_in_bytes: resources.memoryLimitBytes,
    oom_score_adj: resources.oomScoreAdj,
    ...(cpusetCpus === undefined ? {} : { cpuset_cpus: cpusetCpus }),
    ...(memorySwapLimitBytes === undefined ? {} : { memory_swap_limit_in_bytes: memorySwapLimitBytes }),
    ...(unified === undefined ? {} : { unified }),
    ...(hugepages === undefined
      ? {}
      : { hugepage_limits: hugepages.map(({ pageSize, limitBytes }) => ({ page_size: pageSize, limit: limitBytes })) }),
  };
}

function profile(value: ContainerSecurity['seccomp']): object | null {
  return value === undefined ? null : { profile_type: value.type, localhost_ref: value.localhostRef };
}

const boxed = (value: number | undefined) => (value === undefined ? null : { value });

export function wireSandboxConfig(config: SandboxConfig): object {
  const { identity, security } = config;
  return {
    metadata: { ...identity },
    hostname: config.hostname,
    log_directory: config.logDirectory,
    dns_config: config.dns === undefined ? null : { ...config.dns },
    port_mappings: config.portMappings.map((mapping) => ({
      protocol: mapping.protocol,
      container_port: mapping.containerPort,
      host_port: mapping.hostPort,
      host_ip: mapping.hostIp,
    })),
    labels: config.labels,
    annotations: config.annotations,
    linux: {
      cgroup_parent: config.cgroupParent,
      sysctls: config.sysctls,
      ...(config.overhead === undefined ? {} : { overhead: wireResources(config.overhead) }),
      ...(config.resources === undefined ? {} : { resources: wireResources(config.resources) }),
      security_context: {
        namespace_options: namespaceOptions(config.namespaces),
        run_as_user: boxed(security.runAsUser),
        run_as_group: boxed(security.runAsGroup),
        readonly_rootfs: security.readOnlyRootFilesystem,
        supplemental_groups: security.supplementalGroups,
        supplemental_groups_policy: security.supplementalGroupsPolicy ?? 'Merge',
        selinux_options: security.seLinux ?? null,
        privileged: config.privileged,
        seccomp: profile(security.seccomp),
        apparmor: profile(security.apparmor),
      },
    },
  };
}

/**
 * Paths that the runtime hides or write-protects when the pod does not say otherwise (procMount: Default); CRI has no "default" value,
 * an empty list means none. A privileged container sees everything.
 */
const MASKED_PATHS = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
];
const READONLY_PATHS = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

function wireContainerSecurity(config: ContainerConfig): object {
  const { security } = config;
  return {
    capabilities: { add_capabilities: security.addCapabilities, drop_capabilities: security.dropCapabilities },
    privileged: security.privileged,
    namespace_options: namespaceOptions(config.namespaces),
    run_as_user: boxed(security.runAsUser),
    run_as_group: boxed(security.runAsGroup),
    readonly_rootfs: security.readOnlyRootFilesystem,
    supplemental_groups: security.supplementalGroups,
    supplemental_groups_policy: security.supplementalGroupsPolicy ?? 'Merge',
    selinux_options: security.seLinux ?? null,
    no_new_privs: !security.allowPrivilegeEscalation,
    masked_paths: security.privileged ? [] : (security.maskedPaths ?? MASKED_PATHS),
    readonly_paths: security.privileged ? [] : (security.readonlyPaths ?? READONLY_PATHS),
    seccomp: profile(security.seccomp),
    apparmor: profile(security.apparmor),
  };
}

export function wireContainerConfig(config: ContainerConfig): object {
  return {
    metadata: { name: config.name, attempt: config.attempt },
    image: { image: config.image, user_specified_image: config.image },
    command: config.command,
    args: config.args,
    working_dir: config.workingDir,
    envs: config.env.map(({ key, value }) => ({ key, value: Buffer.from(value, 'utf8') })),
    mounts: config.mounts.map((mount) => wireMount(mount, config.namespaces)),
    devices: (config.devices ?? []).map(({ containerPath, hostPath, permissions }) => ({
      container_path: containerPath,
      host_path: hostPath,
      permissions,
    })),
    CDI_devices: (config.cdiDevices ?? []).map((name) => ({ name })),
    ...(config.stopSignal === undefined ? {} : { stop_signal: wireSignal(config.stopSignal) }),
    labels: config.labels,
    annotations: config.annotations,
    log_path: config.logPath,
    stdin: config.stdin,
    stdin_once: config.stdinOnce,
    tty: config.tty,
    linux: {
      resources: wireResources(config.resources),
      security_context: wireContainerSecurity(config),
    },
  };
}

/** With a user namespace each mount is shifted to the ids of its container. */
function wireMount(mount: MountConfig, { userMappings }: NamespaceModes): object {
  const { image, recursiveReadOnly, seLinuxRelabel } = mount;
  const mappings = userMappings === undefined || image !== undefined ? undefined : userMappings.map(wireMapping);
  return {
    container_path: mount.containerPath,
    host_path: mount.hostPath,
    readonly: mount.readOnly,
    propagation: `PROPAGATION_${mount.propagation}`,
    ...(recursiveReadOnly ? { recursive_read_only: true } : {}),
    ...(seLinuxRelabel ? { selinux_relabel: true } : {}),
    ...(image === undefined ? {} : { image: { image: image.id }, image_sub_path: image.subPath }),
    ...(mappings === undefined ? {} : { uidMappings: mappings, gidMappings: mappings }),
  };
}
