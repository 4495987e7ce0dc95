import type {
  ContainerConfig,
  ContainerSecurity,
  IdMapping,
  LinuxResources,
  MountConfig,
  NamespaceModes,
  SandboxConfig,
} from './runtime.ts';

/** Requests as protos/cri-v1.proto describes them and api/codec/described-messages.ts encodes them. */

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
  const { identity } = config;
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
        ...sharedSecurity(config),
        privileged: config.privileged,
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

/** What sandboxes and containers are told alike. */
function sharedSecurity({ security, namespaces }: Pick<ContainerConfig, 'security' | 'namespaces'>): object {
  return {
    namespace_options: namespaceOptions(namespaces),
    run_as_user: boxed(security.runAsUser),
    run_as_group: boxed(security.runAsGroup),
    readonly_rootfs: security.readOnlyRootFilesystem,
    supplemental_groups: security.supplementalGroups,
    supplemental_groups_policy: security.supplementalGroupsPolicy ?? 'Merge',
    selinux_options: security.seLinux ?? null,
    seccomp: profile(security.seccomp),
    apparmor: profile(security.apparmor),
  };
}

function wireContainerSecurity(config: ContainerConfig): object {
  const { security } = config;
  return {
    capabilities: { add_capabilities: security.addCapabilities, drop_capabilities: security.dropCapabilities },
    privileged: security.privileged,
    ...sharedSecurity(config),
    no_new_privs: !security.allowPrivilegeEscalation,
    masked_paths: security.privileged ? [] : (security.maskedPaths ?? MASKED_PATHS),
    readonly_paths: security.privileged ? [] : (security.readonlyPaths ?? READONLY_PATHS),
  };
}

/** CRI's names of values have neither `+` nor `-`: the way back is in cri-answers.ts. */
const wireSignal = (name: string) => name.replace('+', 'PLUS').replace('-', 'MINUS');

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
