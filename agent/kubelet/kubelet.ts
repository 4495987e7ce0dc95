import { createEventRecorder } from '#api/client/event-recorder.ts';
import type { Informer } from '#api/client/informer.ts';
import { createInformer } from '#api/client/shared-informer.ts';
import { type Node, type Pod, resources, type Service } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { assembleKubelet, type StartedKubelet } from './assemble-kubelet.ts';
import { PodPaths } from './config/pod-paths.ts';
import type { PodResourcesSource } from './devices/pod-resources.ts';
import type { KubeletDeps } from './kubelet-deps.ts';
import { essentialService, ServiceCopy } from './offline/service-copy.ts';
import type { NodeReports } from './server/node-reports.ts';
import { NodeApiError, type PodLookups } from './server/pod-lookups.ts';
import { StartGate } from './start-gate.ts';
import { withinOrGoOn } from './within-or-go-on.ts';

/** So long at most do Events wait for pods that are being started. */
const EVENT_PATIENCE_MS = 5_000;
/** Pods that start one after the other come closer than this: what is told of one would be in the way of the next. */
const CALM_MS = 100;

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

/** A kubelet that can be asked before it has started: the node API and the tunnel are up earlier. */
export function createKubelet(deps: KubeletDeps): Kubelet {
  const { client, clock, log, random, config } = deps;
  // Its width is known once the host is.
  const gate = new StartGate(1, clock);
  const pace = (atMs: number) => whenCalm(gate, clock, atMs);
  const recorder = createEventRecorder({ client, component: 'kubelet', host: config.nodeName, clock, log, pace });
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
    transform: essentialService,
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
      started = await assembleKubelet({ deps, recorder, gate, pods, nodes, services, serviceCopy, paths }, signal);
      await started.run();
    },
    checkNode: () => started?.node.checkNow(),
    clockWasSet: () => started?.clockWasSet(),
  };
}

/** Nobody waits for an Event, but somebody does for a pod. */
async function whenCalm(gate: StartGate, clock: Clock, sinceMs: number): Promise<void> {
  const patienceMs = Math.min(sinceMs + EVENT_PATIENCE_MS - clock.now(), EVENT_PATIENCE_MS);
  if (patienceMs <= 0) return;
  const isOver = new AbortController();
  await withinOrGoOn(clock, gate.calm(CALM_MS, isOver.signal), patienceMs);
  isOver.abort();
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
