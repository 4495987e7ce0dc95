import type { CgroupSettings } from './cgroups/cgroup-names.ts';
import type { DeviceSelector } from './devices/device-selector.ts';
import type { EvictionConfig } from './eviction/eviction-manager.ts';
import { parseThresholds } from './eviction/thresholds.ts';
import type { CredentialProvider } from './images/credential-plugins.ts';
import type { ImageGcConfig } from './images/image-collector.ts';
import type { VerificationPolicy } from './images/verification-policy.ts';
import { type ShutdownTier, tiersOf } from './shutdown/shutdown-plan.ts';

/** What the composition root decides about the kubelet. Directories are absolute and exist or are made. */
export interface KubeletConfig {
  readonly nodeName: string;
  /** Addresses of the node, primary first. The list of a node whose address changes is brought up to date in place. */
  readonly nodeIps: readonly string[];
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  /** `/var/lib/kubelet` */
  readonly rootDir: string;
  /** `/var/log/pods` */
  readonly podLogsDir: string;
  /** `/var/log/containers` */
  readonly containerLogsDir: string;
  /** Pod records of this node, on a disk: `/var/lib/coracle/agent/ledger`. */
  readonly ledgerDir: string;
  /** Files that must not reach a disk, in a tmpfs of their own that outlives the agent: `/run/coracle/pods`. */
  readonly volatileDir: string;
  readonly cgroups: CgroupSettings;
  readonly maxPods: number;
  /** Pods brought up at once; 0 = two per core. */
  readonly startWidth: number;
  readonly maxParallelPulls: number;
  readonly imageVerification: VerificationPolicy;
  /** Containers that say nothing of seccomp get the runtime's profile; the kernel must know filters. */
  readonly seccompDefault: boolean;
  /** Added to the Node at registration. */
  readonly nodeLabels: Readonly<Record<string, string>>;
  readonly registerTaints: readonly { readonly key: string; readonly value?: string; readonly effect: string }[];
  /** `v1.36.0+coracle.x`: shown as kubeletVersion. */
  readonly version: string;
  /** Held back from pods; subtracted from capacity to give allocatable. */
  readonly reserved: { readonly milliCpu: number; readonly memoryBytes: number };
  readonly eviction: EvictionConfig;
  readonly imageGc: ImageGcConfig;
  readonly containerLogs: { readonly maxBytes: number; readonly maxFiles: number };
  /** Time that pods have to end when the host shuts down, by their priority; none = it is not held up. */
  readonly shutdown: readonly ShutdownTier[];
  /** Sysctls beyond the safe ones that pods may set; a trailing `*` stands for the rest of a name. */
  readonly allowedUnsafeSysctls: readonly string[];
  /** Devices of the host that pods may ask for. */
  readonly devices: readonly DeviceSelector[];
  /** Programs that give credentials of registries, and where they are. */
  readonly credentialProviders: readonly CredentialProvider[];
  readonly credentialProviderBinDir: string;
  /** Processes and threads of one pod at most; 0 = no limit. */
  readonly podPidsLimit: number;
  /** `static`: containers of Guaranteed pods that ask for whole CPUs have them alone. */
  readonly cpuManagerPolicy: 'none' | 'static';
  readonly swapBehavior: 'NoSwap' | 'LimitedSwap';
  /** Kubernetes' MemoryQoS, for cgroup v2: see `MemoryQos`. */
  readonly memoryQos: { readonly throttlingFactor: number | undefined; readonly isReserved: boolean };
  /** Out of memory, a container loses one process and not all; cgroup v2 alone can do the latter. */
  readonly singleProcessOomKill: boolean;
  /** Folder of manifests of static pods; empty = none. */
  readonly staticPodDir: string;
  /** Port of the node API. */
  readonly nodeApiPort: number;
}

export const KUBELET_DEFAULTS = {
  clusterDns: ['10.96.0.10'],
  clusterDomain: 'cluster.local',
  rootDir: '/var/lib/kubelet',
  podLogsDir: '/var/log/pods',
  containerLogsDir: '/var/log/containers',
  volatileDir: '/run/coracle/pods',
  cgroups: { driver: 'cgroupfs', root: '/' },
  maxPods: 110,
  startWidth: 0,
  maxParallelPulls: 2,
  imageVerification: { kind: 'NeverVerifyPreloadedImages', allowlist: [] },
  seccompDefault: true,
  nodeLabels: {},
  registerTaints: [],
  reserved: { milliCpu: 0, memoryBytes: 0 },
  eviction: {
    thresholds: parseThresholds({
      hard: [
        'memory.available<100Mi',
        'nodefs.available<10%',
        'nodefs.inodesFree<5%',
        'imagefs.available<15%',
        'imagefs.inodesFree<5%',
      ],
      soft: [],
      softGracePeriod: [],
      minimumReclaim: [],
    }),
    maxPodGraceSeconds: 0,
    transitionMs: 300_000,
  },
  imageGc: { highPercent: 85, lowPercent: 80, minAgeMs: 120_000, maxAgeMs: 0 },
  containerLogs: { maxBytes: 10 * 2 ** 20, maxFiles: 5 },
  shutdown: tiersOf(30, 10),
  allowedUnsafeSysctls: [],
  devices: [],
  credentialProviders: [],
  credentialProviderBinDir: '',
  podPidsLimit: 16_384,
  cpuManagerPolicy: 'none',
  swapBehavior: 'NoSwap',
  memoryQos: { throttlingFactor: undefined, isReserved: false },
  singleProcessOomKill: false,
  staticPodDir: '',
  nodeApiPort: 10_250,
} as const satisfies Partial<KubeletConfig>;
