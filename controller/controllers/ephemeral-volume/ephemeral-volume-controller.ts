import { isAlreadyExists } from '#api/object/api-error.ts';
import { type PersistentVolumeClaim, type Pod, resources } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import { isMadeForPod } from '#api/storage/claims.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { followObjects } from '../follow-objects.ts';

type Volume = NonNullable<NonNullable<Pod['spec']>['volumes']>[number];

const claimNameOf = (pod: Pod, volume: Volume) => `${pod.metadata.name}-${volume.name}`;

/** The claim of an ephemeral volume: goes with its pod. */
function claimFor(pod: Pod, volume: Volume) {
  const { metadata, spec } = volume.ephemeral?.volumeClaimTemplate ?? {};
  const { name, namespace, uid } = pod.metadata;
  return {
    metadata: {
      name: claimNameOf(pod, volume),
      ...(namespace === undefined ? {} : { namespace }),
      ...(metadata?.labels === undefined ? {} : { labels: metadata.labels }),
      ...(metadata?.annotations === undefined ? {} : { annotations: metadata.annotations }),
      ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name, uid, controller: true, blockOwnerDeletion: true }],
    },
    spec: spec as NonNullable<PersistentVolumeClaim['spec']>,
  };
}

/** Makes the claims of generic ephemeral volumes. The garbage collector takes them when the pod is gone. */
export function startEphemeralVolumeController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  const pods = context.informers.informer<Pod>(resources.pods);
  const claims = context.informers.informer<PersistentVolumeClaim>(resources.persistentVolumeClaims);
  const client = context.client.resource<PersistentVolumeClaim>(resources.persistentVolumeClaims);
  const ephemeralOf = (pod: Pod) => (pod.spec?.volumes ?? []).filter(({ ephemeral }) => ephemeral !== undefined);

  async function sync(key: ObjectKey): Promise<void> {
    const pod = pods.byKey(key);
    if (pod === undefined || pod.metadata.deletionTimestamp !== undefined) return;
    for (const volume of ephemeralOf(pod)) {
      const claim = claims.byKey(objectKey(pod.metadata.namespace, claimNameOf(pod, volume)));
      if (claim === undefined) await ensureClaim(pod, volume);
      else if (!isMadeForPod(claim, pod))
        throw new Error(`PVC ${keyOf(claim)} was not created for pod ${key} (pod is not owner)`);
    }
  }

  async function ensureClaim(pod: Pod, volume: Volume): Promise<void> {
    try {
      await client.create(claimFor(pod, volume));
    } catch (err) {
      // The cache is late; what came meanwhile is looked at when it shows.
      if (!isAlreadyExists(err)) throw err;
    }
  }

  const queue = createControllerQueue<ObjectKey>(context, { name: 'ephemeral-volume', sync });
  const enqueue = (pod: Pod) => {
    if (ephemeralOf(pod).length > 0) queue.add(keyOf(pod));
  };
  followObjects(pods, enqueue);
  claims.addHandler({
    onDelete: ({ metadata: { namespace, ownerReferences = [] } }) => {
      const owner = ownerReferences.find(({ kind, controller }) => controller === true && kind === 'Pod');
      const pod = owner && pods.byKey(objectKey(namespace, owner.name));
      if (pod !== undefined) enqueue(pod);
    },
  });
  return runQueue(queue, [pods, claims], signal);
}
