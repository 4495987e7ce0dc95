import { isDeepStrictEqual } from 'node:util';
import { isAlreadyExists } from '#api/object/api-error.ts';
import { type Deployment, type ReplicaSet, resources } from '#api/object/kinds.ts';
import { describeError } from '#base/errors.ts';
import type { ControllerContext } from '../controller-context.ts';
import { controllerOf, createControllerRef, isNamespaceTerminating } from '../controller-ref.ts';
import { computeNewReplicaSetAnnotations, maxRevision, REVISION } from './annotations.ts';
import { type DeploymentCondition, deadlineMs, findCondition, withCondition } from './compute-status.ts';
import { computeNewReplicaSetSize } from './replica-math.ts';
import { deploymentSubject, type RolloutView } from './rollout-view.ts';
import { computeTemplateHash, findNewReplicaSet, isSameTemplate, POD_TEMPLATE_HASH } from './template-hash.ts';

/**
 * Finds or creates the ReplicaSet of the current template and keeps the revision numbers that `kubectl rollout history` and `undo` read.
 */
export class RevisionSync {
  readonly #context: ControllerContext;

  constructor(context: ControllerContext) {
    this.#context = context;
  }

  get #deployments() {
    return this.#context.client.resource<Deployment>(resources.deployments);
  }

  get #replicaSets() {
    return this.#context.client.resource<ReplicaSet>(resources.replicaSets);
  }

  async view(
    deployment: Deployment,
    replicaSets: readonly ReplicaSet[],
    createIfMissing: boolean,
  ): Promise<RolloutView> {
    const found = findNewReplicaSet(deployment, replicaSets);
    const old = replicaSets.filter((replicaSet) => replicaSet !== found);
    const view = { deployment, storedStatus: deployment.status, newReplicaSet: found, old };
    if (found !== undefined) return this.#bringUpToDate(view, found);
    return createIfMissing ? this.#create(view) : view;
  }

  async #bringUpToDate(view: RolloutView, found: ReplicaSet): Promise<RolloutView> {
    const { deployment, old } = view;
    const annotations = computeNewReplicaSetAnnotations(
      deployment,
      found.metadata.annotations ?? {},
      maxRevision(old) + 1,
    );
    const minReadySeconds = deployment.spec?.minReadySeconds ?? 0;
    let newReplicaSet = found;
    const isSame = isDeepStrictEqual(annotations, found.metadata.annotations ?? {});
    if (!isSame || (found.spec?.minReadySeconds ?? 0) !== minReadySeconds)
      newReplicaSet = await this.#replicaSets.update({
        ...found,
        metadata: { ...found.metadata, annotations },
        spec: { ...found.spec!, minReadySeconds },
      });
    const current = await this.#recordRevision(view, newReplicaSet);
    if (findCondition(current.deployment.status, 'Progressing') !== undefined) return { ...current, newReplicaSet };
    const message = `Found new replica set "${found.metadata.name}"`;
    return { ...this.#withProgress(current, 'True', 'FoundNewReplicaSet', message), newReplicaSet };
  }

  async #create(view: RolloutView): Promise<RolloutView> {
    const { deployment, old } = view;
    const draft = draftReplicaSet(deployment, old);
    try {
      const newReplicaSet = await this.#createOrFind(deployment, draft);
      if (newReplicaSet === undefined) return this.#countCollision(view, draft.metadata.name);
      const current = await this.#recordRevision(view, newReplicaSet);
      const message = `Created new replica set "${newReplicaSet.metadata.name}"`;
      return { ...this.#withProgress(current, 'True', 'NewReplicaSetCreated', message), newReplicaSet };
    } catch (err) {
      if (!isNamespaceTerminating(err)) await this.#reportFailure(view, draft.metadata.name, err);
      throw err;
    }
  }

  /** Undefined when the name is taken by a set that is not ours. */
  async #createOrFind(
    deployment: Deployment,
    draft: ReturnType<typeof draftReplicaSet>,
  ): Promise<ReplicaSet | undefined> {
    const { name } = draft.metadata;
    try {
      const created = await this.#replicaSets.create(draft);
      const { replicas } = draft.spec;
      if (replicas > 0)
        this.#context.events.record(
          deploymentSubject(deployment),
          'Normal',
          'ScalingReplicaSet',
          `Scaled up replica set ${name} from 0 to ${replicas}`,
        );
      return created;
    } catch (err) {
      if (!isAlreadyExists(err)) throw err;
      // Our own, which the cache does not show yet, or a foreign one with the same hash.
      const existing = await this.#replicaSets.fetch(name, deployment.metadata.namespace);
      const isOurs = controllerOf(existing)?.uid === deployment.metadata.uid;
      return isOurs && isSameTemplate(existing.spec?.template, deployment.spec?.template) ? existing : undefined;
    }
  }

  /** Another collision count gives another hash, so the next pass has another name. */
  async #countCollision({ deployment }: RolloutView, name: string): Promise<never> {
    const collisionCount = (deployment.status?.collisionCount ?? 0) + 1;
    await this.#deployments.update({ ...deployment, status: { ...deployment.status, collisionCount } }, 'status');
    throw new Error(`the name ${name} is taken by another ReplicaSet; trying another one`);
  }

  async #reportFailure(view: RolloutView, name: string, err: unknown): Promise<void> {
    if (deadlineMs(view.deployment) === undefined) return;
    const message = `Failed to create new replica set "${name}": ${describeError(err)}`;
    const { deployment } = this.#withProgress(view, 'False', 'ReplicaSetCreateError', message);
    if (isDeepStrictEqual(deployment.status?.conditions, view.storedStatus?.conditions)) return;
    await this.#deployments.update(deployment, 'status');
  }

  async #recordRevision(view: RolloutView, newReplicaSet: ReplicaSet): Promise<RolloutView> {
    const { deployment } = view;
    const revision = newReplicaSet.metadata.annotations?.[REVISION];
    if (revision === undefined || deployment.metadata.annotations?.[REVISION] === revision) return view;
    const annotations = { ...deployment.metadata.annotations, [REVISION]: revision };
    const updated = await this.#deployments.update({
      ...deployment,
      metadata: { ...deployment.metadata, annotations },
    });
    return { ...view, deployment: updated, storedStatus: updated.status };
  }

  #withProgress(view: RolloutView, status: 'True' | 'False', reason: string, message: string): RolloutView {
    const { deployment } = view;
    if (deadlineMs(deployment) === undefined) return view;
    const draft: Pick<DeploymentCondition, 'type' | 'status' | 'reason' | 'message'> = {
      type: 'Progressing',
      status,
      reason,
      message,
    };
    const conditions = withCondition(deployment.status?.conditions ?? [], draft, this.#context.clock.now());
    return { ...view, deployment: { ...deployment, status: { ...deployment.status, conditions } } };
  }
}

/** The ReplicaSet of the current template, as it is sent to the server. */
function draftReplicaSet(deployment: Deployment, old: readonly ReplicaSet[]) {
  const { template, selector, minReadySeconds } = deployment.spec!;
  const hash = computeTemplateHash(template, deployment.status?.collisionCount);
  const labels = { ...template.metadata?.labels, [POD_TEMPLATE_HASH]: hash };
  return {
    metadata: {
      name: `${deployment.metadata.name}-${hash}`,
      namespace: deployment.metadata.namespace,
      labels,
      annotations: computeNewReplicaSetAnnotations(deployment, undefined, maxRevision(old) + 1),
      ownerReferences: [createControllerRef(resources.deployments, deployment)],
    },
    spec: {
      replicas: computeNewReplicaSetSize(deployment, old, undefined),
      minReadySeconds,
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [POD_TEMPLATE_HASH]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  };
}
