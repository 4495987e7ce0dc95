import type { ConfigOf } from '#base/config.ts';

/** Every key of `/etc/coracle/controller.yaml`. */
export const CONTROLLER_CONFIG = {
  dataDir: {
    type: 'string',
    default: '/var/lib/coracle/controller',
    description: 'directory of the store, the CA and the keys',
  },
  components: {
    type: 'list',
    default: ['apiserver', 'scheduler', 'controller-manager', 'cloud-controller-manager'],
    description:
      'parts of the control plane that this process runs; without apiserver it works through those named by servers',
  },
  servers: {
    type: 'list',
    default: [],
    description:
      'addresses of the API servers, e.g. https://192.0.2.1:6443, for a process that joins or runs none itself',
  },
  join: {
    type: 'string',
    default: '',
    description:
      'token of `coracle token create --controller`, with which this process gets the keys of its components at its first start',
  },
  store: {
    type: 'string',
    default: 'sqlite',
    oneOf: ['sqlite', 'etcd'],
    description:
      'where the state is kept: in a file of this host, or in an etcd cluster that several controllers share',
  },
  etcdServers: {
    type: 'list',
    default: [],
    description: 'members of the etcd cluster, e.g. https://192.0.2.11:2379,https://192.0.2.12:2379',
  },
  etcdCa: {
    type: 'string',
    default: '',
    description: 'file with the CA of the etcd cluster; empty means the authorities that this host trusts',
  },
  etcdCert: { type: 'string', default: '', description: 'file with the client certificate for etcd; empty means none' },
  etcdKey: { type: 'string', default: '', description: 'file with the key of that certificate' },
  etcdPrefix: {
    type: 'string',
    default: '/registry',
    description: 'what the keys in etcd begin with; /registry is that of Kubernetes',
  },
  bindAddress: { type: 'string', default: '', description: 'address to listen on; empty means all' },
  port: { type: 'number', default: 6443, range: [1, 65_535], description: 'port of the API' },
  advertiseAddress: {
    type: 'string',
    default: '',
    description:
      'address that nodes and pods reach the API at, of the family of the first serviceCidr; empty means the one of the default route',
  },
  tlsNames: {
    type: 'list',
    default: [],
    description: 'further host names and addresses of the serving certificate, separated by commas',
  },
  kubeconfig: {
    type: 'string',
    default: '/etc/coracle/admin.kubeconfig',
    description: 'where the administrator’s kubeconfig is written (mode 0600)',
  },
  clusterCidr: {
    type: 'string',
    default: '10.244.0.0/16',
    description: 'addresses of pods; for dual stack a range of each family, e.g. 10.244.0.0/16,fd42::/48',
  },
  nodeCidrMaskSize: {
    type: 'number',
    default: 24,
    range: [1, 32],
    description: 'prefix length of one node’s share of the pod addresses',
  },
  nodeCidrMaskSizeIpv6: {
    type: 'number',
    default: 64,
    range: [1, 128],
    description: 'the same for addresses of IPv6',
  },
  serviceCidr: {
    type: 'string',
    default: '10.96.0.0/16',
    description:
      'addresses of Services; for dual stack a range of each family, e.g. 10.96.0.0/16,fd43::/112: Services have the first where they ask for none',
  },
  nodePorts: { type: 'string', default: '30000-32767', description: 'range of node ports' },
  clusterDomain: { type: 'string', default: 'cluster.local', description: 'DNS domain of the cluster' },
  threads: {
    type: 'string',
    default: 'auto',
    oneOf: ['auto', 'one', 'many'],
    description:
      'whether scheduler and controllers run in a thread of their own; auto means one thread below 1 GB of memory',
  },
  auditLogPath: {
    type: 'string',
    default: '',
    description: 'file for the audit log, one JSON object a line; empty means none',
  },
  authenticationConfig: {
    type: 'string',
    default: '',
    description:
      'file with an apiserver.config.k8s.io/v1 AuthenticationConfiguration: issuers of OpenID Connect tokens, and who may come without credentials; empty means no issuer, and nobody beyond health and version',
  },
  auditPolicyFile: {
    type: 'string',
    default: '',
    description:
      'file with an audit.k8s.io/v1 Policy; empty means that changes and refusals are logged at level Metadata',
  },
  auditLogMaxsize: { type: 'number', default: 100, description: 'megabytes at which the audit log is set aside' },
  auditLogMaxbackup: { type: 'number', default: 1, description: 'audit logs set aside that are kept; 0 means all' },
  auditLogMaxage: {
    type: 'number',
    default: 0,
    description: 'days for which audit logs set aside are kept; 0 means without limit',
  },
  authorizationLog: {
    type: 'string',
    default: '',
    description:
      'file for every question of authorization and its answer, one JSON object a line, to find the rights that a client needs; empty means none',
  },
  maxRequestsInflight: {
    type: 'number',
    default: 400,
    description: 'requests that run at once; with the next, the seats that priority and fairness shares out',
  },
  maxMutatingRequestsInflight: { type: 'number', default: 200, description: 'the same for requests that write' },
  leaderElectLeaseSeconds: {
    type: 'number',
    default: 15,
    description: 'how long a silent leader (scheduler, controller-manager) is believed before another takes over',
  },
  leaderElectRenewSeconds: {
    type: 'number',
    default: 10,
    description: 'how long a leader tries to renew its lease before it steps down and stands again',
  },
  leaderElectRetrySeconds: {
    type: 'number',
    default: 2,
    description:
      'time between two tries of leaders to renew and of others to take over; up to a fifth longer by chance',
  },
  shutdownDelaySeconds: {
    type: 'number',
    default: 0,
    range: [0, 3_600],
    description:
      'how long the API server goes on after it was told to stop, with /readyz saying so: for load balancers that ask there',
  },
  nodeMonitorGraceSeconds: {
    type: 'number',
    default: 50,
    description: 'how long a node may be silent before it counts as not ready',
  },
  encryptSecrets: {
    type: 'boolean',
    default: true,
    description:
      'whether Secrets are encrypted on disk, under keys in the data directory that are made and rotated by themselves',
  },
  encryptionProviderConfig: {
    type: 'string',
    default: '',
    description:
      'file with an apiserver.config.k8s.io/v1 EncryptionConfiguration (aesgcm, aescbc, identity): what to encrypt further, and under which keys; empty means nothing',
  },
  backupDir: {
    type: 'string',
    default: '',
    description:
      'folder for scheduled backups, below /var/backups unless the systemd unit is given another (ReadWritePaths); empty means none are taken',
  },
  backupIntervalMinutes: {
    type: 'number',
    default: 360,
    range: [1, 525_600],
    description: 'minutes between two scheduled backups',
  },
  backupRetain: {
    type: 'number',
    default: 12,
    range: [1, 100_000],
    description: 'how many scheduled backups are kept',
  },
  backupPassphraseFile: {
    type: 'string',
    default: '',
    description: 'file whose first line is the passphrase of scheduled backups',
  },
  lapsedNodeDays: {
    type: 'number',
    default: 365,
    range: [0, 36_500],
    description:
      'how long after its certificate has expired a node that was away may come back with its old key; 0 means that it has to join again',
  },
  logLevel: {
    type: 'string',
    default: 'info',
    oneOf: ['debug', 'info', 'warn', 'error'],
    description: 'least severe message that is logged',
  },
} as const;

export type ControllerConfig = ConfigOf<typeof CONTROLLER_CONFIG>;
