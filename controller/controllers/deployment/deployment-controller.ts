import type { Informer } from '#api/client/informer.ts';
import type { WorkQueue } from '#api/client/work-queue.ts';
import { labelSelectorFrom } from '#api/meta/label-selector.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { type Deployment, type Pod, type ReplicaSet, resources } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { BY_CONTROLLER, claimChildren, controllerIndex, controllerOf, orphansOf } from '../controller-ref.ts';
import { computeReplicasAnnotations } from './annotations.ts';
import {
  computeDeploymentStatus,
  computeRolloutStatus,
  type DeploymentStatus,
  deadlineMs,
  findCondition,
  isComplete,
  isSameStatus,
  stuckAtMs,
  withCondition,
} from './compute-status.ts';
import { planHistoryCleanup } from './history.ts';
import { isScalingEvent, planScaling } from './proportional-scaling.ts';
import { planRecreate } from './recreate.ts';
import { isRollingUpdate, type ScaleStep, sizeOf } from './replica-math.ts';
import { RevisionSync } from './revision-sync.ts';
import { planRollingUpdate } from './rolling.ts';
import { allOf, deploymentSubject, type RolloutView } from './rollout-view.ts';

class DeploymentController {
  readonly #context: ControllerContext;
  readonly #deployments: Informer<Deployment>;
  readonly #replicaSets: Informer<ReplicaSet>;
  readonly #pods: Informer<Pod>;
  readonly #queue: WorkQueue<ObjectKey>;
  readonly #revisions: RevisionSync;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#deployments = context.informers.informer<Deployment>(resources.deployments);
    this.#replicaSets = context.informers.informer<ReplicaSet>(resources.replicaSets);
    this.#pods = context.informers.informer<Pod>(resources.pods);
    this.#replicaSets.addIndex(BY_CONTROLLER, controllerIndex);
    this.#pods.addIndex(BY_CONTROLLER, controllerIndex);
    this.#revisions = new RevisionSync(context);
    this.#queue = createControllerQueue<ObjectKey>(context, { name: 'deployment', sync: (key) => this.#sync(key) });
  }

  run(signal: AbortSignal): Promise<void> {
    this.#deployments.addHandler({
      onAdd: (deployment) => this.#queue.add(keyOf(deployment)),
      onUpdate: (_, deployment) => this.#queue.add(keyOf(deployment)),
    });
    this.#replicaSets.addHandler({
      onAdd: (replicaSet) => this.#enqueueOwners(replicaSet),
      onUpdate: (previous, replicaSet) => {
        if (controllerOf(previous)?.uid !== controllerOf(replicaSet)?.uid) this.#enqueueOwners(previous);
        this.#enqueueOwners(replicaSet);
      },
      onDelete: (replicaSet) => this.#enqueueOwners(replicaSet),
    });
    // Recreate waits for the last old pod, which no ReplicaSet counts any more once it is terminating.
    this.#pods.addHandler({ onDelete: (pod) => this.#onPodDelete(pod) });
    return runQueue(this.#queue, [this.#deployments, this.#replicaSets, this.#pods], signal);
  }

  #enqueueOwners(replicaSet: ReplicaSet): void {
    const owner = this.#ownerOf(replicaSet);
    if (owner !== undefined) this.#queue.add(keyOf(owner));
    if (controllerOf(replicaSet) !== undefined) return;
    for (const candidate of this.#deployments.list(replicaSet.metadata.namespace))
      if (labelSelectorFrom(candidate.spec?.selector).matches(replicaSet.metadata.labels))
        this.#queue.add(keyOf(candidate));
  }

  #ownerOf(replicaSet: ReplicaSet): Deployment | undefined {
    const ref = controllerOf(replicaSet);
    if (ref?.kind !== 'Deployment') return undefined;
    const owner = this.#deployments.byKey(objectKey(replicaSet.metadata.namespace, ref.name));
    return owner?.metadata.uid === ref.uid ? owner : undefined;
  }

  #onPodDelete(pod: Pod): void {
    const ref = controllerOf(pod);
    if (ref?.kind !== 'ReplicaSet') return;
    const replicaSet = this.#replicaSets.byKey(objectKey(pod.metadata.namespace, ref.name));
    const owner = replicaSet === undefined ? undefined : this.#ownerOf(replicaSet);
    if (owner !== undefined && !isRollingUpdate(owner)) this.#queue.add(keyOf(owner));
  }

  async #sync(key: ObjectKey): Promise<void> {
    const deployment = this.#deployments.byKey(key);
    if (deployment === undefined) return;
    if (labelSelectorFrom(deployment.spec?.selector).isEmpty) {
      const message = 'This deployment is selecting all pods. A non-empty selector is required.';
      this.#context.events.record(deploymentSubject(deployment), 'Warning', 'SelectingAll', message);
      return;
    }
    const replicaSets = await this.#claimReplicaSets(deployment);
    if (deployment.metadata.deletionTimestamp !== undefined)
      return this.#updatePlainStatus(await this.#revisions.view(deployment, replicaSets, false));
    const current = this.#withPauseCondition(deployment);
    if (deployment.spec?.paused || isScalingEvent(deployment, replicaSets))
      return this.#scale(await this.#viewOf(deployment, current, replicaSets, false));
    if (isRollingUpdate(deployment)) return this.#rollOut(await this.#viewOf(deployment, current, replicaSets, true));
    return this.#recreate(deployment, current, replicaSets);
  }

  /** `stored` is what the server has of the deployment that `current` changes in memory. */
  async #viewOf(
    stored: Deployment,
    current: Deployment,
    replicaSets: readonly ReplicaSet[],
    createIfMissing: boolean,
  ): Promise<RolloutView> {
    const view = await this.#revisions.view(current, replicaSets, createIfMissing);
    return view.storedStatus === current.status ? { ...view, storedStatus: stored.status } : view;
  }

  #claimReplicaSets(deployment: Deployment): Promise<ReplicaSet[]> {
    const { client } = this.#context;
    return claimChildren({
      owner: deployment,
      owners: client.resource<Deployment>(resources.deployments),
      candidates: [
        ...this.#replicaSets.byIndex(BY_CONTROLLER, deployment.metadata.uid),
        ...this.#replicaSets.byIndex(BY_CONTROLLER, orphansOf(deployment.metadata.namespace)),
      ],
      children: client.resource<ReplicaSet>(resources.replicaSets),
    });
  }

  /** Time that a rollout spends paused must not count towards its deadline. */
  #withPauseCondition(deployment: Deployment): Deployment {
    const progressing = findCondition(deployment.status, 'Progressing');
    if (deadlineMs(deployment) === undefined || progressing?.reason === 'ProgressDeadlineExceeded') return deployment;
    const isPaused = deployment.spec?.paused ?? false;
    const isKnown = progressing?.reason === 'DeploymentPaused';
    if (isPaused === isKnown) return deployment;
    const [reason, message] = isPaused
      ? ['DeploymentPaused', 'Deployment is paused']
      : ['DeploymentResumed', 'Deployment is resumed'];
    const draft = { type: 'Progressing', status: 'Unknown', reason, message };
    const conditions = withCondition(deployment.status?.conditions ?? [], draft, this.#context.clock.now());
    return { ...deployment, status: { ...deployment.status, conditions } };
  }

  /** Paused, or the user changed the size: sizes move, the rollout does not. */
  async #scale(view: RolloutView): Promise<void> {
    await this.#apply(view, planScaling(view.deployment, view.newReplicaSet, view.old));
    if (view.deployment.spec?.paused) await this.#cleanUpHistory(view);
    await this.#updatePlainStatus(view);
  }

  async #rollOut(view: RolloutView): Promise<void> {
    const hasScaled = await this.#apply(view, planRollingUpdate(view));
    if (!hasScaled) await this.#cleanUpWhenComplete(view);
    await this.#updateRolloutStatus(view);
  }

  async #recreate(stored: Deployment, current: Deployment, replicaSets: readonly ReplicaSet[]): Promise<void> {
    let view = await this.#viewOf(stored, current, replicaSets, false);
    const plan = planRecreate(view, (replicaSet) => this.#pods.byIndex(BY_CONTROLLER, replicaSet.metadata.uid));
    if (plan.kind === 'scale') await this.#apply(view, plan.steps);
    else if (plan.kind === 'createNewReplicaSet') view = await this.#viewOf(stored, current, replicaSets, true);
    else if (plan.kind === 'done') await this.#cleanUpWhenComplete(view);
    await this.#updateRolloutStatus(view);
  }

  /** True when a size changed; annotations alone do not count. */
  async #apply({ deployment }: RolloutView, steps: readonly ScaleStep[]): Promise<boolean> {
    const { client, events } = this.#context;
    let hasScaled = false;
    for (const { replicaSet, replicas } of steps) {
      const before = sizeOf(replicaSet);
      const annotations = { ...replicaSet.metadata.annotations, ...computeReplicasAnnotations(deployment) };
      const isAnnotated = Object.entries(computeReplicasAnnotations(deployment)).every(
        ([name, value]) => replicaSet.metadata.annotations?.[name] === value,
      );
      if (before === replicas && isAnnotated) continue;
      await client.resource<ReplicaSet>(resources.replicaSets).update({
        ...replicaSet,
        metadata: { ...replicaSet.metadata, annotations },
        spec: { ...replicaSet.spec!, replicas },
      });
      if (before === replicas) continue;
      hasScaled = true;
      const direction = replicas > before ? 'up' : 'down';
      const message = `Scaled ${direction} replica set ${replicaSet.metadata.name} from ${before} to ${replicas}`;
      events.record(deploymentSubject(deployment), 'Normal', 'ScalingReplicaSet', message);
    }
    return hasScaled;
  }

  async #cleanUpWhenComplete(view: RolloutView): Promise<void> {
    const status = computeDeploymentStatus(view.deployment, allOf(view), view.newReplicaSet, this.#context.clock.now());
    if (isComplete(view.deployment, status)) await this.#cleanUpHistory(view);
  }

  async #cleanUpHistory({ deployment, old }: RolloutView): Promise<void> {
    for (const replicaSet of planHistoryCleanup(deployment, old)) {
      const { name, namespace, uid } = replicaSet.metadata;
      try {
        await this.#context.client
          .resource<ReplicaSet>(resources.replicaSets)
          .delete({ name, namespace, preconditions: { uid }, propagationPolicy: 'Background' });
      } catch (err) {
        if (!isNotFound(err)) throw err;
      }
    }
  }

  #updatePlainStatus(view: RolloutView): Promise<void> {
    const { deployment, newReplicaSet } = view;
    return this.#writeStatus(
      view,
      computeDeploymentStatus(deployment, allOf(view), newReplicaSet, this.#context.clock.now()),
    );
  }

  async #updateRolloutStatus(view: RolloutView): Promise<void> {
    const nowMs = this.#context.clock.now();
    const { deployment, newReplicaSet } = view;
    const status = computeRolloutStatus(deployment, allOf(view), newReplicaSet, nowMs);
    const atMs = stuckAtMs({ ...deployment, status });
    // A second later, so that whole-second timestamps cannot put the check just before the deadline.
    if (atMs !== undefined) this.#queue.addAfter(keyOf(deployment), Math.max(0, atMs - nowMs) + 1000);
    await this.#writeStatus(view, status);
  }

  async #writeStatus({ deployment, storedStatus }: RolloutView, status: DeploymentStatus): Promise<void> {
    if (isSameStatus(storedStatus, status)) return;
    await this.#context.client.resource<Deployment>(resources.deployments).update({ ...deployment, status }, 'status');
  }
}

export function startDeploymentController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  return new DeploymentController(context).run(signal);
}
