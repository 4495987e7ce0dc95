/**
 * The part of CRI v1 that the agent uses, in our own shapes: the seam between the kubelet and any runtime. `containerd` implements it
 * over gRPC, test/kit has a fake that keeps the same contract suite. Every call may throw CriError.
 */

export class CriError extends Error {
  override readonly name = 'CriError';
  /** gRPC status code: 5 = NOT_FOUND, 6 = ALREADY_EXISTS, 14 = UNAVAILABLE ... */
  readonly code: number;
  constructor(code: number, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

export interface SandboxIdentity {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly attempt: number;
}

export type NamespaceMode = 'POD' | 'CONTAINER' | 'NODE' | 'TARGET';

/** A range of ids of the container, laid onto a range of ids of the host. */
export interface IdMapping {
  readonly hostId: number;
  readonly containerId: number;
  readonly length: number;
}

export interface NamespaceModes {
  readonly network: NamespaceMode;
  readonly pid: NamespaceMode;
  readonly ipc: NamespaceMode;
  /** With pid TARGET: the container whose processes are to be seen. */
  readonly targetId?: string;
  /** A user namespace of the pod's own; absent = the host's. */
  readonly userMappings?: readonly IdMapping[];
}

export interface SandboxConfig {
  readonly identity: SandboxIdentity;
  /** Must be empty with the host's network. */
  readonly hostname: string;
  /** `/var/log/pods/<namespace>_<name>_<uid>`; container log paths are relative to it. */
  readonly logDirectory: string;
  readonly dns:
    | { readonly servers: readonly string[]; readonly searches: readonly string[]; readonly options: readonly string[] }
    | undefined;
  readonly portMappings: readonly {
    readonly protocol: 'TCP' | 'UDP' | 'SCTP';
    readonly containerPort: number;
    readonly hostPort: number;
    readonly hostIp: string;
  }[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly cgroupParent: string;
  readonly sysctls: Readonly<Record<string, string>>;
  readonly namespaces: NamespaceModes;
  readonly privileged: boolean;
  readonly security: ContainerSecurity;
  /** What the pod's class of runtime needs for itself, and the sum of its containers; runtimes that make virtual machines read them. */
  readonly overhead?: LinuxResources;
  readonly resources?: LinuxResources;
}

export interface SeLinuxOptions {
  readonly user: string;
  readonly role: string;
  readonly type: string;
  readonly level: string;
}

export interface ContainerSecurity {
  readonly privileged: boolean;
  readonly runAsUser: number | undefined;
  readonly runAsGroup: number | undefined;
  readonly supplementalGroups: readonly number[];
  /** Strict: not the groups that the image's /etc/group gives the user. Absent = Merge. */
  readonly supplementalGroupsPolicy?: 'Merge' | 'Strict';
  readonly seLinux?: SeLinuxOptions;
  readonly readOnlyRootFilesystem: boolean;
  readonly allowPrivilegeEscalation: boolean;
  readonly addCapabilities: readonly string[];
  readonly dropCapabilities: readonly string[];
  /** undefined = the runtime's default for unconfined pods. */
  readonly seccomp:
    | { readonly type: 'RuntimeDefault' | 'Unconfined' | 'Localhost'; readonly localhostRef: string }
    | undefined;
  readonly apparmor:
    | { readonly type: 'RuntimeDefault' | 'Unconfined' | 'Localhost'; readonly localhostRef: string }
    | undefined;
  readonly maskedPaths: readonly string[] | undefined;
  readonly readonlyPaths: readonly string[] | undefined;
}

export interface LinuxResources {
  readonly cpuShares: number;
  /** 0 = no limit. */
  readonly cpuQuota: number;
  readonly cpuPeriod: number;
  /** Bytes; 0 = no limit. */
  readonly memoryLimitBytes: number;
  readonly oomScoreAdj: number;
  /** `0-1,4`; absent = all CPUs. */
  readonly cpusetCpus?: string;
  readonly hugepages?: readonly { readonly pageSize: string; readonly limitBytes: number }[];
  /** Memory and swap together, in bytes; -1 = no limit of swap, absent = the runtime's choice. */
  readonly memorySwapLimitBytes?: number;
  /** Files of the unified hierarchy by name, e.g. `memory.min`. */
  readonly unified?: Readonly<Record<string, string>>;
}

export interface MountConfig {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readOnly: boolean;
  readonly propagation: 'PRIVATE' | 'HOST_TO_CONTAINER' | 'BIDIRECTIONAL';
  /** Read-only with everything mounted below; the runtime must know it. */
  readonly recursiveReadOnly?: boolean;
  readonly seLinuxRelabel?: boolean;
  /** The content of an image in place of a host path. */
  readonly image?: { readonly id: string; readonly subPath: string };
}

export interface DeviceConfig {
  readonly containerPath: string;
  readonly hostPath: string;
  /** Letters of `rwm`. */
  readonly permissions: string;
}

export interface ContainerConfig {
  readonly name: string;
  readonly attempt: number;
  /** Image reference as the runtime resolved it. */
  readonly image: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly workingDir: string;
  readonly env: readonly { readonly key: string; readonly value: string }[];
  readonly mounts: readonly MountConfig[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Relative to the sandbox's log directory: `<container>/<attempt>.log`. */
  readonly logPath: string;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly tty: boolean;
  readonly namespaces: NamespaceModes;
  readonly security: ContainerSecurity;
  readonly resources: LinuxResources;
  readonly devices?: readonly DeviceConfig[];
  readonly cdiDevices?: readonly string[];
  /** `SIGUSR1`; absent = the image's. */
  readonly stopSignal?: string;
}

export interface SandboxSummary {
  readonly id: string;
  readonly identity: SandboxIdentity;
  readonly ready: boolean;
  /** Nanoseconds since the epoch, as a decimal string would lose nothing; milliseconds are enough for us. */
  readonly createdAtMs: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface SandboxStatus extends SandboxSummary {
  /** Primary address first; empty for host network. */
  readonly ips: readonly string[];
}

export type ContainerState = 'CREATED' | 'RUNNING' | 'EXITED' | 'UNKNOWN';

export interface ContainerSummary {
  readonly id: string;
  readonly sandboxId: string;
  readonly name: string;
  readonly attempt: number;
  readonly image: string;
  readonly imageRef: string;
  readonly state: ContainerState;
  readonly createdAtMs: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ContainerStatus extends ContainerSummary {
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly exitCode: number;
  /** `Completed`, `Error`, `OOMKilled` ... */
  readonly reason: string;
  readonly message: string;
  readonly logPath: string;
  /** Image as the user named it. */
  readonly imageName: string;
  /** What the container runs as and with, where the runtime tells (containerd 2.0 tells the user, 1.7 the resources, 2.2 the signal). */
  readonly user?: { readonly uid: number; readonly gid: number; readonly supplementalGroups: readonly number[] };
  readonly resources?: LinuxResources;
  readonly stopSignal?: string;
}

export interface ImageInfo {
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  readonly sizeBytes: number;
  /** The runtime itself needs it. */
  readonly pinned?: boolean;
  /** Numeric user of the image configuration, if any. */
  readonly uid: number | undefined;
  readonly username: string;
}

export interface RegistryAuth {
  readonly username: string;
  readonly password: string;
  readonly serverAddress: string;
  readonly identityToken: string;
}

export interface ContainerStats {
  readonly containerId: string;
  readonly name: string;
  readonly sandboxId: string;
  /** Epoch ms at which the counters were read. */
  readonly readAtMs: number;
  readonly cpuUsageNanoCoreSeconds: number;
  readonly memoryWorkingSetBytes: number;
  readonly memoryUsageBytes: number;
  readonly memoryRssBytes: number;
  readonly pageFaults: number;
  readonly majorPageFaults: number;
  readonly swapUsageBytes: number;
  readonly writableLayerBytes: number;
  readonly writableLayerInodes: number;
}

export interface FileSystemUsage {
  readonly mountPoint: string;
  readonly usedBytes: number;
  readonly usedInodes: number;
}

/** What the runtime can do beyond the first CRI v1; older ones (containerd before 2.0) say nothing and have nothing of it. */
export interface RuntimeFeatures {
  readonly supplementalGroupsPolicy: boolean;
  readonly handlers: readonly {
    readonly name: string;
    readonly recursiveReadOnlyMounts: boolean;
    readonly userNamespaces: boolean;
  }[];
}

export type RuntimeEvent =
  | { readonly kind: 'containerExited'; readonly containerId: string }
  /** The stream broke or is unsupported: relist now, and more often until it is back. */
  | { readonly kind: 'lost' };

export interface RuntimeCondition {
  readonly type: 'RuntimeReady' | 'NetworkReady' | string;
  readonly status: boolean;
  readonly reason: string;
  readonly message: string;
}

export interface ContainerRuntime {
  version(): Promise<{ readonly name: string; readonly version: string; readonly apiVersion: string }>;
  status(): Promise<readonly RuntimeCondition[]>;
  features(): Promise<RuntimeFeatures>;
  /** The cgroup driver that the runtime is configured for; undefined where it does not tell (containerd before 2.0). */
  cgroupDriver(): Promise<'systemd' | 'cgroupfs' | undefined>;
  runSandbox(config: SandboxConfig, runtimeHandler: string): Promise<string>;
  stopSandbox(id: string): Promise<void>;
  removeSandbox(id: string): Promise<void>;
  listSandboxes(): Promise<readonly SandboxSummary[]>;
  sandboxStatus(id: string): Promise<SandboxStatus>;
  createContainer(sandboxId: string, config: ContainerConfig, sandbox: SandboxConfig): Promise<string>;
  startContainer(id: string): Promise<void>;
  /** `timeoutSeconds` 0 kills at once. Idempotent. */
  stopContainer(id: string, timeoutSeconds: number): Promise<void>;
  removeContainer(id: string): Promise<void>;
  /** Changes the limits of a running container. */
  updateResources(id: string, resources: LinuxResources): Promise<void>;
  /** Writes the state of a running container into an archive at `path`; code 12 where the runtime cannot. */
  checkpointContainer(id: string, path: string, timeoutSeconds: number): Promise<void>;
  listContainers(): Promise<readonly ContainerSummary[]>;
  containerStatus(id: string): Promise<ContainerStatus>;
  execSync(
    id: string,
    command: readonly string[],
    timeoutSeconds: number,
  ): Promise<{ stdout: Uint8Array; stderr: Uint8Array; exitCode: number }>;
  /** Single-use URL of the runtime's streaming server. */
  execUrl(request: {
    id: string;
    command: readonly string[];
    tty: boolean;
    stdin: boolean;
    stdout: boolean;
    stderr: boolean;
  }): Promise<string>;
  attachUrl(request: { id: string; tty: boolean; stdin: boolean; stdout: boolean; stderr: boolean }): Promise<string>;
  portForwardUrl(sandboxId: string, ports: readonly number[]): Promise<string>;
  /** undefined when the image is not present. */
  imageStatus(reference: string): Promise<ImageInfo | undefined>;
  /** Returns the image's reference (id). */
  pullImage(reference: string, auth: RegistryAuth | undefined, signal?: AbortSignal): Promise<string>;
  listImages(): Promise<readonly ImageInfo[]>;
  removeImage(reference: string): Promise<void>;
  /** Where images are kept and what they take. */
  imageFileSystem(): Promise<FileSystemUsage | undefined>;
  listContainerStats(): Promise<readonly ContainerStats[]>;
  /** Reopens a container's log after rotation. */
  reopenLog(id: string): Promise<void>;
  updatePodCidr(podCidr: string): Promise<void>;
  /** Runs until aborted, reconnecting by itself; each break yields `lost`. */
  watchEvents(onEvent: (event: RuntimeEvent) => void, signal: AbortSignal): void;
}
