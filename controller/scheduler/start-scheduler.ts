import { randomUUID } from 'node:crypto';
import type { KubeClient } from '#api/client/client.ts';
import type { EventRecorder } from '#api/client/event-recorder.ts';
import type { InformerHandler } from '#api/client/informer.ts';
import type { InformerFactory } from '#api/client/informer-factory.ts';
import { type Namespace, type Node, type Pod, type ReplicaSet, resources, type Service } from '#api/object/kinds.ts';
import { keyOf } from '#api/object/kube-object.ts';
import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import { Binder } from './binder.ts';
import { ClusterCache } from './cache/cluster-cache.ts';
import { createPodInfo } from './cache/pod-info.ts';
import { SiblingSelectors } from './cache/sibling-selectors.ts';
import { DeviceCache } from './devices/device-cache.ts';
import { type CompileDeviceSelector, DeviceSelectors } from './devices/device-selectors.ts';
import { createDynamicResources } from './devices/dynamic-resources.ts';
import { computeNodeChanges, hasNodeChange } from './framework/cluster-event.ts';
import { DEFAULT_SCORES, defaultFilters } from './plugins/default-plugins.ts';
import { Scheduler } from './scheduler.ts';
import { createVolumeReserve } from './volumes/reserve-volumes.ts';
import { createStorageCaches } from './volumes/storage-caches.ts';

export interface SchedulerDependencies {
  /** Acts as `system:kube-scheduler`. */
  readonly client: KubeClient;
  readonly informers: InformerFactory;
  /** Reports as `default-scheduler`. */
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly log: Logger;
  /** Understands the expressions by which claims choose devices. */
  readonly compileDeviceSelector: CompileDeviceSelector;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** The name by which pods ask for this scheduler. */
const SCHEDULER_NAME = 'default-scheduler';

/** Finished pods take no room. */
const UNFINISHED = { fieldSelector: 'status.phase!=Succeeded,status.phase!=Failed' };

/**
 * Places pods until aborted. Registers its informers, waits for them and then schedules; resolves when it was aborted. Run it while
 * holding the leader lease.
 */
export async function startScheduler(deps: SchedulerDependencies, signal: AbortSignal): Promise<void> {
  const { client, informers, events, clock, log, random } = deps;
  const pods = informers.informer<Pod>(resources.pods, UNFINISHED);
  const nodes = informers.informer<Node>(resources.nodes);
  const namespaces = informers.informer<Namespace>(resources.namespaces);
  const services = informers.informer<Service>(resources.services);
  const replicaSets = informers.informer<ReplicaSet>(resources.replicaSets);
  const storage = createStorageCaches(informers);
  const devices = new DeviceCache(informers);
  const selectors = new DeviceSelectors(deps.compileDeviceSelector);
  const dynamicResources = createDynamicResources({
    ...{ client, cache: devices, selectors, events, clock, log },
    newUid: randomUUID,
  });
  const cache = new ClusterCache();
  const scheduler = new Scheduler({
    cache,
    siblings: new SiblingSelectors(services, replicaSets),
    namespaces,
    pods,
    volumes: storage.cache,
    profile: {
      filters: [...defaultFilters((name) => devices.classForResource(name) !== undefined), dynamicResources.filter],
      scores: [...DEFAULT_SCORES, dynamicResources.score],
      reserves: [createVolumeReserve({ client, clock, ...storage }), dynamicResources.reserve],
    },
    binder: new Binder({ client, events, clock, log }),
    clock,
    log,
    random,
  });
  storage.watch((event) => scheduler.queue.onEvent(event));
  devices.watch((event) => scheduler.queue.onEvent(event));
  nodes.addHandler(createNodeHandler(cache, scheduler));
  pods.addHandler(createPodHandler(cache, scheduler));
  namespaces.addHandler({
    onUpdate: (previous, current) => {
      if (JSON.stringify(previous.metadata.labels) === JSON.stringify(current.metadata.labels)) return;
      scheduler.queue.onEvent({ kind: 'namespaceChanged', namespace: current.metadata.name });
    },
  });
  informers.start(signal);
  try {
    const own = [pods, nodes, namespaces, services, replicaSets];
    const all = [...own, ...storage.informers, ...devices.informers];
    await Promise.all(all.map((each) => each.waitForSync(signal)));
    scheduler.run();
    log.info('scheduler runs', { nodes: cache.nodes.length });
    await aborted(signal);
  } catch (err) {
    if (!signal.aborted) throw err;
  } finally {
    scheduler.stop();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

function createNodeHandler(cache: ClusterCache, { queue }: Scheduler): InformerHandler<Node> {
  return {
    onAdd: (node) => {
      cache.setNode(node);
      queue.onEvent({ kind: 'nodeAdded', node });
    },
    onUpdate: (previous, node) => {
      cache.setNode(node);
      const changes = computeNodeChanges(previous, node);
      if (hasNodeChange(changes)) queue.onEvent({ kind: 'nodeUpdated', node, previous, changes });
    },
    onDelete: (node) => {
      cache.removeNode(node.metadata.name);
      queue.onEvent({ kind: 'nodeRemoved', node });
    },
  };
}

const nodeNameOf = (pod: Pod) => pod.spec?.nodeName ?? '';

/** Waits for us: ours by name, not gated, not on its way out. */
function isOurs(pod: Pod): boolean {
  const { schedulerName = SCHEDULER_NAME, schedulingGates = [] } = pod.spec ?? {};
  return (
    schedulerName === SCHEDULER_NAME && schedulingGates.length === 0 && pod.metadata.deletionTimestamp === undefined
  );
}

function createPodHandler(cache: ClusterCache, scheduler: Scheduler): InformerHandler<Pod> {
  const { queue } = scheduler;
  const onPlaced = (pod: Pod, previous: Pod | undefined) => {
    const info = createPodInfo(pod);
    queue.remove(info.key);
    cache.setPod(info, nodeNameOf(pod));
    if (previous === undefined || nodeNameOf(previous) === '') queue.onEvent({ kind: 'podPlaced', pod: info });
    else if (isRelevantChange(previous, pod))
      queue.onEvent({ kind: 'podChanged', pod: info, previous: createPodInfo(previous) });
  };
  const onWaiting = (pod: Pod, previous: Pod | undefined) => {
    const info = createPodInfo(pod);
    if (info.isTerminating) scheduler.release(info.key);
    // Our own binding is on its way; what we assumed holds until it is answered.
    if (cache.isAssumed(info.key)) return;
    if (isOurs(pod)) queue.update(info, previous === undefined || isRelevantChange(previous, pod));
    else queue.remove(info.key);
  };
  const onGone = (pod: Pod) => {
    const key = keyOf(pod);
    queue.remove(key);
    scheduler.release(key);
    const nodeName = cache.removePod(key);
    if (nodeName !== undefined) queue.onEvent({ kind: 'podRemoved', pod: createPodInfo(pod), nodeName });
  };
  return {
    onAdd: (pod) => (nodeNameOf(pod) === '' ? onWaiting : onPlaced)(pod, undefined),
    onUpdate: (previous, pod) => {
      const isSamePod = previous.metadata.uid === pod.metadata.uid;
      if (!isSamePod) onGone(previous);
      (nodeNameOf(pod) === '' ? onWaiting : onPlaced)(pod, isSamePod ? previous : undefined);
    },
    onDelete: onGone,
  };
}

/** What the node has told of the sizes of a pod's containers. */
function sizesOf({ status }: Pod): unknown {
  const all = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])];
  return all.map(({ name, allocatedResources, resources }) => [name, allocatedResources, resources]);
}

/** Labels, spec, names of claims, sizes or the beginning of the end: what placement depends on. Any other status wakes nobody. */
function isRelevantChange(previous: Pod, pod: Pod): boolean {
  const differ = (a: unknown, b: unknown) => JSON.stringify(a) !== JSON.stringify(b);
  return (
    previous.metadata.deletionTimestamp !== pod.metadata.deletionTimestamp ||
    differ(previous.metadata.labels, pod.metadata.labels) ||
    differ(previous.spec, pod.spec) ||
    differ(previous.status?.resourceClaimStatuses, pod.status?.resourceClaimStatuses) ||
    differ(sizesOf(previous), sizesOf(pod))
  );
}
