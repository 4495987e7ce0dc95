import { isDeepStrictEqual } from 'node:util';
import type { Informer } from '#api/client/informer.ts';
import type { WorkQueue } from '#api/client/work-queue.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { type Node, type Pod, resources } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { deletePod, markDisrupted } from '../pod-deletion.ts';
import type { Taint } from './compute-taints.ts';
import { tolerationMs } from './plan-eviction.ts';

const BY_NODE = 'node';

const evictingTaints = (node: Node | undefined): readonly Taint[] =>
  (node?.spec?.taints ?? []).filter(({ effect }) => effect === 'NoExecute');

/** Deletes pods that do not, or no longer, tolerate the NoExecute taints of their node. */
class TaintEvictionController {
  readonly #context: ControllerContext;
  readonly #nodes: Informer<Node>;
  readonly #pods: Informer<Pod>;
  readonly #queue: WorkQueue<ObjectKey>;
  /** Pod uid -> monotonic time at which its toleration began to run: from when we first saw the taint, not from a foreign clock. */
  readonly #startedMs = new Map<string, number>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#nodes = context.informers.informer<Node>(resources.nodes);
    this.#pods = context.informers.informer<Pod>(resources.pods);
    this.#pods.addIndex(BY_NODE, (pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []));
    this.#queue = createControllerQueue<ObjectKey>(context, { name: 'taint-eviction', sync: (key) => this.#sync(key) });
  }

  run(signal: AbortSignal): Promise<void> {
    this.#pods.addHandler({
      onAdd: (pod) => this.#onPod(pod),
      onUpdate: (previous, pod) => {
        const isSame =
          previous.spec?.nodeName === pod.spec?.nodeName &&
          isDeepStrictEqual(previous.spec?.tolerations, pod.spec?.tolerations);
        if (!isSame) this.#onPod(pod);
      },
      onDelete: (pod) => this.#startedMs.delete(pod.metadata.uid),
    });
    this.#nodes.addHandler({
      onAdd: (node) => {
        if (evictingTaints(node).length > 0) this.#enqueuePodsOf(node);
      },
      onUpdate: (previous, node) => {
        if (!isDeepStrictEqual(evictingTaints(previous), evictingTaints(node))) this.#enqueuePodsOf(node);
      },
    });
    return runQueue(this.#queue, [this.#nodes, this.#pods], signal);
  }

  #onPod(pod: Pod): void {
    const node = this.#nodeOf(pod);
    if (node !== undefined && evictingTaints(node).length > 0) this.#queue.add(keyOf(pod));
  }

  #enqueuePodsOf(node: Node): void {
    for (const pod of this.#pods.byIndex(BY_NODE, node.metadata.name)) this.#queue.add(keyOf(pod));
  }

  #nodeOf(pod: Pod): Node | undefined {
    return pod.spec?.nodeName ? this.#nodes.byKey(objectKey(undefined, pod.spec.nodeName)) : undefined;
  }

  async #sync(key: ObjectKey): Promise<void> {
    const pod = this.#pods.byKey(key);
    if (pod === undefined || pod.metadata.deletionTimestamp !== undefined) return;
    const { uid } = pod.metadata;
    const taints = evictingTaints(this.#nodeOf(pod));
    if (taints.length === 0) {
      if (this.#startedMs.delete(uid)) this.#record(pod, 'Normal', `Cancelling deletion of Pod ${key}`);
      return;
    }
    const nowMs = this.#context.clock.monotonic();
    const startedMs = this.#startedMs.get(uid) ?? nowMs;
    this.#startedMs.set(uid, startedMs);
    const leftMs = startedMs + tolerationMs(pod.spec?.tolerations ?? [], taints) - nowMs;
    if (leftMs <= 0) await this.#evict(key, pod);
    else if (Number.isFinite(leftMs)) this.#queue.addAfter(key, leftMs);
  }

  async #evict(key: ObjectKey, pod: Pod): Promise<void> {
    const { client, clock } = this.#context;
    this.#record(pod, 'Normal', `Marking for deletion Pod ${key}`);
    try {
      await markDisrupted(client, pod, {
        reason: 'DeletionByTaintManager',
        message: 'Taint manager: deleting due to NoExecute taint',
        nowMs: clock.now(),
        isNodeGone: false,
      });
    } catch (err) {
      if (isNotFound(err)) return;
      throw err;
    }
    await deletePod(client, pod);
  }

  #record(pod: Pod, type: 'Normal' | 'Warning', message: string): void {
    const subject = { apiVersion: 'v1', kind: 'Pod', metadata: pod.metadata };
    this.#context.events.record(subject, type, 'TaintManagerEviction', message);
  }
}

export function startTaintEvictionController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  return new TaintEvictionController(context).run(signal);
}
