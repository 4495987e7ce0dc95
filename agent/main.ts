import { randomUUID } from 'node:crypto';
import { createHttpTransport, type HttpTransport } from '#api/client/http-transport.ts';
import { JoinError } from '#api/client/join-error.ts';
import { createKubeClient } from '#api/client/kube-client.ts';
import { API_SERVER_NAME, parseServerAddresses } from '#api/client/server-addresses.ts';
import type { IpFamily } from '#api/meta/ip-address.ts';
import { type Node, type Pod, resources } from '#api/object/kinds.ts';
import { type Clock, delay, systemClock } from '#base/clock.ts';
import { ConfigError } from '#base/config.ts';
import { describeError, isAbortError } from '#base/errors.ts';
import { createLogger, type Logger, type LogLevel } from '#base/logger.ts';
import { COMPONENT_VERSION, GIT_VERSION } from '#base/version.ts';
import { readCgroupSettings } from './cgroup-settings.ts';
import type { AgentConfig } from './config.ts';
import { createCriRuntime } from './cri/cri-runtime.ts';
import { RuntimeOperations } from './cri/runtime-operations.ts';
import { checkFamilies, configuredNodeIps, podRanges } from './family-settings.ts';
import { prepareContainerd, startContainerdInstance } from './host/containerd-instance.ts';
import type { Host } from './host/host.ts';
import { createLinuxHost } from './host/linux-host.ts';
import { networkProber } from './host/network-prober.ts';
import { tightenPrivateFiles } from './host/private-files.ts';
import { followClusterCa } from './identity/follow-cluster-ca.ts';
import { runIdentityRenewal } from './identity/identity-renewal.ts';
import { ensureNodeIdentity, type NodeIdentity } from './identity/node-identity.ts';
import { createKubelet } from './kubelet/kubelet.ts';
import { KUBELET_DEFAULTS, type KubeletConfig } from './kubelet/kubelet-config.ts';
import { createNodeAccess } from './kubelet/server/node-access.ts';
import { createNodeServer, type NodeServer } from './kubelet/server/node-server.ts';
import { addressesMeanwhile, findNodeAddresses, followAddress } from './node-address.ts';
import { createNodeNetwork } from './node-network.ts';
import { nodeSettings, readCredentialProviders } from './node-settings.ts';
import { ownContainerdOptions } from './own-runtime.ts';
import { createCsiDrivers } from './plugins/csi-drivers.ts';
import { createDevicePlugins } from './plugins/device-plugins.ts';
import { createDraDrivers } from './plugins/dra-drivers.ts';
import { runPluginWatcher } from './plugins/plugin-watcher.ts';
import { servePodResources } from './plugins/pod-resources-server.ts';
import { followServers, openServerList } from './servers/follow-servers.ts';
import { watchServerClock } from './servers/server-clock.ts';
import type { ServerList } from './servers/server-list.ts';
import { keepFlooredClock, openFlooredClock } from './time-floor.ts';
import { createCopyGuard } from './tunnel/copy-guard.ts';
import { PacketLinks } from './tunnel/packet-links.ts';
import { runTunnels } from './tunnel/run-tunnels.ts';
import { hostNetworkPorts, podAddresses } from './tunnel-targets.ts';

/** Between two questions to a runtime that does not answer yet. */
const RUNTIME_PAUSE_MS = 1_000;
const USER_AGENT = `coracle-agent/${COMPONENT_VERSION}`;

/** The composition root of a node: makes the real parts, hands them to each other, runs until aborted. Containers go on running. */
export async function runAgent(config: AgentConfig, stop: AbortSignal): Promise<void> {
  checkFamilies(config);
  if (config.servers.length === 0) throw new ConfigError('no server is named: set --servers https://<controller>:6443');
  const copied = new AbortController();
  const signal = AbortSignal.any([stop, copied.signal]);
  const log = createLogger('agent', config.logLevel as LogLevel);
  const host = createLinuxHost();
  if (config.failSwapOn && (await host.facts()).swapBytes > 0)
    throw new ConfigError('this host has swap on and failSwapOn is set: turn one of them off');
  const clock = await openFlooredClock(host.fs, config.dataDir);
  const nodeName = config.nodeName || (await host.facts()).hostname.toLowerCase();
  const opened = await tightenPrivateFiles(host.fs, `${config.dataDir}/identity`);
  if (opened.length > 0) log.warn('keys were open to other users of this host; no more', { files: opened });
  const timeFloor = keepFlooredClock({ fs: host.fs, dataDir: config.dataDir, floored: clock, log });
  const serversPath = `${config.dataDir}/servers.json`;
  const servers = await openServerList(host, serversPath, {
    configured: parseServerAddresses(config.servers),
    random: Math.random,
  });
  const [endpoint, identity] = await Promise.all([
    startRuntime(config, host, log),
    join({ config, servers, nodeName, host, clock, log, signal }).catch((err: unknown) => {
      throw err instanceof JoinError && err.kind === 'configuration' ? new ConfigError(err.message) : err;
    }),
  ]);
  const operations = new RuntimeOperations();
  const runtime = createCriRuntime({
    ...{ endpoint, clock, log: log.child({ component: 'cri' }) },
    onCall: (method) => operations.count(method),
  });
  const packets = new PacketLinks();
  const families = Object.keys(podRanges(config.clusterCidr)) as IpFamily[];
  const towards =
    config.nodeIp === '' ? await findNodeAddresses(servers.all, families, host) : configuredNodeIps(config.nodeIp);
  const found = towards ?? (await addressesMeanwhile(families, host));
  if (towards === undefined) log.warn('there is no way to any server yet', { servers: servers.all, addresses: found });
  const network = await createNodeNetwork({
    ...{ config, nodeName, host, clock, log, nodeIps: found },
    carrier: packets,
    onProblems: () => kubelet.checkNode(),
    annotateNode: async (annotations) => {
      const patch = { metadata: { annotations } };
      await client.resource<Node>(resources.nodes).patch({ name: nodeName, type: 'merge', patch, signal });
    },
  });

  const transports = {
    node: connect({ servers, clock, log, ca: identity.caPem, keyPair: identity.node }),
    netd: connect({ servers, clock, log, ca: identity.caPem, keyPair: identity.netd }),
  };
  servers.onChange((all) => {
    for (const transport of Object.values(transports)) transport.updateServers(all);
  });
  // Asked only after `kubelet` is there: answers come later.
  const onServerClock = () => kubelet.clockWasSet();
  const client = createKubeClient(watchServerClock(transports.node, clock, onServerClock));

  // Followed by the kubelet: what changes here is told next.
  const nodeIps = [...found];
  // Runs beside the kubelet: pods must not wait for their network configuration to be written before others are looked after.
  const onPodCidrs = (podCidrs: readonly string[]) => {
    void network.onPodCidrs(podCidrs).then(() => kubelet.checkNode());
  };
  const devicePlugins = createDevicePlugins({
    folder: `${config.kubeletDir}/device-plugins`,
    fs: host.fs,
    log: log.child({ component: 'plugins' }),
  });
  await devicePlugins
    .start(signal)
    .catch((err: unknown) => log.error('device plug-ins cannot register', { err: describeError(err) }));
  const csiDrivers = createCsiDrivers({ log: log.child({ component: 'plugins' }) });
  const draDrivers = createDraDrivers({ log: log.child({ component: 'plugins' }), clock: systemClock });
  runPluginWatcher(
    {
      folder: `${config.kubeletDir}/plugins_registry`,
      fs: host.fs,
      clock,
      log: log.child({ component: 'plugins' }),
      kinds: { CSIPlugin: csiDrivers, DevicePlugin: devicePlugins, DRAPlugin: draDrivers },
    },
    signal,
  ).catch((err: unknown) => log.error('plug-ins cannot register', { err: describeError(err) }));
  const pause = () => delay(clock, RUNTIME_PAUSE_MS, signal);
  const cgroups = await readCgroupSettings({ config, host, runtime, log, pause });
  const kubelet = createKubelet({
    client,
    runtime,
    host,
    prober: networkProber,
    clock,
    log: log.child({ component: 'kubelet' }),
    random: Math.random,
    config: await kubeletConfig(config, host, { nodeName, nodeIps, cgroups }),
    devicePlugins,
    csiDrivers,
    draDrivers,
    runtimeOperations: () => operations.counts(),
    onPodCidrs,
    networkTroubles: () => network.problems(),
  });
  servePodResources(
    { folder: `${config.kubeletDir}/pod-resources`, fs: host.fs, source: kubelet.podResources },
    signal,
  ).catch((err: unknown) => log.error('pod resources are not told', { err: describeError(err) }));
  // One from before serves until its names are looked at below: without the API there is no other, and pods must start all the same.
  if (identity.serving === undefined) await identity.ensureServing(client, []);
  const server = createNodeServer({
    runtime,
    fs: host.fs,
    dialer: host.dialer,
    clock,
    log: log.child({ component: 'node-api' }),
    tls: serverTls(identity),
    lookups: kubelet.lookups,
    reports: kubelet.reports,
    access: createNodeAccess({ client, nodeName, clock, log: log.child({ component: 'node-access' }) }),
  });
  await server.listen(config.nodeApiPort);
  const netd = createKubeClient(transports.netd);
  const nameServing = keepIdentity({ identity, client, netd, server, transports, nodeIps, clock, log, signal });
  const moved: (() => void)[] = [];
  if (config.nodeIp === '')
    void followAddress(
      {
        ...{ host, clock, log, families, addresses: found, servers: () => servers.all },
        onChange(addresses) {
          nodeIps.splice(0, nodeIps.length, ...addresses);
          for (const transport of Object.values(transports)) transport.reconnect();
          kubelet.checkNode();
          nameServing(addresses);
          for (const listener of moved) listener();
        },
      },
      signal,
    );
  followServers(
    { servers, client: netd, host, path: serversPath, clock, log: log.child({ component: 'servers' }) },
    signal,
  );
  const pods = () => kubelet.lookups.listPods() as readonly Pod[];
  // Held from the next start on.
  const onLate = (message: string) => copied.abort(new JoinError('refused', message));
  const copies = createCopyGuard({ clock, log, onLate });
  const tunnel = runTunnels(
    {
      nodeName,
      servers,
      agentId: randomUUID(),
      onVerdict: copies.onVerdict,
      packets,
      onMoved: (listener) => moved.push(listener),
      tls: () => ({ ca: identity.caPem, cert: identity.node.certificatePem, key: identity.node.privateKeyPem }),
      targets: {
        nodeApiPort: config.nodeApiPort,
        podAddresses: () => podAddresses(pods()),
        hostPorts: () => hostNetworkPorts(pods()),
      },
      dialer: host.dialer,
      clock,
      log: log.child({ component: 'tunnel' }),
    },
    signal,
  );
  // A copy would tell the cluster of its own addresses under the name of the node.
  await copies.mayBegin(signal).catch(() => undefined);
  if (!signal.aborted) network.start(netd, signal);
  log.info('the node is up', { node: nodeName, addresses: nodeIps });
  // Resolves when pods are looked after; a failure here is one that a restart may cure, so it ends the process.
  await kubelet.start(signal).catch((err: unknown) => {
    if (!signal.aborted && !isAbortError(err)) throw err;
  });
  await tunnel;
  await server.close();
  runtime.close();
  for (const transport of Object.values(transports)) transport.close();
  await timeFloor.stop();
  if (!stop.aborted) copied.signal.throwIfAborted();
}

/** Writes the configuration of our own containerd and answers its path: for the service manager, before it starts containerd. */
export async function writeRuntimeConfig(config: AgentConfig): Promise<string> {
  const options = await ownContainerdOptions(
    config,
    createLinuxHost(),
    systemClock,
    createLogger('agent', config.logLevel as LogLevel),
  );
  await prepareContainerd(options);
  return options.configPath;
}

async function startRuntime(config: AgentConfig, host: Host, log: Logger): Promise<string> {
  if (config.criEndpoint !== '') return config.criEndpoint;
  const { endpoint } = await startContainerdInstance(await ownContainerdOptions(config, host, systemClock, log));
  return endpoint;
}

interface Joining {
  readonly config: AgentConfig;
  readonly servers: ServerList;
  readonly nodeName: string;
  readonly host: Host;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

function join({ config, servers, nodeName, host, clock, log, signal }: Joining): Promise<NodeIdentity> {
  return ensureNodeIdentity({
    host,
    dir: `${config.dataDir}/identity`,
    servers: servers.all,
    nodeName,
    joinToken: config.token === '' ? undefined : config.token,
    clock,
    log: log.child({ component: 'identity' }),
    signal,
    connect({ servers, caPem, keyPair, token }) {
      const transport = createHttpTransport({
        servers,
        serverName: API_SERVER_NAME,
        ca: caPem,
        ...(keyPair === undefined ? {} : { cert: keyPair.certificatePem, key: keyPair.privateKeyPem }),
        ...(token === undefined ? {} : { token }),
        userAgent: USER_AGENT,
        clock,
        log,
      });
      return { client: createKubeClient(transport), close: () => transport.close() };
    },
  });
}

interface Connecting {
  readonly servers: ServerList;
  readonly ca: string;
  readonly keyPair: NodeIdentity['node'];
  readonly clock: Clock;
  readonly log: Logger;
}

function connect({ servers, ca, keyPair, clock, log }: Connecting): HttpTransport {
  const { certificatePem: cert, privateKeyPem: key } = keyPair;
  return createHttpTransport({
    servers: servers.all,
    serverName: API_SERVER_NAME,
    ca,
    cert,
    key,
    userAgent: USER_AGENT,
    clock,
    log,
  });
}

interface IdentityKeeping {
  readonly identity: NodeIdentity;
  readonly client: ReturnType<typeof createKubeClient>;
  readonly netd: ReturnType<typeof createKubeClient>;
  readonly server: NodeServer;
  readonly transports: { readonly node: HttpTransport; readonly netd: HttpTransport };
  readonly nodeIps: readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * Puts renewed certificates to use, and gets the serving certificate its addresses once the Node object shows them; the answer does so
 * for another address.
 */
function keepIdentity(keeping: IdentityKeeping): (addresses: readonly string[]) => void {
  const { identity, client, netd, server, transports, nodeIps, clock, log, signal } = keeping;
  const apply = () => {
    const { caPem: ca } = identity;
    transports.node.updateCredentials(credentialsOf(identity.node, ca));
    transports.netd.updateCredentials(credentialsOf(identity.netd, ca));
    server.updateTls(serverTls(identity));
  };
  const nameServing = (addresses: readonly string[]) =>
    void identity.ensureServing(client, addresses).then(
      (isNew) => isNew && server.updateTls(serverTls(identity)),
      (err: unknown) => {
        if (!signal.aborted)
          log.warn('the serving certificate has no addresses yet; names serve', { err: describeError(err) });
      },
    );
  nameServing(nodeIps);
  void followClusterCa({ identity, client: netd, clock, log, signal, onChanged: apply });
  runIdentityRenewal({ identity, client, clock, log, signal, onRenewed: apply }).catch((err: unknown) => {
    if (!signal.aborted) log.error('certificates are no longer renewed', { err: describeError(err) });
  });
  return nameServing;
}

const credentialsOf = ({ certificatePem: cert, privateKeyPem: key }: NodeIdentity['node'], ca: string) => ({
  ca,
  cert,
  key,
  serverName: API_SERVER_NAME,
});

function serverTls({ serving, caPem }: NodeIdentity): Parameters<NodeServer['updateTls']>[0] {
  if (serving === undefined) throw new Error('the node has no serving certificate');
  return { key: serving.privateKeyPem, cert: serving.certificatePem, clientCa: caPem };
}

async function kubeletConfig(
  config: AgentConfig,
  host: Host,
  found: Pick<KubeletConfig, 'nodeName' | 'nodeIps' | 'cgroups'>,
): Promise<KubeletConfig> {
  return {
    ...KUBELET_DEFAULTS,
    ...nodeSettings(config),
    ...found,
    clusterDns: config.clusterDns,
    clusterDomain: config.clusterDomain,
    rootDir: config.kubeletDir,
    podLogsDir: config.podLogsDir,
    containerLogsDir: config.containerLogsDir,
    ledgerDir: `${config.dataDir}/ledger`,
    volatileDir: `${config.runDir}/pods`,
    seccompDefault: config.seccompDefault && (await hasSeccompFilters(host)),
    maxPods: config.maxPods,
    staticPodDir: config.staticPodDir,
    credentialProviders: await readCredentialProviders(config.imageCredentialProviderConfig, host.fs),
    credentialProviderBinDir: config.imageCredentialProviderBinDir,
    podPidsLimit: config.podPidsLimit,
    cpuManagerPolicy: config.cpuManagerPolicy === 'static' ? 'static' : 'none',
    singleProcessOomKill: config.singleProcessOomKill,
    swapBehavior: config.swapBehavior === 'LimitedSwap' ? 'LimitedSwap' : 'NoSwap',
    allowedUnsafeSysctls: config.allowedUnsafeSysctls,
    nodeApiPort: config.nodeApiPort,
    version: GIT_VERSION,
  };
}

/** A runtime refuses profiles on kernels that were built without filters. */
async function hasSeccompFilters(host: Host): Promise<boolean> {
  return (await host.fs.info('/proc/sys/kernel/seccomp/actions_avail')) !== undefined;
}
