import type { IPersistentVolume } from 'kubernetes-models/v1/PersistentVolume';
import { isNotFound } from '#api/object/api-error.ts';
import { resources } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey, type Stored } from '#api/object/kube-object.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { followObjects } from '../follow-objects.ts';
import { planFinalizer } from './claim-users.ts';

type Volume = Stored<IPersistentVolume>;

const FINALIZER = 'kubernetes.io/pv-protection';

/** Lets a deleted volume go once no claim is bound to it. */
export function startVolumeProtectionController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  const volumes = context.informers.informer<Volume>(resources.persistentVolumes);
  const client = context.client.resource<Volume>(resources.persistentVolumes);

  async function sync(key: ObjectKey): Promise<void> {
    const volume = volumes.byKey(key);
    const plan = volume && planFinalizer(volume, FINALIZER, volume.status?.phase === 'Bound');
    if (volume === undefined || plan === undefined) return;
    try {
      await client.update({ ...volume, metadata: { ...volume.metadata, ...plan } });
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }

  const queue = createControllerQueue<ObjectKey>(context, { name: 'pv-protection', sync });
  followObjects(volumes, (volume) => queue.add(keyOf(volume)));
  return runQueue(queue, [volumes], signal);
}
