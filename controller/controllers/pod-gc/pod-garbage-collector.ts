import type { Informer } from '#api/client/informer.ts';
import type { WorkQueue } from '#api/client/work-queue.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { type Node, type Pod, resources } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { deletePod, markDisrupted } from '../pod-deletion.ts';
import { isPodTerminal, podCondition } from '../pod-state.ts';

/** A node that re-registers within this time keeps its pods. */
const ORPHAN_QUARANTINE_MS = 40_000;
const BY_NODE = 'node';
const OUT_OF_SERVICE = 'node.kubernetes.io/out-of-service';
/** One key for the whole cluster, and one for each node. */
const TERMINATED = 'terminated' as const;
type Key = typeof TERMINATED | `node/${string}` | `pod/${string}`;

/** The finished pods beyond the threshold, oldest first. Pods that something else deletes already are not counted. */
function chooseTerminatedPods(pods: readonly Pod[], threshold: number): readonly Pod[] {
  if (threshold <= 0) return [];
  const finished = pods.filter((pod) => isPodTerminal(pod) && pod.metadata.deletionTimestamp === undefined);
  const createdMs = (pod: Pod) => Date.parse(pod.metadata.creationTimestamp);
  return finished.sort((a, b) => createdMs(a) - createdMs(b)).slice(0, Math.max(0, finished.length - threshold));
}

/** Removes pods that nobody else can: of deleted nodes, of nodes taken out of service, never scheduled, long finished. */
class PodGarbageCollector {
  readonly #context: ControllerContext;
  readonly #pods: Informer<Pod>;
  readonly #nodes: Informer<Node>;
  readonly #queue: WorkQueue<Key>;
  #terminalPods = 0;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#pods = context.informers.informer<Pod>(resources.pods);
    this.#pods.addIndex(BY_NODE, (pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []));
    this.#nodes = context.informers.informer<Node>(resources.nodes);
    this.#queue = createControllerQueue<Key>(context, { name: 'pod-gc', sync: (key) => this.#sync(key) });
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#pods.addHandler({
      onAdd: (pod) => {
        this.#countTerminal(Number(isPodTerminal(pod)));
        this.#onPod(pod);
      },
      onUpdate: (previous, pod) => {
        this.#countTerminal(Number(isPodTerminal(pod)) - Number(isPodTerminal(previous)));
        this.#onPod(pod);
      },
      onDelete: (pod) => this.#countTerminal(-Number(isPodTerminal(pod))),
    });
    this.#nodes.addHandler({
      onUpdate: (_, node) => {
        if (isOutOfService(node)) this.#queue.add(`node/${node.metadata.name}`);
      },
      onDelete: (node) => this.#queue.addAfter(`node/${node.metadata.name}`, ORPHAN_QUARANTINE_MS),
    });
    await runQueue(this.#queue, [this.#pods, this.#nodes], signal);
    // Pods may have arrived before the nodes they run on.
    for (const pod of this.#pods.list()) this.#onPod(pod);
  }

  #countTerminal(change: number): void {
    this.#terminalPods += change;
    const { terminatedPodThreshold } = this.#context.config;
    if (change > 0 && terminatedPodThreshold > 0 && this.#terminalPods > terminatedPodThreshold)
      this.#queue.add(TERMINATED);
  }

  #onPod(pod: Pod): void {
    const nodeName = pod.spec?.nodeName;
    if (!nodeName) {
      if (pod.metadata.deletionTimestamp !== undefined) this.#queue.add(`pod/${keyOf(pod)}`);
      return;
    }
    const node = this.#nodes.byKey(objectKey(undefined, nodeName));
    if (node === undefined && this.#nodes.hasSynced) this.#queue.addAfter(`node/${nodeName}`, ORPHAN_QUARANTINE_MS);
    else if (node !== undefined && pod.metadata.deletionTimestamp !== undefined && isOutOfService(node))
      this.#queue.add(`node/${nodeName}`);
  }

  #sync(key: Key): Promise<void> {
    if (key === TERMINATED) return this.#collectTerminated();
    const name = key.slice(key.indexOf('/') + 1);
    return key.startsWith('pod/') ? this.#collectUnscheduled(name as ObjectKey) : this.#collectOfNode(name);
  }

  async #collectTerminated(): Promise<void> {
    const doomed = chooseTerminatedPods(this.#pods.list(), this.#context.config.terminatedPodThreshold);
    for (const pod of doomed) await deletePod(this.#context.client, pod, 0);
  }

  /** No node will ever confirm the end of a pod that was never given to one. */
  async #collectUnscheduled(key: ObjectKey): Promise<void> {
    const pod = this.#pods.byKey(key);
    if (pod === undefined || pod.metadata.deletionTimestamp === undefined || pod.spec?.nodeName) return;
    await deletePod(this.#context.client, pod, 0);
  }

  async #collectOfNode(name: string): Promise<void> {
    const node = this.#nodes.byKey(objectKey(undefined, name));
    const pods = this.#pods.byIndex(BY_NODE, name);
    if (node === undefined) {
      if (pods.length === 0 || (await this.#exists(name))) return;
      for (const pod of pods) await this.#remove(pod, 'PodGC: node no longer exists');
    } else if (isOutOfService(node)) {
      const terminating = pods.filter((pod) => pod.metadata.deletionTimestamp !== undefined);
      for (const pod of terminating) await this.#remove(pod, 'PodGC: node is out of service');
    }
  }

  /** The cache may not show a node that has just come back. */
  async #exists(name: string): Promise<boolean> {
    try {
      await this.#context.client.resource<Node>(resources.nodes).fetch(name);
      return true;
    } catch (err) {
      if (isNotFound(err)) return false;
      throw err;
    }
  }

  async #remove(pod: Pod, message: string): Promise<void> {
    const { client, clock } = this.#context;
    const isMarked = podCondition(pod, 'DisruptionTarget')?.status === 'True';
    if (!isPodTerminal(pod) || !isMarked) {
      try {
        const nowMs = clock.now();
        await markDisrupted(client, pod, { reason: 'DeletionByPodGC', message, nowMs, isNodeGone: true });
      } catch (err) {
        if (!isNotFound(err)) throw err;
        return;
      }
    }
    await deletePod(client, pod, 0);
  }
}

function isOutOfService(node: Node): boolean {
  const isReady = node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');
  return !isReady && (node.spec?.taints ?? []).some(({ key }) => key === OUT_OF_SERVICE);
}

export function startPodGarbageCollector(context: ControllerContext, signal: AbortSignal): Promise<void> {
  return new PodGarbageCollector(context).run(signal);
}
