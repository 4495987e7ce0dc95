import type { IPersistentVolumeClaim } from 'kubernetes-models/v1/PersistentVolumeClaim';
import { isNotFound } from '#api/object/api-error.ts';
import { type Pod, resources } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey, objectKey, type Stored } from '#api/object/kube-object.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { followObjects } from '../follow-objects.ts';
import { claimsUsedBy, planFinalizer } from './claim-users.ts';

type Claim = Stored<IPersistentVolumeClaim>;

const FINALIZER = 'kubernetes.io/pvc-protection';
const BY_CLAIM = 'claim';

/** Lets a deleted claim go once no pod uses it. The cache may be late, so absence is proved by asking the server. */
export function startClaimProtectionController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  const claims = context.informers.informer<Claim>(resources.persistentVolumeClaims);
  const pods = context.informers.informer<Pod>(resources.pods);
  const keysOf = (pod: Pod) => claimsUsedBy(pod).map((name) => objectKey(pod.metadata.namespace, name));
  pods.addIndex(BY_CLAIM, keysOf);
  const client = context.client.resource<Claim>(resources.persistentVolumeClaims);

  async function isUsed({ metadata }: Claim): Promise<boolean> {
    if (pods.byIndex(BY_CLAIM, objectKey(metadata.namespace, metadata.name)).length > 0) return true;
    const namespace = metadata.namespace ?? '';
    const { items } = await context.client.resource<Pod>(resources.pods).fetchList({ namespace });
    return items.some((pod) => claimsUsedBy(pod).includes(metadata.name));
  }

  async function sync(key: ObjectKey): Promise<void> {
    const claim = claims.byKey(key);
    if (claim === undefined) return;
    const mayGo =
      claim.metadata.deletionTimestamp !== undefined && planFinalizer(claim, FINALIZER, false) !== undefined;
    const plan = planFinalizer(claim, FINALIZER, mayGo && (await isUsed(claim)));
    if (plan === undefined) return;
    try {
      await client.update({ ...claim, metadata: { ...claim.metadata, ...plan } });
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }

  const queue = createControllerQueue<ObjectKey>(context, { name: 'pvc-protection', sync });
  followObjects(claims, (claim) => queue.add(keyOf(claim)));
  const release = (pod: Pod) => {
    for (const key of keysOf(pod)) {
      if (claims.byKey(key)?.metadata.deletionTimestamp !== undefined) queue.add(key);
    }
  };
  pods.addHandler({ onUpdate: (before) => release(before), onDelete: release });
  return runQueue(queue, [claims, pods], signal);
}
