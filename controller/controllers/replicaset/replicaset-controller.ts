import { Expectations } from '#api/client/expectations.ts';
import type { Informer } from '#api/client/informer.ts';
import type { WorkQueue } from '#api/client/work-queue.ts';
import { labelSelectorFrom } from '#api/meta/label-selector.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { type Pod, type ReplicaSet, resources } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import { describeError } from '#base/errors.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import {
  BY_CONTROLLER,
  claimChildren,
  controllerIndex,
  controllerOf,
  createControllerRef,
  isNamespaceTerminating,
  orphansOf,
} from '../controller-ref.ts';
import { isPodActive } from '../pod-state.ts';
import { runSlowStart } from '../slow-start.ts';
import { computeReplicaSetStatus, isSameStatus, nextAvailableMs, type ReplicaFailure } from './compute-status.ts';
import { choosePodsToDelete } from './deletion-ranking.ts';

/** Pods created or deleted in one pass; the rest follows when the cache shows these. */
const BURST = 500;

class ReplicaSetController {
  readonly #context: ControllerContext;
  readonly #replicaSets: Informer<ReplicaSet>;
  readonly #pods: Informer<Pod>;
  readonly #queue: WorkQueue<ObjectKey>;
  readonly #expectations: Expectations;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#replicaSets = context.informers.informer<ReplicaSet>(resources.replicaSets);
    this.#pods = context.informers.informer<Pod>(resources.pods);
    this.#pods.addIndex(BY_CONTROLLER, controllerIndex);
    this.#replicaSets.addIndex(BY_CONTROLLER, controllerIndex);
    this.#expectations = new Expectations(context.clock);
    this.#queue = createControllerQueue<ObjectKey>(context, { name: 'replicaset', sync: (key) => this.#sync(key) });
  }

  run(signal: AbortSignal): Promise<void> {
    this.#replicaSets.addHandler({
      onAdd: (replicaSet) => this.#queue.add(keyOf(replicaSet)),
      onUpdate: (_, replicaSet) => this.#queue.add(keyOf(replicaSet)),
      onDelete: (replicaSet) => {
        this.#expectations.forget(keyOf(replicaSet));
        this.#queue.add(keyOf(replicaSet));
      },
    });
    this.#pods.addHandler({
      onAdd: (pod) => this.#onPodAdd(pod),
      onUpdate: (previous, pod) => this.#onPodUpdate(previous, pod),
      onDelete: (pod) => this.#onPodGoing(pod),
    });
    return runQueue(this.#queue, [this.#replicaSets, this.#pods], signal);
  }

  #onPodAdd(pod: Pod): void {
    const owner = this.#ownerOf(pod);
    if (pod.metadata.deletionTimestamp !== undefined) this.#onPodGoing(pod);
    else if (owner !== undefined) this.#expectations.onCreated(keyOf(owner));
    this.#enqueueOwners(pod);
  }

  #onPodUpdate(previous: Pod, pod: Pod): void {
    if (pod.metadata.deletionTimestamp !== undefined) this.#onPodGoing(pod);
    else this.#enqueueOwners(pod);
    if (controllerOf(previous)?.uid !== controllerOf(pod)?.uid) this.#enqueueOwners(previous);
  }

  /** A pod that is marked for deletion no longer counts, so the deletion is observed now and not when it is gone. */
  #onPodGoing(pod: Pod): void {
    const owner = this.#ownerOf(pod);
    if (owner !== undefined) this.#expectations.onDeleted(keyOf(owner), pod.metadata.uid);
    this.#enqueueOwners(pod);
  }

  #enqueueOwners(pod: Pod): void {
    const owner = this.#ownerOf(pod);
    if (owner !== undefined) this.#queue.add(keyOf(owner));
    if (controllerOf(pod) !== undefined) return;
    for (const candidate of this.#replicaSets.list(pod.metadata.namespace))
      if (labelSelectorFrom(candidate.spec?.selector).matches(pod.metadata.labels)) this.#queue.add(keyOf(candidate));
  }

  #ownerOf(pod: Pod): ReplicaSet | undefined {
    const ref = controllerOf(pod);
    if (ref?.kind !== 'ReplicaSet') return undefined;
    const owner = this.#replicaSets.byKey(objectKey(pod.metadata.namespace, ref.name));
    return owner?.metadata.uid === ref.uid ? owner : undefined;
  }

  async #sync(key: ObjectKey): Promise<void> {
    const replicaSet = this.#replicaSets.byKey(key);
    if (replicaSet === undefined) return;
    const isCacheCurrent = this.#expectations.isSatisfied(key);
    const pods = await this.#claimPods(replicaSet);
    const isLeaving = replicaSet.metadata.deletionTimestamp !== undefined;
    const outcome = isCacheCurrent && !isLeaving ? await this.#reachReplicas(replicaSet, pods) : undefined;
    await this.#updateStatus(replicaSet, pods, outcome);
    if (outcome !== undefined) throw outcome.error;
  }

  #claimPods(replicaSet: ReplicaSet): Promise<Pod[]> {
    const { client } = this.#context;
    return claimChildren({
      owner: replicaSet,
      owners: client.resource<ReplicaSet>(resources.replicaSets),
      candidates: [
        ...this.#pods.byIndex(BY_CONTROLLER, replicaSet.metadata.uid),
        ...this.#pods.byIndex(BY_CONTROLLER, orphansOf(replicaSet.metadata.namespace)).filter(isPodActive),
      ],
      children: client.resource<Pod>(resources.pods),
    });
  }

  /** Answers what went wrong, or undefined. */
  #reachReplicas(replicaSet: ReplicaSet, pods: readonly Pod[]): Promise<Failure | undefined> {
    const active = pods.filter(isPodActive);
    const missing = (replicaSet.spec?.replicas ?? 1) - active.length;
    if (missing > 0) return this.#createPods(replicaSet, Math.min(missing, BURST));
    if (missing === 0) return Promise.resolve(undefined);
    const count = Math.min(-missing, BURST);
    const doomed = choosePodsToDelete(active, this.#relatedPods(replicaSet), count, this.#context.clock.now());
    return this.#deletePods(replicaSet, doomed);
  }

  async #createPods(replicaSet: ReplicaSet, count: number): Promise<Failure | undefined> {
    const key = keyOf(replicaSet);
    this.#expectations.expect(key, count);
    const { succeeded, error } = await runSlowStart(count, () => this.#createPod(replicaSet));
    // Those that failed and those that were not tried will never be seen.
    for (let i = succeeded; i < count; i++) this.#expectations.onCreated(key);
    if (error === undefined || isNamespaceTerminating(error)) return undefined;
    return { error, reason: 'FailedCreate', message: describeError(error) };
  }

  async #createPod(replicaSet: ReplicaSet): Promise<void> {
    const { events, client } = this.#context;
    const template = replicaSet.spec?.template;
    const { labels, annotations, finalizers } = template?.metadata ?? {};
    try {
      const pod = await client.resource<Pod>(resources.pods).create({
        metadata: {
          namespace: replicaSet.metadata.namespace,
          generateName: `${replicaSet.metadata.name}-`,
          labels,
          annotations,
          finalizers,
          ownerReferences: [createControllerRef(resources.replicaSets, replicaSet)],
        },
        spec: template?.spec,
      });
      events.record(subject(replicaSet), 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name}`);
    } catch (err) {
      if (!isNamespaceTerminating(err))
        events.record(subject(replicaSet), 'Warning', 'FailedCreate', `Error creating: ${describeError(err)}`);
      throw err;
    }
  }

  async #deletePods(replicaSet: ReplicaSet, doomed: readonly Pod[]): Promise<Failure | undefined> {
    const key = keyOf(replicaSet);
    this.#expectations.expect(
      key,
      0,
      doomed.map((pod) => pod.metadata.uid),
    );
    const results = await Promise.allSettled(doomed.map((pod) => this.#deletePod(replicaSet, pod)));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed === undefined) return undefined;
    return { error: failed.reason, reason: 'FailedDelete', message: describeError(failed.reason) };
  }

  async #deletePod(replicaSet: ReplicaSet, pod: Pod): Promise<void> {
    const { events, client } = this.#context;
    const { name, namespace, uid } = pod.metadata;
    try {
      await client.resource<Pod>(resources.pods).delete({ name, namespace, preconditions: { uid } });
      events.record(subject(replicaSet), 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`);
    } catch (err) {
      this.#expectations.onDeleted(keyOf(replicaSet), uid);
      if (isNotFound(err)) return;
      events.record(subject(replicaSet), 'Warning', 'FailedDelete', `Error deleting: ${describeError(err)}`);
      throw err;
    }
  }

  /** Active pods of all sets with the same owner: a scale-down thins out the nodes that hold most of them. */
  #relatedPods(replicaSet: ReplicaSet): Pod[] {
    const owner = controllerOf(replicaSet);
    const siblings = owner === undefined ? [replicaSet] : this.#replicaSets.byIndex(BY_CONTROLLER, owner.uid);
    return siblings.flatMap((set) => this.#pods.byIndex(BY_CONTROLLER, set.metadata.uid)).filter(isPodActive);
  }

  async #updateStatus(
    replicaSet: ReplicaSet,
    pods: readonly Pod[],
    failure: ReplicaFailure | undefined,
  ): Promise<void> {
    const { client, clock } = this.#context;
    const nowMs = clock.now();
    const reported = failure === undefined ? undefined : { reason: failure.reason, message: failure.message };
    const status = computeReplicaSetStatus(replicaSet, pods, reported, nowMs);
    const waitMs = nextAvailableMs(pods, replicaSet.spec?.minReadySeconds ?? 0, nowMs);
    if (waitMs !== undefined) this.#queue.addAfter(keyOf(replicaSet), waitMs);
    if (isSameStatus(replicaSet.status, status)) return;
    await client.resource<ReplicaSet>(resources.replicaSets).update({ ...replicaSet, status }, 'status');
  }
}

interface Failure extends ReplicaFailure {
  readonly error: unknown;
}

const subject = (replicaSet: ReplicaSet) => ({
  apiVersion: 'apps/v1',
  kind: 'ReplicaSet',
  metadata: replicaSet.metadata,
});

export function startReplicaSetController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  return new ReplicaSetController(context).run(signal);
}
