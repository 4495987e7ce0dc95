import type {
  ContainerConfig,
  ContainerSecurity,
  ContainerState,
  ContainerStats,
  ContainerStatus,
  ContainerSummary,
  ImageInfo,
  NamespaceMode,
  SandboxConfig,
  SandboxStatus,
  SandboxSummary,
} from './runtime.ts';

/** Messages as protos/cri-v1.proto describes them and proto-loader decodes them: absent sub-messages are null, absent scalars zero. */

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
}

export interface WireImage {
  readonly id: string;
  readonly repo_tags: readonly string[];
  readonly repo_digests: readonly string[];
  readonly size: number;
  readonly uid: { value: number } | null;
  readonly username: string;
}

export interface WireStats {
  readonly attributes: { id: string; metadata: { name: string } | null } | null;
  readonly cpu: { usage_core_nano_seconds: { value: number } | null } | null;
  readonly memory: { working_set_bytes: { value: number } | null } | null;
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
  };
}

export function imageInfoFrom(wire: WireImage): ImageInfo {
  return {
    id: wire.id,
    repoTags: wire.repo_tags,
    repoDigests: wire.repo_digests,
    sizeBytes: wire.size,
    uid: wire.uid?.value,
    username: wire.username,
  };
}

export function containerStatsFrom(wire: WireStats, sandboxId: string): ContainerStats {
  return {
    containerId: wire.attributes?.id ?? '',
    name: wire.attributes?.metadata?.name ?? '',
    sandboxId,
    cpuUsageNanoCoreSeconds: wire.cpu?.usage_core_nano_seconds?.value ?? 0,
    memoryWorkingSetBytes: wire.memory?.working_set_bytes?.value ?? 0,
  };
}

function namespaceOptions(namespaces: {
  readonly network: NamespaceMode;
  readonly pid: NamespaceMode;
  readonly ipc: NamespaceMode;
}): object {
  return { network: namespaces.network, pid: namespaces.pid, ipc: namespaces.ipc };
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
      security_context: {
        namespace_options: namespaceOptions(config.namespaces),
        run_as_user: boxed(security.runAsUser),
        run_as_group: boxed(security.runAsGroup),
        readonly_rootfs: security.readOnlyRootFilesystem,
        supplemental_groups: security.supplementalGroups,
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
    no_new_privs: !security.allowPrivilegeEscalation,
    masked_paths: security.privileged ? [] : (security.maskedPaths ?? MASKED_PATHS),
    readonly_paths: security.privileged ? [] : (security.readonlyPaths ?? READONLY_PATHS),
    seccomp: profile(security.seccomp),
    apparmor: profile(security.apparmor),
  };
}

export function wireContainerConfig(config: ContainerConfig): object {
  const { resources } = config;
  return {
    metadata: { name: config.name, attempt: config.attempt },
    image: { image: config.image, user_specified_image: config.image },
    command: config.command,
    args: config.args,
    working_dir: config.workingDir,
    envs: config.env.map(({ key, value }) => ({ key, value: Buffer.from(value, 'utf8') })),
    mounts: config.mounts.map((mount) => ({
      container_path: mount.containerPath,
      host_path: mount.hostPath,
      readonly: mount.readOnly,
      propagation: `PROPAGATION_${mount.propagation}`,
    })),
    labels: config.labels,
    annotations: config.annotations,
    log_path: config.logPath,
    stdin: config.stdin,
    stdin_once: config.stdinOnce,
    tty: config.tty,
    linux: {
      resources: {
        cpu_period: resources.cpuPeriod,
        cpu_quota: resources.cpuQuota,
        cpu_shares: resources.cpuShares,
        memory_limit_in_bytes: resources.memoryLimitBytes,
        oom_score_adj: resources.oomScoreAdj,
      },
      security_context: wireContainerSecurity(config),
    },
  };
}
