import type { KubeClient } from '#api/client/client.ts';
import { createEventRecorder, type EventRecorder } from '#api/client/event-recorder.ts';
import type { Informer } from '#api/client/informer.ts';
import { createInformer } from '#api/client/shared-informer.ts';
import { type ConfigMap, type Node, type Pod, resources, type Secret, type Service } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { watchClockJumps } from '#base/clock-jumps.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { ContainerRuntime, RegistryAuth } from '../cri/runtime.ts';
import type { Host, HostFacts } from '../host/host.ts';
import { PodPaths } from './config/pod-paths.ts';
import { ContainerStarter } from './container-starter.ts';
import { CpuManager, type CpuManagerOptions, readCpuTopology } from './cpus/cpu-manager.ts';
import { DeviceManager } from './devices/device-manager.ts';
import { type DevicePlugins, NO_PLUGINS } from './devices/device-plugin.ts';
import { type PodResourcesSource, podResourcesSource } from './devices/pod-resources.ts';
import { UsageReader } from './eviction/usage-reader.ts';
import { CredentialPlugins } from './images/credential-plugins.ts';
import { ImageManager } from './images/image-manager.ts';
import type { ImageReference } from './images/image-reference.ts';
import { dockerAuths, matchingAuths, registryCredentials } from './images/registry-credentials.ts';
import type { KubeletConfig } from './kubelet-config.ts';
import { KubeletLookups } from './kubelet-lookups.ts';
import { Ledger } from './ledger.ts';
import { runLogRotation } from './logs/log-rotator.ts';
import { keepCsiNode } from './node/csi-node.ts';
import type { NetworkTrouble } from './node/network-conditions.ts';
import { admitPod } from './node/node-admission.ts';
import { NodeAgent } from './node/node-agent.ts';
import { NodeHealth } from './node/node-health.ts';
import { type NodeAbilities, refuseIsolation } from './node/pod-security-admission.ts';
import { PodCopies } from './offline/pod-copies.ts';
import { ServiceCopy } from './offline/service-copy.ts';
import { PodCgroups } from './pod-cgroups.ts';
import { PodEvents } from './pod-events.ts';
import { PodExecutor } from './pod-executor.ts';
import { PodManager } from './pod-manager.ts';
import { namespaceOf, specOf, uidOf } from './pod-spec.ts';
import type { Prober } from './prober.ts';
import { ProbeManager } from './probes/probe-manager.ts';
import { ReferencedObjects } from './referenced-objects.ts';
import { ContainerResizer } from './resize/container-resizer.ts';
import { RuntimeCache } from './runtime-cache.ts';
import { RuntimeClasses } from './runtime-classes.ts';
import type { NodeReports } from './server/node-reports.ts';
import { NodeApiError, type PodLookups } from './server/pod-lookups.ts';
import { watchLogind } from './shutdown/logind.ts';
import { ShutdownManager } from './shutdown/shutdown-manager.ts';
import { tiersOf } from './shutdown/shutdown-plan.ts';
import { StartGate } from './start-gate.ts';
import { ManifestFolder } from './static/manifest-folder.ts';
import { MirrorPods } from './static/mirror-pods.ts';
import { KubeletReports } from './stats/kubelet-reports.ts';
import { Sampler } from './stats/sampler.ts';
import { StatusManager } from './status/status-manager.ts';
import { terminationMessage } from './termination-message.ts';
import { UserRanges } from './user-ranges.ts';
import { CsiBlockVolumes } from './volumes/csi/csi-block-volumes.ts';
import { CsiCalls } from './volumes/csi/csi-calls.ts';
import { type CsiDrivers, NO_DRIVERS } from './volumes/csi/csi-driver.ts';
import { CsiVolumes } from './volumes/csi/csi-volumes.ts';
import { KeyLock } from './volumes/csi/key-lock.ts';
import { PersistentClaims } from './volumes/persistent-claims.ts';
import { TokenSource } from './volumes/token-source.ts';
import { VolumeError } from './volumes/volume-kind.ts';
import { type ImageRequest, VolumeManager } from './volumes/volume-manager.ts';
import { withinOrGoOn } from './within-or-go-on.ts';

export interface KubeletDeps {
  /** Acts as `system:node:<name>`. */
  readonly client: KubeClient;
  readonly runtime: ContainerRuntime;
  readonly host: Host;
  readonly prober: Prober;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
  readonly config: KubeletConfig;
  /** Plug-ins that bring devices of their own. */
  readonly devicePlugins?: DevicePlugins;
  /** CSI drivers that have registered. */
  readonly csiDrivers?: CsiDrivers;
  /** The controller gave this node its pod addresses, or changed them. */
  readonly onPodCidrs?: (podCidrs: readonly string[]) => void;
  /** What is in the way of pod traffic; undefined: the pod network is somebody else's. */
  readonly networkTroubles?: () => readonly NetworkTrouble[] | undefined;
}

export interface Kubelet {
  /** What the node's HTTP API asks. */
  readonly lookups: PodLookups;
  readonly reports: NodeReports;
  /** Empty until the kubelet has started. */
  readonly podResources: PodResourcesSource;
  /** The informer of this node's own Node object, for those who need its spec. */
  readonly nodes: Informer<Node>;
  /** Resolves once pods of the API are looked after. Runs until aborted; rejects when aborted before. */
  start(signal: AbortSignal): Promise<void>;
  /** Looks at the node's status now: the pod network has changed. */
  checkNode(): void;
  /** The clock of this host or of the server was set: tokens are asked for anew. */
  clockWasSet(): void;
}

const NODE_SHUTDOWN = { reason: 'NodeShutdown', message: 'Pod was rejected as the node is shutting down.' };

/** A relist that is later than this makes the node unready, as in Kubernetes. */
const RELIST_LATE_MS = 180_000;
const WIDTH_PER_CORE = 2;
const VOLUME_PULL_MS = 15 * 60_000;
const SERVICES_WAIT_MS = 5_000;

/** Puts the parts of the kubelet together; the only place that knows all of them. */
export function createKubelet(deps: KubeletDeps): Kubelet {
  const { client, clock, log, random, config } = deps;
  const recorder = createEventRecorder({ client, component: 'kubelet', host: config.nodeName, clock, log });
  const own = (fieldSelector: string) => ({ fieldSelector, clock, log, random });
  const pods = createInformer<Pod>({
    resource: client.resource<Pod>(resources.pods),
    ...own(`spec.nodeName=${config.nodeName}`),
  });
  const nodes = createInformer<Node>({
    resource: client.resource<Node>(resources.nodes),
    ...own(`metadata.name=${config.nodeName}`),
  });
  const services = createInformer<Service>({
    resource: client.resource<Service>(resources.services),
    clock,
    log,
    random,
  });
  const serviceCopy = new ServiceCopy({
    ...{ fs: deps.host.fs, services, clock, log },
    path: `${config.ledgerDir}/../services.json`,
  });
  let started: StartedKubelet | undefined;
  const paths = new PodPaths({
    kubelet: config.rootDir,
    podLogs: config.podLogsDir,
    containerLogs: config.containerLogsDir,
  });
  return {
    nodes,
    lookups: lazyLookups(() => started?.lookups),
    reports: lazyReports(() => started?.reports),
    podResources: {
      list: () => started?.podResources.list() ?? [],
      allocatable: () => started?.podResources.allocatable() ?? [],
      allocatableCpus: () => started?.podResources.allocatableCpus() ?? [],
    },
    async start(signal) {
      started = await assemble({ deps, recorder, pods, nodes, services, serviceCopy, paths }, signal);
      await started.run();
    },
    checkNode: () => started?.node.checkNow(),
    clockWasSet: () => started?.clockWasSet(),
  };
}

interface Parts {
  readonly deps: KubeletDeps;
  readonly recorder: EventRecorder;
  readonly pods: Informer<Pod>;
  readonly nodes: Informer<Node>;
  readonly services: Informer<Service>;
  readonly serviceCopy: ServiceCopy;
  readonly paths: PodPaths;
}

interface StartedKubelet {
  readonly lookups: PodLookups;
  readonly reports: NodeReports;
  readonly podResources: PodResourcesSource;
  readonly node: NodeAgent;
  clockWasSet(): void;
  run(): Promise<void>;
}

async function assemble(parts: Parts, signal: AbortSignal): Promise<StartedKubelet> {
  const { deps, recorder, paths } = parts;
  const { client, runtime, host, prober, clock, log, random, config } = deps;
  await makeDirectories(deps);
  const events = new PodEvents(recorder);
  // The workers are made last but spoken to by everything: changes go to them through `manager`.
  let manager: PodManager | undefined;
  let health: NodeHealth | undefined;
  let shutdown: ShutdownManager | undefined;
  const onChange = (uid: Parameters<PodManager['poke']>[0]) => manager?.onRuntimeChange(uid);
  const cache: RuntimeCache = new RuntimeCache({
    runtime,
    clock,
    log,
    onChange,
    exitMessage: (identity, status) => terminationMessage(host.fs, paths, identity, status),
  });
  const unhealthy = () => {
    if (cache.lastRelistMs === undefined) return 'PLEG is not healthy: pleg has yet to be successful';
    const ageMs = clock.monotonic() - cache.lastRelistMs;
    return ageMs > RELIST_LATE_MS
      ? `PLEG is not healthy: pleg was last seen active ${Math.round(ageMs / 1000)}s ago`
      : undefined;
  };
  const pressures = () => health?.eviction.pressures ?? new Set<string>();
  const isShuttingDown = () => shutdown?.isShuttingDown ?? false;
  const devices = () => deviceManager?.resources() ?? new Map<string, string>();
  let deviceManager: DeviceManager | undefined;
  const node = new NodeAgent({
    client,
    runtime,
    host,
    config,
    clock,
    log,
    recorder,
    unhealthy,
    pressures,
    isShuttingDown,
    devices,
    lookForDevices: async () => deviceManager?.look(),
    networkTroubles: () => deps.networkTroubles?.(),
  });
  await node.prepare();
  const facts = node.facts ?? (await host.facts());
  const abilities = await readAbilities(deps);
  const ledger = new Ledger({ fs: host.fs, directory: config.ledgerDir, clock, log });
  await ledger.load();
  deviceManager = new DeviceManager({
    ...{ fs: host.fs, ledger, log },
    selectors: config.devices,
    plugins: deps.devicePlugins ?? NO_PLUGINS,
    onMoved: (uid, container, resource) => manager?.restartContainer(uid, container, resource),
  });
  await deviceManager.look();

  // Beside the ledger: together they are what an offline boot needs.
  const copies = new PodCopies({
    ...{ fs: host.fs, clock, log },
    directory: `${config.ledgerDir}/../copies`,
    keyFile: `${config.ledgerDir}/../copies.key`,
  });
  const watched = {
    client,
    clock,
    random,
    copies,
    onChange: (uids: Parameters<PodManager['refreshVolumes']>[0]) => manager?.refreshVolumes(uids),
  };
  const configMaps = new ReferencedObjects<ConfigMap>({ ...watched, info: resources.configMaps });
  const secrets = new ReferencedObjects<Secret>({ ...watched, info: resources.secrets });
  const { credentialProviders: providers, credentialProviderBinDir: binDir } = config;
  const plugins = new CredentialPlugins({ exec: host.exec, clock, log, binDir, providers });
  const images = new ImageManager({
    runtime,
    clock,
    events,
    maxParallelPulls: config.maxParallelPulls,
    makeRoom: async () => health?.images.makeRoom(),
    credentials: async (pod, image) => [
      ...(await pullCredentials(secrets, pod, image)),
      ...(await nodeCredentials(deps, image)),
      ...(await plugins.credentials(image)),
    ],
  });
  const tokens = new TokenSource({ client, clock, random, copies });
  const allocatable = () => node.allocatable();
  const hostIps = config.nodeIps;
  const claims = new PersistentClaims(client, copies);
  const csi = csiVolumes(deps, claims, secrets, tokens);
  const volumes = new VolumeManager({
    ...csi,
    host,
    paths,
    volatileRoot: config.volatileDir,
    configMaps,
    secrets,
    tokens,
    claims,
    pullImage: (pod, request) => pullVolumeImage(deps, images, pod, request),
    clock,
    random,
    allocatable,
    log,
  });
  const userRanges = new UserRanges({ fs: host.fs, paths, handlers: abilities.features.handlers });
  const shared = { runtime, cache, ledger, images, host, paths, events, prober, clock, log, hostIps, userRanges };
  const cpus = await createCpuManager(deps, {
    ledger,
    pods: () => manager?.listActive() ?? [],
    observe: (uid) => cache.observe(uid),
    nodeMemoryBytes: () => facts.memoryBytes,
  });
  void cpus?.run(signal);
  const starter = new ContainerStarter({
    ...shared,
    configMaps,
    secrets,
    services: () => parts.serviceCopy.list(),
    allocatable,
    nodeMemoryBytes: () => facts.memoryBytes,
    swap: await swapSettings(deps, facts),
    devices: deviceManager,
    cpus,
    canRecurseReadOnly: () => abilities.features.handlers.some((one) => one.name === '' && one.recursiveReadOnlyMounts),
    seccompDefault: config.seccompDefault,
  });
  const { clusterDns, clusterDomain, cgroups } = config;
  const gate = new StartGate(startWidth(config, facts));
  const podCgroups = new PodCgroups({
    ...{ host, settings: cgroups, log },
    cpuCount: facts.cpuCount,
    podPidsLimit: config.podPidsLimit,
    allPods: {
      milliCpu: facts.cpuCount * 1000 - config.reserved.milliCpu,
      // Without a reservation the kernel's own order of killing is enough.
      memoryBytes: config.reserved.memoryBytes === 0 ? 0 : facts.memoryBytes - config.reserved.memoryBytes,
    },
  });
  const nodeMemoryBytes = () => facts.memoryBytes;
  const resizer = new ContainerResizer({ runtime, ledger, podCgroups, nodeMemoryBytes });
  const executor = new PodExecutor({
    ...shared,
    volumes,
    starter,
    resizer,
    runtimeClasses: new RuntimeClasses(client, copies),
    gate,
    clusterDns,
    clusterDomain,
    cgroups,
    podCgroups,
  });
  const probes = new ProbeManager({ clock, random, prober, runtime, events, hostIps, onChange });
  signal.addEventListener('abort', () => probes.stopAll(), { once: true });
  const statuses = new StatusManager(
    {
      ...{ client, clock, random, log },
      recheck: (uid) => manager?.worker(uid)?.poke(),
      mirrorOf: (pod) => mirrors.mirrorOf(pod),
    },
    signal,
  );
  const mirrors = new MirrorPods({
    ...{ client, clock, random, log },
    node: () => node.describe(),
    onMirror: (uid) => statuses.tellAgain(uid),
  });
  manager = new PodManager({
    pods: parts.pods,
    cache,
    ledger,
    mirrors,
    clock,
    log,
    workerDeps: {
      ...shared,
      executor,
      probes,
      statuses,
      volumes,
      cgroups: podCgroups,
      bootId: facts.bootId,
      copies,
      node: () => node.describe(),
      stop: signal,
    },
    admit: (pod, others) =>
      isShuttingDown() ? NODE_SHUTDOWN : (admitPod(pod, others, node.describe()) ?? refuseIsolation(pod, abilities)),
  });
  const workers = manager;
  const usages = new UsageReader({ host, runtime, cache, paths, cgroups, clock });
  health = new NodeHealth({
    ...{ host, runtime, config, clock, log, recorder, usages },
    pods: () => workers.list(),
    running: () => workers.listActive(),
    evict: (pod, eviction) => workers.worker(uidOf(pod))?.evict(eviction),
    onImageRemoved: (id) => images.forgetImage(id),
    onPressure: () => node.checkNow(),
  });
  const { graceSeconds, criticalSeconds } = config.shutdown;
  shutdown = new ShutdownManager({
    ...{ clock, log },
    tiers: tiersOf(graceSeconds, criticalSeconds),
    pods: () => workers.listActive(),
    evict: (pod, eviction) => workers.worker(uidOf(pod))?.evict(eviction),
    halt: async (pod, grace) => workers.worker(uidOf(pod))?.halt(grace),
    resume: () => workers.resumeAll(),
    ended: async (pod) => workers.worker(uidOf(pod))?.ended(),
    onChange: () => node.checkNow(),
  });
  const clockWasSet = () => {
    log.warn('a clock was set: tokens are asked for anew, and pods are looked at');
    tokens.expireAll();
    workers.refreshAllVolumes();
  };
  const lookups = new KubeletLookups({ pods: manager, cache, paths });
  const { nodeName } = config;
  const sampler = new Sampler({ host, runtime, cache, cgroups, nodeName, clock, pods: () => workers.list() });
  const reports = new KubeletReports({
    ...{ host, runtime, cache, paths, config, facts, clock, sampler, usages, lookups },
    imageFsPath: () => health?.images.mountPoint,
    pods: () => workers.list(),
    probeCounts: () => probes.counts(),
  });
  return {
    lookups,
    reports,
    podResources: podResourcesSource({
      pods: () => workers.listActive(),
      record: (uid) => ledger.record(uid),
      devices: () => deviceManager?.list() ?? [],
      cpus: () => cpus?.allocatable() ?? [],
    }),
    node,
    clockWasSet,
    run: () => run(parts, { node, cache, manager: workers, health, shutdown, clockWasSet }, signal),
  };
}

/** Only the static policy has something to manage. */
async function createCpuManager(
  { runtime, host, config, clock, log }: KubeletDeps,
  parts: Pick<CpuManagerOptions, 'ledger' | 'pods' | 'observe' | 'nodeMemoryBytes'>,
): Promise<CpuManager | undefined> {
  if (config.cpuManagerPolicy === 'none') return undefined;
  const topology = await readCpuTopology(host.fs);
  const reservedCpus = Math.ceil(config.reserved.milliCpu / 1000);
  return new CpuManager({ ...parts, runtime, topology, reservedCpus, clock, log });
}

function csiVolumes(
  { host, config, csiDrivers: drivers = NO_DRIVERS, clock, log }: KubeletDeps,
  reads: PersistentClaims,
  secrets: ReferencedObjects<Secret>,
  tokens: TokenSource,
) {
  const { nodeName, rootDir: root } = config;
  const calls = new CsiCalls({
    ...{ nodeName, drivers, reads },
    secret: (uid, { namespace, name }) => secrets.read(uid, namespace, name),
    token: (pod, spec) => tokens.token(pod, spec),
  });
  const options = { host, root, nodeName, drivers, calls, locks: new KeyLock(), clock, log };
  return { csi: new CsiVolumes(options), csiBlock: new CsiBlockVolumes(options) };
}

interface RunningParts {
  readonly node: NodeAgent;
  readonly cache: RuntimeCache;
  readonly manager: PodManager;
  readonly health: NodeHealth;
  readonly shutdown: ShutdownManager;
  readonly clockWasSet: () => void;
}

/** Order matters: the Node first (so that it is seen), the runtime's state before any worker, Services before any environment. */
async function run(
  { deps, nodes, services, serviceCopy, paths }: Parts,
  { node, cache, manager, health, shutdown, clockWasSet }: RunningParts,
  signal: AbortSignal,
): Promise<void> {
  const containers = () => runningLogs(manager, cache, paths);
  let podCidrs = '';
  const onNode = (current: Node) => {
    node.onNode(current);
    const cidrs = current.spec?.podCIDRs ?? (current.spec?.podCIDR ? [current.spec.podCIDR] : []);
    if (cidrs.length === 0 || cidrs.join() === podCidrs) return;
    podCidrs = cidrs.join();
    deps.onPodCidrs?.(cidrs);
  };
  nodes.addHandler({ onAdd: onNode, onUpdate: (_previous, current) => onNode(current) });
  node.start(signal);
  if (deps.csiDrivers !== undefined) {
    const { client, clock, log, csiDrivers: drivers } = deps;
    const { nodeName } = deps.config;
    void keepCsiNode({ client, nodeName, drivers, node: () => node.describe(), clock, log }, signal);
  }
  nodes.start(signal);
  services.start(signal);
  // Without Services no container can be given its environment; pods that only need to be stopped do not wait for them for ever.
  await Promise.all([cache.prime(signal), withinOrGoOn(deps.clock, services.waitForSync(signal), SERVICES_WAIT_MS)]);
  if (!services.hasSynced) await serviceCopy.remember();
  void serviceCopy.keep(signal);
  cache.start(signal);
  void runLogRotation(
    {
      fs: deps.host.fs,
      runtime: deps.runtime,
      clock: deps.clock,
      log: deps.log,
      containers,
      ...deps.config.containerLogs,
    },
    signal,
  );
  health.start(signal);
  const stopWatchingClock = watchClockJumps(deps.clock, clockWasSet);
  signal.addEventListener('abort', stopWatchingClock, { once: true });
  const { graceSeconds } = deps.config.shutdown;
  const onShutdown = (isComing: boolean) => shutdown.onShutdown(isComing);
  if (graceSeconds > 0)
    void watchLogind(
      // A little more than the pods have: their last status is to be told, too.
      { host: deps.host, clock: deps.clock, log: deps.log, delaySeconds: graceSeconds + 5, onShutdown },
      signal,
    );
  const { staticPodDir: folder, nodeName } = deps.config;
  if (folder !== '') {
    const { clock, log } = deps;
    const onPods = (pods: readonly Pod[]) => manager.setStatic(pods);
    await new ManifestFolder({ fs: deps.host.fs, folder, nodeName, clock, log, onPods }).start(signal);
  }
  await manager.start(signal);
}

/** A runtime that does not answer yet is taken for one that can do nothing special. */
async function readAbilities({ runtime, host, config, log }: KubeletDeps): Promise<NodeAbilities> {
  const features = await runtime.features().catch((err: unknown) => {
    log.warn('the runtime did not tell what it can do', { err: describeError(err) });
    return { supplementalGroupsPolicy: false, handlers: [] };
  });
  const appArmor = await host.fs.readText('/sys/module/apparmor/parameters/enabled').catch(() => 'N');
  const { allowedUnsafeSysctls } = config;
  return { features, hasAppArmor: appArmor.trim() === 'Y', allowedUnsafeSysctls };
}

/** Only the unified hierarchy has a limit of swap alone. */
async function swapSettings({ host, config }: KubeletDeps, { swapBytes }: HostFacts) {
  if (swapBytes === 0 || (await host.cgroups()).version !== 2) return undefined;
  return { behavior: config.swapBehavior, nodeSwapBytes: swapBytes };
}

/** containerd mounts images since 2.1; older runtimes would mount nothing. */
async function pullVolumeImage(
  { runtime }: KubeletDeps,
  images: ImageManager,
  pod: Pod,
  { volume, reference, policy }: ImageRequest,
): Promise<string> {
  const { name, version } = await runtime.version();
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number);
  if (name === 'containerd' && (major < 2 || (major === 2 && minor < 1)))
    throw new VolumeError(`image volumes need containerd 2.1, this node has ${version}`);
  const imagePullPolicy = policy as 'Always' | 'IfNotPresent' | 'Never' | undefined;
  const container = { name: volume, image: reference, ...(imagePullPolicy === undefined ? {} : { imagePullPolicy }) };
  return (await images.ensure(pod, container, AbortSignal.timeout(VOLUME_PULL_MS))).id;
}

async function makeDirectories({ host, config }: KubeletDeps): Promise<void> {
  await host.fs.makeDirectory(`${config.rootDir}/pods`, 0o750);
  await host.fs.makeDirectory(config.podLogsDir, 0o755);
  await host.fs.makeDirectory(config.containerLogsDir, 0o755);
  await host.fs.makeDirectory(config.volatileDir, 0o750);
}

const startWidth = ({ startWidth: width }: KubeletConfig, facts: HostFacts) =>
  width > 0 ? width : WIDTH_PER_CORE * facts.cpuCount;

async function pullCredentials(
  secrets: ReferencedObjects<Secret>,
  pod: Pod,
  image: ImageReference,
): Promise<readonly RegistryAuth[]> {
  const names = (specOf(pod).imagePullSecrets ?? []).flatMap(({ name }) => name ?? []);
  const found = await Promise.all(names.map((name) => secrets.read(uidOf(pod), namespaceOf(pod), name)));
  return registryCredentials(
    found.filter((secret) => secret !== undefined),
    image,
  );
}

/** What the node's owner has put beside the kubelet's folders, as `docker login` writes it. */
async function nodeCredentials({ host, config }: KubeletDeps, image: ImageReference): Promise<readonly RegistryAuth[]> {
  const text = await host.fs.readText(`${config.rootDir}/config.json`).catch(() => '{}');
  return matchingAuths(dockerAuths(text), image);
}

/** Running containers and their log files, for rotation. */
function runningLogs(manager: PodManager, cache: RuntimeCache, paths: PodPaths) {
  return manager.list().flatMap((pod) => {
    const running = cache.observe(uidOf(pod)).containers.filter(({ state }) => state === 'RUNNING');
    const folder = paths.logDirectory(pod);
    return running.map(({ id, name, attempt }) => ({ id, logPath: `${folder}/${PodPaths.logFile(name, attempt)}` }));
  });
}

/** The node API and the tunnel may be up before the kubelet is. */
function started<T>(known: () => T | undefined): () => T {
  return () => {
    const found = known();
    if (found === undefined) throw new NodeApiError(503, 'the kubelet is still starting');
    return found;
  };
}

function lazyReports(known: () => NodeReports | undefined): NodeReports {
  const reports = started(known);
  return {
    summary: async (onlyCpuAndMemory) => reports().summary(onlyCpuAndMemory),
    metrics: async (which) => reports().metrics(which),
    configz: () => reports().configz(),
    checkpoint: async (pod, container, timeoutSeconds) => reports().checkpoint(pod, container, timeoutSeconds),
  };
}

function lazyLookups(known: () => PodLookups | undefined): PodLookups {
  const lookups = started(known);
  return {
    findLog: async (pod, container, previous) => lookups().findLog(pod, container, previous),
    findRunningContainer: async (pod, container) => lookups().findRunningContainer(pod, container),
    findStreams: async (pod, container) => lookups().findStreams(pod, container),
    findSandbox: async (pod) => lookups().findSandbox(pod),
    isRunning: (containerId) => lookups().isRunning(containerId),
    listPods: () => known()?.listPods() ?? [],
  };
}
