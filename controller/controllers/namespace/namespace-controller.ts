import { isDeepStrictEqual } from 'node:util';
import type { Informer } from '#api/client/informer.ts';
import type { WorkQueue } from '#api/client/work-queue.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { type Namespace, type Pod, resources } from '#api/object/kinds.ts';
import { type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { computeNamespaceConditions } from './compute-conditions.ts';
import { deleteContent, type RemainingContent } from './namespace-content.ts';

const FINALIZER = 'kubernetes';
/** Most content goes at once; pods wake us when they are gone, and what waits for a finalizer is looked at less and less often. */
const RECHECK = { initialMs: 250, maxMs: 15_000 };

const isTerminating = (namespace: Namespace) => namespace.metadata.deletionTimestamp !== undefined;
const finalizersOf = (namespace: Namespace) => namespace.spec?.finalizers ?? [];

/** Empties namespaces that are being deleted and then lets them go. */
class NamespaceController {
  readonly #context: ControllerContext;
  readonly #namespaces: Informer<Namespace>;
  readonly #pods: Informer<Pod>;
  readonly #queue: WorkQueue<ObjectKey>;
  /** Passes that found something left, by namespace. */
  readonly #attempts = new Map<ObjectKey, number>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#namespaces = context.informers.informer<Namespace>(resources.namespaces);
    this.#pods = context.informers.informer<Pod>(resources.pods);
    this.#queue = createControllerQueue<ObjectKey>(context, {
      name: 'namespace',
      sync: (key, signal) => this.#sync(key, signal),
    });
  }

  run(signal: AbortSignal): Promise<void> {
    const enqueue = (namespace: Namespace) => {
      if (isTerminating(namespace)) this.#queue.add(objectKey(undefined, namespace.metadata.name));
    };
    this.#namespaces.addHandler({
      onAdd: enqueue,
      onUpdate: (previous, namespace) => {
        // Our own writes of conditions are no reason to look again.
        if (isTerminating(previous) && isDeepStrictEqual(finalizersOf(previous), finalizersOf(namespace))) return;
        enqueue(namespace);
      },
      onDelete: (namespace) => this.#attempts.delete(objectKey(undefined, namespace.metadata.name)),
    });
    this.#pods.addHandler({
      onDelete: (pod) => {
        const namespace = this.#namespaces.byKey(objectKey(undefined, pod.metadata.namespace ?? ''));
        if (namespace !== undefined) enqueue(namespace);
      },
    });
    return runQueue(this.#queue, [this.#namespaces, this.#pods], signal);
  }

  async #sync(key: ObjectKey, signal: AbortSignal): Promise<void> {
    const cached = this.#namespaces.byKey(key);
    if (cached === undefined || !isTerminating(cached) || !finalizersOf(cached).includes(FINALIZER)) return;
    const { client } = this.#context;
    const remaining = await deleteContent(client, cached.metadata.name, signal);
    try {
      // The cache may be a pass behind; the next write must not lose to our own last one.
      const namespace = await client.resource<Namespace>(resources.namespaces).fetch(cached.metadata.name);
      if (namespace.metadata.uid !== cached.metadata.uid) return;
      await this.#report(key, namespace, remaining);
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }

  async #report(key: ObjectKey, namespace: Namespace, remaining: RemainingContent): Promise<void> {
    const client = this.#context.client.resource<Namespace>(resources.namespaces);
    const isEmpty =
      remaining.counts.size === 0 && remaining.failures.length === 0 && remaining.discoveryFailure === undefined;
    if (isEmpty) {
      const finalizers = finalizersOf(namespace).filter((name) => name !== FINALIZER);
      await client.update({ ...namespace, spec: { ...namespace.spec, finalizers } }, 'finalize');
      return;
    }
    const before = namespace.status?.conditions ?? [];
    const conditions = computeNamespaceConditions(before, remaining, this.#context.clock.now());
    if (!isDeepStrictEqual(before, conditions) || namespace.status?.phase !== 'Terminating')
      await client.update({ ...namespace, status: { phase: 'Terminating', conditions } }, 'status');
    const attempts = (this.#attempts.get(key) ?? 0) + 1;
    this.#attempts.set(key, attempts);
    this.#queue.addAfter(key, backoffDelayMs(attempts, RECHECK));
  }
}

export function startNamespaceController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  return new NamespaceController(context).run(signal);
}
