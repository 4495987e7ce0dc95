import type { EventRecorder } from '#api/client/event-recorder.ts';
import type { Informer } from '#api/client/informer.ts';
import { claimsOfContainer } from '#api/meta/extended-resources.ts';
import { type ConfigMap, type Node, type Pod, resources, type Secret, type Service } from '#api/object/kinds.ts';
import type { HostFacts } from '../host/host.ts';
import { PodCgroups } from './cgroups/pod-cgroups.ts';
import { whyNoCdi, withCdiIds } from './claims/cdi-support.ts';
import { ClaimCheckpoint } from './claims/claim-checkpoint.ts';
import { ClaimManager } from './claims/claim-manager.ts';
import { ClaimedHealth } from './claims/claimed-health.ts';
import { NO_DRA_DRIVERS } from './claims/dra-driver.ts';
import { keepResourceSlices } from './claims/slice-wiper.ts';
import type { PodPaths } from './config/pod-paths.ts';
import { readResourceRules } from './config/resource-rules.ts';
import { ContainerStarter } from './container-starter.ts';
import { CpuManager, type CpuManagerOptions, readCpuTopology } from './cpus/cpu-manager.ts';
import { DeviceManager } from './devices/device-manager.ts';
import { NO_PLUGINS } from './devices/device-plugin.ts';
import { type PodResourcesSource, podResourcesSource } from './devices/pod-resources.ts';
import { UsageReader } from './eviction/usage-reader.ts';
import { createImages } from './images/create-images.ts';
import { pullVolumeImage } from './images/volume-image.ts';
import type { KubeletConfig } from './kubelet-config.ts';
import type { KubeletDeps } from './kubelet-deps.ts';
import { KubeletLookups } from './kubelet-lookups.ts';
import { Ledger } from './ledger.ts';
import { readAbilities } from './node/node-abilities.ts';
import { admitPod } from './node/node-admission.ts';
import { NodeAgent } from './node/node-agent.ts';
import { NodeHealth } from './node/node-health.ts';
import { refuseIsolation } from './node/pod-security-admission.ts';
import { PodCopies } from './offline/pod-copies.ts';
import type { ServiceCopy } from './offline/service-copy.ts';
import { removeOrphanFolders } from './orphan-folders.ts';
import { PodEvents } from './pod-events.ts';
import { PodExecutor } from './pod-executor.ts';
import { PodManager } from './pod-manager.ts';
import { type PodUid, uidOf } from './pod-spec.ts';
import { ProbeManager } from './probes/probe-manager.ts';
import { ReferencedObjects } from './referenced-objects.ts';
import { roomFor } from './resize/allocation.ts';
import { ContainerResizer } from './resize/container-resizer.ts';
import { runKubelet } from './run-kubelet.ts';
import { RuntimeCache } from './runtime-cache.ts';
import { RuntimeClasses } from './runtime-classes.ts';
import type { NodeReports } from './server/node-reports.ts';
import type { PodLookups } from './server/pod-lookups.ts';
import { ShutdownManager } from './shutdown/shutdown-manager.ts';
import type { StartGate } from './start-gate.ts';
import { MirrorPods } from './static/mirror-pods.ts';
import { KubeletReports } from './stats/kubelet-reports.ts';
import { Sampler } from './stats/sampler.ts';
import { StatusManager } from './status/status-manager.ts';
import { terminationMessage } from './termination-message.ts';
import { UserRanges } from './user-ranges.ts';
import { createCsiVolumes } from './volumes/csi/create-csi-volumes.ts';
import { NO_DRIVERS } from './volumes/csi/csi-driver.ts';
import { PersistentClaims } from './volumes/persistent-claims.ts';
import { TokenSource } from './volumes/token-source.ts';
import { VolatileMemory } from './volumes/volatile-memory.ts';
import { VolumeManager } from './volumes/volume-manager.ts';
import { VolumeStats } from './volumes/volume-stats.ts';

const NODE_SHUTDOWN = { reason: 'NodeShutdown', message: 'Pod was rejected as the node is shutting down.' };

/** A relist that is later than this makes the node unready, as in Kubernetes. */
const RELIST_LATE_MS = 180_000;
const WIDTH_PER_CORE = 2;

export interface KubeletParts {
  readonly deps: KubeletDeps;
  readonly recorder: EventRecorder;
  /** Nobody is let in before its width is set here. */
  readonly gate: StartGate;
  readonly pods: Informer<Pod>;
  readonly nodes: Informer<Node>;
  readonly services: Informer<Service>;
  readonly serviceCopy: ServiceCopy;
  readonly paths: PodPaths;
}

export interface StartedKubelet {
  readonly lookups: PodLookups;
  readonly reports: NodeReports;
  readonly podResources: PodResourcesSource;
  readonly node: NodeAgent;
  clockWasSet(): void;
  run(): Promise<void>;
}

/** Puts the parts of the kubelet together, in the order in which they need each other; the only place that knows all of them. */
export async function assembleKubelet(parts: KubeletParts, signal: AbortSignal): Promise<StartedKubelet> {
  const { deps, recorder, gate, paths } = parts;
  const { client, runtime, host, prober, clock, log, random, config } = deps;
  await makeDirectories(deps);
  const facts = await host.facts();
  const { memoryBytes, swapBytes } = facts;
  const { volatileDir: directory, maxPods } = config;
  const volatile = await VolatileMemory.open({ host, directory, memoryBytes, swapBytes, maxPods, log });
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
    hostIps: config.nodeIps,
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
    maySwap: volatile.maySwap,
  });
  await node.prepare();
  const abilities = await readAbilities(deps);
  const ledger = new Ledger({ fs: host.fs, directory: config.ledgerDir, clock, log });
  await ledger.load();
  deviceManager = new DeviceManager({
    ...{ fs: host.fs, ledger, log },
    selectors: config.devices,
    plugins: deps.devicePlugins ?? NO_PLUGINS,
    onMoved: (uid, container, resource) => manager?.restartContainer(uid, container, resource),
    onHealth: (uid) => manager?.worker(uid)?.poke(),
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
  const images = await createImages(deps, { events, secrets, makeRoom: async () => health?.images.makeRoom() });
  const tokens = new TokenSource({ client, clock, random, copies });
  const allocatable = () => node.allocatable();
  const hostIps = config.nodeIps;
  const claims = new PersistentClaims(client, copies);
  const csi = createCsiVolumes({ ...deps, node }, { reads: claims, secrets, tokens, events });
  const volumes = new VolumeManager({
    ...csi,
    host,
    paths,
    volatile,
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
  if (deps.draDrivers !== undefined)
    keepResourceSlices({ client, nodeName: config.nodeName, drivers: deps.draDrivers, clock, log }, signal);
  const rules = await readResourceRules(deps, facts, () => node.allocatable().memory);
  const cpus = await createCpuManager(deps, {
    ledger,
    pods: () => manager?.listActive() ?? [],
    observe: (uid) => cache.observe(uid),
    rules,
  });
  void cpus?.run(signal);
  const { resourceClaims, claimedHealth } = await createClaims(deps, facts, (uid) => manager?.worker(uid)?.poke());
  const starter = new ContainerStarter({
    ...shared,
    services: () => parts.serviceCopy.list(),
    allocatable,
    rules,
    devices: grants(deviceManager, resourceClaims, whyNoCdi(await runtime.version())),
    cpus,
    canRecurseReadOnly: () => abilities.features.handlers.some((one) => one.name === '' && one.recursiveReadOnlyMounts),
    seccomp: { isDefault: config.seccompDefault, profileRoot: `${config.rootDir}/seccomp` },
  });
  const { clusterDns, clusterDomain, cgroups } = config;
  gate.setWidth(startWidth(config, facts));
  const podCgroups = new PodCgroups({
    ...{ host, settings: cgroups, rules, log },
    pods: () => manager?.listActive() ?? [],
    roomFor(pod) {
      const record = ledger.record(uidOf(pod));
      return record === undefined ? pod : roomFor(pod, record);
    },
    podPidsLimit: config.podPidsLimit,
    allPods: {
      milliCpu: facts.cpuCount * 1000 - config.reserved.milliCpu,
      // Without a reservation the kernel's own order of killing is enough.
      memoryBytes: config.reserved.memoryBytes === 0 ? 0 : facts.memoryBytes - config.reserved.memoryBytes,
    },
  });
  void podCgroups.run(clock, signal);
  const resizer = new ContainerResizer({ runtime, ledger, podCgroups, rules });
  const executor = new PodExecutor({
    ...shared,
    volumes,
    starter,
    groundwork: { fs: host.fs, paths, configMaps, secrets },
    claims: resourceClaims,
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
      claims: resourceClaims,
      cgroups: podCgroups,
      resizer,
      bootId: facts.bootId,
      copies,
      node: () => node.describe(),
      devices: (pod, container) => [
        ...(deviceManager?.statuses(pod, container) ?? []),
        ...claimedHealth.statuses(pod, container),
      ],
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
    ended: async (pod) => workers.worker(uidOf(pod))?.ended(),
    onImageRemoved: (id) => images.forgetImage(id),
    onImagesListed: (ids, atMs) => images.tidy(ids, atMs),
    onPressure: () => node.checkNow(),
  });
  shutdown = new ShutdownManager({
    ...{ clock, log },
    tiers: config.shutdown,
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
  const drivers = deps.csiDrivers ?? NO_DRIVERS;
  const volumeStats = new VolumeStats({ host, root: config.rootDir, drivers, volumes, usages, clock });
  const reports = new KubeletReports({
    ...{ host, runtime, cache, paths, config, facts, clock, sampler, usages, volumeStats, lookups },
    imageFsPath: () => health?.images.mountPoint,
    pods: () => workers.list(),
    probeCounts: () => probes.counts(),
    runtimeOperations: () => deps.runtimeOperations?.() ?? new Map(),
  });
  return {
    lookups,
    reports,
    podResources: podResourcesSource({
      pods: () => workers.listActive(),
      record: (uid) => ledger.record(uid),
      devices: () => deviceManager?.list() ?? [],
      cpus: () => cpus?.allocatable() ?? [],
      claims: resourceClaims,
    }),
    node,
    clockWasSet,
    async run() {
      await runKubelet(parts, { node, cache, manager: workers, health, shutdown, clockWasSet }, signal);
      void resourceClaims.follow((uid) => workers.worker(uid) !== undefined, signal);
      void removeOrphanFolders({ host, paths, cgroupRoot: cgroups.root, volumes, pods: workers, clock, log }, signal);
    },
  };
}

async function createClaims(deps: KubeletDeps, { bootId }: HostFacts, onChange: (uid: PodUid) => void) {
  const { client, host, config, draDrivers: drivers = NO_DRA_DRIVERS, clock, log } = deps;
  const path = `${config.ledgerDir}/../claims.json`;
  const checkpoint = new ClaimCheckpoint({ fs: host.fs, path, log });
  await checkpoint.load();
  return {
    resourceClaims: new ClaimManager({ client, drivers, checkpoint, bootId, clock, log }),
    claimedHealth: new ClaimedHealth({ drivers, checkpoint, clock, onChange }),
  };
}

/** Devices of the node's own, of plug-ins and of claims. */
function grants(own: DeviceManager, claims: ClaimManager, why: string | undefined): Pick<DeviceManager, 'grant'> {
  return {
    async grant(pod, container) {
      // Ready since its sandbox was made, unless what was known of that was lost.
      if (claimsOfContainer(pod, container).length > 0) await claims.prepare(pod);
      return withCdiIds(await own.grant(pod, container), claims.cdiIds(pod, container), why);
    },
  };
}

/** Only the static policy has something to manage. */
async function createCpuManager(
  { runtime, host, config, clock, log }: KubeletDeps,
  parts: Pick<CpuManagerOptions, 'ledger' | 'pods' | 'observe' | 'rules'>,
): Promise<CpuManager | undefined> {
  if (config.cpuManagerPolicy === 'none') return undefined;
  const topology = await readCpuTopology(host.fs);
  const reservedCpus = Math.ceil(config.reserved.milliCpu / 1000);
  return new CpuManager({ ...parts, runtime, topology, reservedCpus, clock, log });
}

async function makeDirectories({ host, config }: KubeletDeps): Promise<void> {
  await host.fs.makeDirectory(`${config.rootDir}/pods`, 0o750);
  await host.fs.makeDirectory(config.podLogsDir, 0o755);
  await host.fs.makeDirectory(config.containerLogsDir, 0o755);
}

const startWidth = ({ startWidth: width }: KubeletConfig, facts: HostFacts) =>
  width > 0 ? width : WIDTH_PER_CORE * facts.cpuCount;
