import type { ConfigOf } from '#base/config.ts';

/** Every key of `/etc/coracle/agent.yaml`. */
export const AGENT_CONFIG = {
  servers: { type: 'list', default: [], description: 'addresses of the API servers, e.g. https://192.0.2.1:6443' },
  token: {
    type: 'string',
    default: '',
    description:
      'join token as `coracle token create` prints it, <id>.<secret>@sha256:<hash of the CA>; needed until the node has its own certificate',
  },
  nodeName: {
    type: 'string',
    default: '',
    description: 'name of the node, fixed when it joins; empty means the host name',
  },
  nodeIp: {
    type: 'string',
    default: '',
    description:
      'address of the node, or one of each family; empty means the one used towards the server, and that of the default route of the other family where pods have both',
  },
  dataDir: {
    type: 'string',
    default: '/var/lib/coracle/agent',
    description: 'directory of keys, ledger and runtime state',
  },
  runDir: { type: 'string', default: '/run/coracle', description: 'directory of sockets and run-time files' },
  kubeletDir: {
    type: 'string',
    default: '/var/lib/kubelet',
    description: 'directory of pod volumes and plug-in sockets',
  },
  podLogsDir: { type: 'string', default: '/var/log/pods', description: 'directory of container logs' },
  containerLogsDir: {
    type: 'string',
    default: '/var/log/containers',
    description: 'directory of links to container logs',
  },
  criEndpoint: {
    type: 'string',
    default: '',
    description: 'socket of another CRI v1 runtime; empty means our own containerd',
  },
  cniConfDir: {
    type: 'string',
    default: '',
    description: 'directory of the pod network configuration; empty means the runtime’s own',
  },
  cniBinDirs: {
    type: 'list',
    default: ['/opt/cni/bin', '/usr/lib/cni'],
    description: 'where CNI plug-ins are looked for; the first directory with a bridge plug-in serves',
  },
  clusterCidr: {
    type: 'string',
    default: '10.244.0.0/16',
    description: 'addresses of pods of the whole cluster, as on the controller; for dual stack a range of each family',
  },
  clusterDns: {
    type: 'list',
    default: ['10.96.0.10'],
    description: 'addresses of the cluster DNS: the tenth of each serviceCidr',
  },
  dnsPort: {
    type: 'number',
    default: 10053,
    range: [1, 65_535],
    description: 'port of the resolver in this agent, on an address that only this node and its pods reach',
  },
  dnsUpstreams: {
    type: 'list',
    default: [],
    description: 'resolvers asked for names outside the cluster; empty means those of the host',
  },
  dnsStubDomains: {
    type: 'list',
    default: [],
    description: 'resolvers asked for the names of a domain, e.g. corp.example=10.0.0.53',
  },
  clusterDomain: { type: 'string', default: 'cluster.local', description: 'DNS domain of the cluster' },
  nodeApiPort: {
    type: 'number',
    default: 10250,
    range: [1, 65_535],
    description: 'port of the node API (logs, exec)',
  },
  maxPods: { type: 'number', default: 110, description: 'how many pods this node takes' },
  seccompDefault: {
    type: 'boolean',
    default: true,
    description:
      'whether containers that say nothing of seccomp get the profile RuntimeDefault, where the kernel knows filters',
  },
  reservedCpu: { type: 'string', default: '0', description: 'CPU that pods cannot have, e.g. 200m' },
  reservedMemory: { type: 'string', default: '0', description: 'memory that pods cannot have, e.g. 256Mi' },
  evictionHard: {
    type: 'list',
    default: [
      'memory.available<100Mi',
      'nodefs.available<10%',
      'nodefs.inodesFree<5%',
      'imagefs.available<15%',
      'imagefs.inodesFree<5%',
    ],
    description: 'when pods are evicted at once, as <signal><<quantity or percentage>',
  },
  evictionSoft: { type: 'list', default: [], description: 'when pods are evicted after a grace period' },
  evictionSoftGracePeriod: {
    type: 'list',
    default: [],
    description: 'how long each soft threshold must be crossed, e.g. memory.available=1m30s',
  },
  evictionMinimumReclaim: {
    type: 'list',
    default: [],
    description: 'what must be free beyond a threshold before it counts as left, e.g. nodefs.available=500Mi',
  },
  evictionMaxPodGracePeriod: {
    type: 'number',
    default: 0,
    description: 'longest grace in seconds of a pod that a soft threshold evicts',
  },
  evictionPressureTransitionPeriod: {
    type: 'string',
    default: '5m',
    description: 'how long a pressure condition of the node outlives its cause',
  },
  imageGcHighThresholdPercent: {
    type: 'number',
    default: 85,
    range: [1, 100],
    description: 'use of the images’ disk at which unused images are removed',
  },
  imageGcLowThresholdPercent: {
    type: 'number',
    default: 80,
    range: [0, 99],
    description: 'use of the images’ disk down to which unused images are removed',
  },
  imageMinimumGcAge: { type: 'string', default: '2m', description: 'unused images younger than this stay' },
  imageMaximumGcAge: {
    type: 'string',
    default: '0s',
    description: 'images that were unused for longer are removed, however much room there is; 0s means never',
  },
  containerLogMaxSize: { type: 'string', default: '10Mi', description: 'size at which a container’s log is rotated' },
  containerLogMaxFiles: {
    type: 'number',
    default: 5,
    range: [2, 1000],
    description: 'how many log files a container has at most',
  },
  shutdownGracePeriod: {
    type: 'string',
    default: '30s',
    description: 'how long a shutdown of the host waits for pods to end, critical ones included; 0s means not at all',
  },
  shutdownGracePeriodCriticalPods: {
    type: 'string',
    default: '10s',
    description: 'how much of that is kept for critical pods, which end last',
  },
  shutdownGracePeriodByPodPriority: {
    type: 'list',
    default: [],
    description:
      'in place of both: how long pods of a priority and above have to end, e.g. 0=20s and 100000=10s; the lowest end first',
  },
  allowedUnsafeSysctls: {
    type: 'list',
    default: [],
    description: 'sysctls beyond the safe ones that pods may set, e.g. kernel.msg*',
  },
  devices: {
    type: 'list',
    default: [],
    description: 'devices that pods may ask for, e.g. coracle.dev/zigbee=usb:10c4:ea60 or coracle.dev/gpio=gpio',
  },
  podPidsLimit: {
    type: 'number',
    default: 16_384,
    description: 'processes and threads that one pod may have; 0 means no limit',
  },
  serializeImagePulls: {
    type: 'boolean',
    default: false,
    description: 'whether images are pulled one after the other',
  },
  maxParallelImagePulls: {
    type: 'number',
    default: 0,
    range: [0, 1000],
    description: 'how many images are pulled at once; 0 means 2, or 1 with serializeImagePulls',
  },
  imagePullCredentialsVerificationPolicy: {
    type: 'string',
    default: 'NeverVerifyPreloadedImages',
    oneOf: ['NeverVerify', 'NeverVerifyPreloadedImages', 'NeverVerifyAllowlistedImages', 'AlwaysVerify'],
    description:
      'which images on the node pods may use without what these were pulled with: all, those that no pod brought, those of preloadedImagesVerificationAllowlist, or none',
  },
  preloadedImagesVerificationAllowlist: {
    type: 'list',
    default: [],
    description:
      'images that NeverVerifyAllowlistedImages leaves to all pods, e.g. registry.example/team/app or registry.example/team/*',
  },
  imageCredentialProviderConfig: {
    type: 'string',
    default: '',
    description: 'file with a CredentialProviderConfig: plug-ins that give credentials of registries',
  },
  imageCredentialProviderBinDir: {
    type: 'string',
    default: '/usr/libexec/kubernetes/kubelet-plugins/credential-provider',
    description: 'directory of those plug-ins',
  },
  cpuManagerPolicy: {
    type: 'string',
    default: 'none',
    oneOf: ['none', 'static'],
    description:
      'static gives whole CPUs to containers of Guaranteed pods that ask for whole CPUs; it needs reservedCpu for all others',
  },
  cgroupDriver: {
    type: 'string',
    default: 'auto',
    oneOf: ['auto', 'systemd', 'cgroupfs'],
    description:
      'cgroup driver of the runtime at criEndpoint, should it not tell; auto takes systemd where that manages cgroup v2',
  },
  failSwapOn: {
    type: 'boolean',
    default: false,
    description: 'whether the agent refuses to start on a host that has swap on',
  },
  memoryThrottlingFactor: {
    type: 'string',
    default: '',
    description:
      'where between request and limit containers are slowed down (memory.high), e.g. 0.9; empty means nowhere; cgroup v2',
  },
  memoryReservationPolicy: {
    type: 'string',
    default: 'None',
    oneOf: ['None', 'TieredReservation'],
    description: 'whether memory that pods request is kept for them (memory.min and memory.low); cgroup v2',
  },
  singleProcessOomKill: {
    type: 'boolean',
    default: false,
    description:
      'whether a container that is out of memory loses one process instead of all; cgroup v1 cannot do otherwise',
  },
  swapBehavior: {
    type: 'string',
    default: 'NoSwap',
    oneOf: ['NoSwap', 'LimitedSwap'],
    description: 'whether Burstable containers may swap, where the host has swap and cgroup v2',
  },
  staticPodDir: {
    type: 'string',
    default: '/etc/coracle/manifests',
    description: 'folder of manifests of pods that this node runs without being told; empty means none',
  },
  mtu: {
    type: 'number',
    default: 0,
    range: [0, 65_535],
    description: 'MTU of pod interfaces; 0 works it out: that of the link between nodes, less what a tunnel takes',
  },
  podTransport: {
    type: 'string',
    default: 'auto',
    oneOf: ['auto', 'direct', 'vxlan'],
    description:
      'how packets go between pods of two nodes: direct by plain routes (nodes share a link), vxlan in a tunnel; auto does either as needed',
  },
  vxlanPort: {
    type: 'number',
    default: 8472,
    range: [1, 65_535],
    description: 'UDP port of the tunnels between nodes; the same on every node',
  },
  podEncryption: {
    type: 'string',
    default: 'none',
    oneOf: ['none', 'wireguard'],
    description:
      'whether packets between pods of two nodes are encrypted, or else do not go; the same on every node (it needs wireguard-tools)',
  },
  wireguardPort: {
    type: 'number',
    default: 51_820,
    range: [1, 65_535],
    description: 'UDP port of WireGuard between nodes; the same on every node',
  },
  proxyMode: {
    type: 'string',
    default: 'auto',
    oneOf: ['auto', 'iptables', 'nftables', 'none'],
    description: 'how Services are programmed; auto takes iptables where the host has it',
  },
  nodePortAddresses: {
    type: 'list',
    default: [],
    description: 'ranges of node addresses on which node ports answer, or primary; empty means every address',
  },
  proxyHealthzPort: {
    type: 'number',
    default: 10256,
    range: [0, 65_535],
    description: 'port at which load balancers ask for the health of the proxy; 0 serves none',
  },
  proxyMetricsPort: {
    type: 'number',
    default: 10249,
    range: [0, 65_535],
    description: 'port on 127.0.0.1 for the metrics of proxy and DNS; 0 serves none',
  },
  localhostNodePorts: {
    type: 'boolean',
    default: true,
    description: 'whether node ports answer on 127.0.0.1 too (iptables only; sets route_localnet)',
  },
  networkMode: {
    type: 'string',
    default: 'routes',
    oneOf: ['routes', 'cni'],
    description: 'routes: we write the CNI configuration and the routes between nodes; cni: somebody else does',
  },
  logLevel: {
    type: 'string',
    default: 'info',
    oneOf: ['debug', 'info', 'warn', 'error'],
    description: 'least severe message that is logged',
  },
} as const;

export type AgentConfig = ConfigOf<typeof AGENT_CONFIG>;
