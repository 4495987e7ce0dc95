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
    description: 'address of the node; empty means the one used towards the server',
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
  clusterCidr: { type: 'string', default: '10.244.0.0/16', description: 'addresses of pods of the whole cluster' },
  clusterDns: { type: 'list', default: ['10.96.0.10'], description: 'address of the cluster DNS' },
  clusterDomain: { type: 'string', default: 'cluster.local', description: 'DNS domain of the cluster' },
  nodeApiPort: {
    type: 'number',
    default: 10250,
    range: [1, 65_535],
    description: 'port of the node API (logs, exec)',
  },
  maxPods: { type: 'number', default: 110, description: 'how many pods this node takes' },
  mtu: { type: 'number', default: 1500, description: 'MTU of pod interfaces' },
  proxyMode: {
    type: 'string',
    default: 'auto',
    oneOf: ['auto', 'iptables', 'none'],
    description: 'how Services are programmed',
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
