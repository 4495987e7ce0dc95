import type { Informer } from '#api/client/informer.ts';
import { isNotFound } from '#api/object/api-error.ts';
import type { Namespace, Pod } from '#api/object/kinds.ts';
import { objectKey } from '#api/object/kube-object.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Binder } from './binder.ts';
import type { ClusterCache } from './cache/cluster-cache.ts';
import { createPodInfo } from './cache/pod-info.ts';
import type { SiblingSelectors } from './cache/sibling-selectors.ts';
import type { ClusterEvent } from './framework/cluster-event.ts';
import type { ClusterView } from './framework/plugin.ts';
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
      cache.assume(info, result.nodeName);
      this.#track(this.#bind(queued, result.nodeName));
      return;
    }
    const message = renderUnschedulable(result.diagnosis);
    log.debug('pod fits nowhere', { pod: info.key, message });
    this.queue.addUnschedulable(queued, result.diagnosis.plugins);
    this.#track(this.#options.binder.reportFailure(info.pod, 'Unschedulable', message));
  }

  async #bind(queued: QueuedPod, nodeName: string): Promise<void> {
    const { binder, cache, log } = this.#options;
    const { info } = queued;
    try {
      await binder.bind(info.pod, nodeName);
    } catch (err) {
      log.warn('binding failed', { pod: info.key, node: nodeName, err: describeError(err) });
      const wasAssumed = cache.isAssumed(info.key);
      cache.forget(info.key);
      this.queue.onEvent({ kind: 'podRemoved', pod: info, nodeName });
      const current = this.#stillWaiting(queued);
      if (wasAssumed && !isNotFound(err) && current !== undefined) {
        this.queue.addBackoff({ ...queued, info: createPodInfo(current) });
        await binder.reportFailure(info.pod, 'SchedulerError', `binding rejected: ${describeError(err)}`);
      }
    }
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

function createView({ cache, siblings, namespaces }: SchedulerOptions): ClusterView {
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
  };
}
