import type { ResourceClient } from '#api/client/client.ts';
import { owningPodOf } from '#api/meta/pod-resource-claims.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { type Pod, type ResourceClaim, resources } from '#api/object/kinds.ts';
import { type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import type { ControllerContext } from '../controller-context.ts';
import type { ClaimCaches } from './claim-caches.ts';
import { CLAIM_FINALIZER, isPodDone, planRelease } from './plan-release.ts';

type Consumer = NonNullable<NonNullable<ResourceClaim['status']>['reservedFor']>[number];

/** Gives back what nobody uses, and deletes what was made for pods that have ended. */
export class ClaimReleaser {
  readonly #pods: ResourceClient<Pod>;
  readonly #claims: ResourceClient<ResourceClaim>;
  readonly #caches: ClaimCaches;

  constructor(context: ControllerContext, caches: ClaimCaches) {
    this.#pods = context.client.resource<Pod>(resources.pods);
    this.#claims = context.client.resource<ResourceClaim>(resources.resourceClaims);
    this.#caches = caches;
  }

  /** The cache may be late: absence is proved by asking the server. */
  async #mayStillUse({ apiGroup = '', resource, name, uid }: Consumer, namespace: string): Promise<boolean> {
    const { pods } = this.#caches;
    if (apiGroup !== '' || resource !== 'pods')
      throw new Error(`unsupported ReservedFor entry: ${JSON.stringify({ apiGroup, resource, name, uid })}`);
    const cached = pods.byKey(objectKey(namespace, name));
    if (cached?.metadata.uid === uid) return !isPodDone(cached);
    try {
      return (await this.#pods.fetch(name, namespace)).metadata.uid === uid;
    } catch (err) {
      if (isNotFound(err)) return false;
      throw err;
    }
  }

  async sync(key: ObjectKey): Promise<void> {
    const { pods, claims } = this.#caches;
    const claim = claims.byKey(key);
    if (claim === undefined) return;
    const { name, namespace = '' } = claim.metadata;
    const valid: Consumer[] = [];
    for (const consumer of claim.status?.reservedFor ?? [])
      if (await this.#mayStillUse(consumer, namespace)) valid.push(consumer);
    const { status, dropFinalizer } = planRelease(claim, valid);
    let current = status === undefined ? claim : await this.#claims.update({ ...claim, status }, 'status');
    if (dropFinalizer) {
      const finalizers = (current.metadata.finalizers ?? []).filter((one) => one !== CLAIM_FINALIZER);
      current = await this.#claims.update({ ...current, metadata: { ...current.metadata, finalizers } });
    }
    if (valid.length > 0 || current.metadata.deletionTimestamp !== undefined) return;
    const owner = owningPodOf(claim);
    const pod = owner === undefined ? undefined : pods.byKey(objectKey(namespace, owner.name));
    if (owner === undefined || pod === undefined) return;
    // Of pods that are gone the garbage collector takes care; those that have ended may stay for long.
    if (pod.metadata.uid !== owner.uid || isPodDone(pod))
      await this.#claims.delete({ name, namespace, preconditions: { uid: claim.metadata.uid } });
  }
}
