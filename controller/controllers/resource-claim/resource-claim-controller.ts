import { owningPodOf, podResourceClaims } from '#api/meta/pod-resource-claims.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { type Pod, type ResourceClaim, type ResourceClaimTemplate, resources } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey } from '#api/object/kube-object.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { BY_CLAIM, BY_OWNER, type ClaimCaches, claimKeysOf, createdKey } from './claim-caches.ts';
import { ClaimMaker } from './claim-maker.ts';
import { ClaimReleaser } from './claim-releaser.ts';
import { isPodDone } from './plan-release.ts';

/** Claims from templates, reservations of pods that no scheduler placed, and the end of both. */
export function startResourceClaimController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  const { informers } = context;
  const pods = informers.informer<Pod>(resources.pods);
  const claims = informers.informer<ResourceClaim>(resources.resourceClaims);
  const templates = informers.informer<ResourceClaimTemplate>(resources.resourceClaimTemplates);
  const created = new Map<string, ResourceClaim>();
  const caches: ClaimCaches = { pods, claims, templates, created };
  pods.addIndex(BY_CLAIM, claimKeysOf);
  claims.addIndex(BY_OWNER, (claim) => [owningPodOf(claim)?.uid ?? '']);
  const maker = new ClaimMaker(context, caches);
  const releaser = new ClaimReleaser(context, caches);
  const forgiving = (sync: (key: ObjectKey) => Promise<void>) => async (key: ObjectKey) => {
    try {
      await sync(key);
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  };
  const podQueue = createControllerQueue<ObjectKey>(context, {
    name: 'resource_claim_pods',
    sync: forgiving((key) => maker.sync(key)),
  });
  const claimQueue = createControllerQueue<ObjectKey>(context, {
    name: 'resource_claim',
    sync: forgiving((key) => releaser.sync(key)),
  });
  const enqueue = (pod: Pod, isGone: boolean) => {
    if (podResourceClaims(pod).length === 0) return;
    if (isGone || isPodDone(pod)) for (const key of claimKeysOf(pod)) claimQueue.add(key);
    if (!isGone) podQueue.add(keyOf(pod));
  };
  pods.addHandler({
    onAdd: (pod) => enqueue(pod, false),
    onUpdate: (_, pod) => enqueue(pod, false),
    onDelete(pod) {
      enqueue(pod, true);
      for (const { name } of podResourceClaims(pod)) created.delete(createdKey(pod, name));
    },
  });
  const enqueueClaim = (claim: ResourceClaim) => {
    claimQueue.add(keyOf(claim));
    for (const pod of pods.byIndex(BY_CLAIM, keyOf(claim))) enqueue(pod, false);
  };
  claims.addHandler({
    onAdd: enqueueClaim,
    onUpdate: (_, claim) => enqueueClaim(claim),
    onDelete(claim) {
      for (const [key, one] of created) if (one.metadata.uid === claim.metadata.uid) created.delete(key);
      for (const pod of pods.byIndex(BY_CLAIM, keyOf(claim))) enqueue(pod, false);
    },
  });
  return Promise.all([podQueue, claimQueue].map((queue) => runQueue(queue, [pods, claims, templates], signal))).then(
    () => undefined,
  );
}
