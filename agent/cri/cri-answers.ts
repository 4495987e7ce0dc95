import type {
  ContainerState,
  ContainerStats,
  ContainerStatus,
  ContainerSummary,
  FileSystemUsage,
  ImageInfo,
  LinuxResources,
  RuntimeFeatures,
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
