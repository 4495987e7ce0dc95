import type { Informer } from '#api/client/informer.ts';
import { isNotFound } from '#api/object/api-error.ts';
import type { Namespace, Pod } from '#api/object/kinds.ts';
import { type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Binder } from './binder.ts';
import type { ClusterCache } from './cache/cluster-cache.ts';
import { createPodInfo } from './cache/pod-info.ts';
import type { SiblingSelectors } from './cache/sibling-selectors.ts';
import type { VolumeCache } from './cache/volume-cache.ts';
import type { ClusterEvent } from './framework/cluster-event.ts';
import { fulfilAll } from './framework/fulfil-all.ts';
import type { ClusterView, Reservation } from './framework/plugin.ts';
import { type Profile, schedulePod } from './framework/schedule-pod.ts';
import { renderUnschedulable } from './framework/unschedulable-message.ts';
import { type QueuedPod, SchedulingQueue } from './queue/scheduling-queue.ts';

/** Requests to the API server under way at a time; beyond this, placing more pods would only lengthen its queue. */
const MAX_REQUESTS = 256;

/** After this long the loop lets others run: the scheduler shares its thread with the controllers. */
const SLICE_MS = 8;

export interface SchedulerOptions {
  readonly cache: ClusterCache;
  readonly siblings: SiblingSelectors;
  readonly volumes: VolumeCache;
  readonly namespaces: Informer<Namespace>;
  readonly pods: Informer<Pod>;
  readonly profile: Profile;
  readonly binder: Binder;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
}

/** The loop: pop a pod, find it a node, assume it there, bind it in the background. */
export class Scheduler {
  readonly queue: SchedulingQueue;
  readonly #options: SchedulerOptions;
  readonly #view: ClusterView;
  /** Pods that have a node and wait for what goes with it. */
  readonly #reserving = new Map<ObjectKey, AbortController>();
  #start = 0;
  #requests = 0;
  #isScheduled = false;
  #isRunning = false;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#view = createView(options);
    this.queue = new SchedulingQueue({
      clock: options.clock,
      isHelpedBy: (event, pod) => this.#isHelpedBy(event, pod),
      onReady: () => this.#schedule(),
    });
  }

  run(): void {
    this.#isRunning = true;
    this.#schedule();
  }

  stop(): void {
    this.#isRunning = false;
    this.queue.stop();
    for (const waiting of this.#reserving.values()) waiting.abort(new Error('the scheduler stops'));
  }

  #isHelpedBy(event: ClusterEvent, pod: QueuedPod): boolean {
    return this.#options.profile.filters.some(
      (plugin) => pod.rejectedBy.has(plugin.name) && plugin.isHelpedBy(event, pod.info, this.#view),
    );
  }

  #schedule(): void {
    if (!this.#isRunning || this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#runSlice();
    });
  }

  #runSlice(): void {
    const { clock } = this.#options;
    const endMs = clock.monotonic() + SLICE_MS;
    while (this.#isRunning && this.#requests < MAX_REQUESTS) {
      if (clock.monotonic() > endMs) {
        this.#schedule();
        return;
      }
      const pod = this.queue.pop();
      if (pod === undefined) return;
      this.#scheduleOne(pod);
    }
  }

  #scheduleOne(queued: QueuedPod): void {
    const { cache, profile, random, log } = this.#options;
    const { info } = queued;
    if (cache.isPlaced(info.key)) return;
    const result = schedulePod(info, this.#view, { profile, start: this.#start, random });
    this.#start = result.nextStart;
    if (result.kind === 'placed') {
      this.#place(queued, result.nodeName);
      return;
    }
    const message = renderUnschedulable(result.diagnosis);
    log.debug('pod fits nowhere', { pod: info.key, message });
    this.queue.addUnschedulable(queued, result.diagnosis.plugins);
    this.#track(this.#options.binder.reportFailure(info.pod, 'Unschedulable', message));
    for (const plugin of profile.filters) {
      const help = plugin.onUnschedulable?.(info);
      if (help !== undefined) this.#track(help);
    }
  }

  #place(queued: QueuedPod, nodeName: string): void {
    const { cache, profile } = this.#options;
    const { info } = queued;
    const node = this.#view.node(nodeName);
    const reservations = profile.reserves.flatMap((plugin) => (node && plugin.reserve(info, node, this.#view)) ?? []);
    cache.assume(info, nodeName);
    if (reservations.length === 0) this.#track(this.#bind(queued, nodeName));
    else void this.#bindAfter(reservations, queued, nodeName);
  }

  /** What a pod waits for here may take minutes, and takes no turn from others meanwhile. */
  async #bindAfter(reservations: readonly Reservation[], queued: QueuedPod, nodeName: string): Promise<void> {
    const { key } = queued.info;
    const waiting = new AbortController();
    this.#reserving.set(key, waiting);
    try {
      await fulfilAll(reservations, waiting);
    } catch (err) {
      this.#track(this.#giveUp(queued, nodeName, describeError(err)));
      return;
    } finally {
      if (this.#reserving.get(key) === waiting) this.#reserving.delete(key);
    }
    this.#track(this.#bind(queued, nodeName));
  }

  /** The pod is gone, or on its way out: nobody waits for its volumes any more. */
  release(key: ObjectKey): void {
    this.#reserving.get(key)?.abort(new Error('pod does not exist any more'));
  }

  async #bind(queued: QueuedPod, nodeName: string): Promise<void> {
    try {
      await this.#options.binder.bind(queued.info.pod, nodeName);
    } catch (err) {
      if (isNotFound(err)) this.#takeBack(queued, nodeName);
      else await this.#giveUp(queued, nodeName, `binding rejected: ${describeError(err)}`);
    }
  }

  async #giveUp(queued: QueuedPod, nodeName: string, why: string): Promise<void> {
    const { binder, log } = this.#options;
    const { info } = queued;
    log.warn('binding failed', { pod: info.key, node: nodeName, why });
    const wasAssumed = this.#takeBack(queued, nodeName);
    const current = this.#stillWaiting(queued);
    if (!wasAssumed || current === undefined || !this.#isRunning) return;
    this.queue.addBackoff({ ...queued, info: createPodInfo(current) });
    await binder.reportFailure(info.pod, 'SchedulerError', why);
  }

  #takeBack({ info }: QueuedPod, nodeName: string): boolean {
    const { cache } = this.#options;
    const wasAssumed = cache.isAssumed(info.key);
    cache.forget(info.key);
    this.queue.onEvent({ kind: 'podRemoved', pod: info, nodeName });
    return wasAssumed;
  }

  /** The newest version of the pod, if it still exists and waits for a node. */
  #stillWaiting({ info }: QueuedPod): Pod | undefined {
    const current = this.#options.pods.byKey(info.key);
    const isSame = current?.metadata.uid === info.pod.metadata.uid && current.metadata.deletionTimestamp === undefined;
    return isSame && (current.spec?.nodeName ?? '') === '' ? current : undefined;
  }

  #track(request: Promise<void>): void {
    this.#requests += 1;
    void request.finally(() => {
      this.#requests -= 1;
      this.#schedule();
    });
  }
}

function createView({ cache, siblings, namespaces, volumes }: SchedulerOptions): ClusterView {
  return {
    get nodes() {
      return cache.nodes;
    },
    node: (name) => cache.node(name),
    podsByNode: (query) => cache.counts.byNode(query),
    podsByDomain: (query, topologyKey) => cache.counts.byDomain(query, topologyKey),
    placedTerms: (kind) => cache.terms.of(kind),
    get podNamespaces() {
      return cache.counts.namespaces;
    },
    namespaceLabels: (namespace) => namespaces.byKey(objectKey(undefined, namespace))?.metadata.labels,
    imageNodeCount: (image) => cache.imageNodes.get(image) ?? 0,
    siblingsOf: (pod) => siblings.of(pod),
    volumes,
    podCountOfClaim: (key) => cache.podsOfClaims.get(key) ?? 0,
  };
}
