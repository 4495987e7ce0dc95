import { Quantity } from '#api/meta/quantity.ts';
import { type PersistentVolume, type PersistentVolumeClaim, resources } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import { requestedSize, volumeSize } from '#api/storage/claims.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';

const WAITING =
  "didn't find a plugin capable of expanding the volume; waiting for an external controller to process this PVC";

/** The claim asks for more than its volume has. */
function isToGrow(claim: PersistentVolumeClaim, volume: PersistentVolume | undefined): boolean {
  if (claim.status?.phase !== 'Bound' || volume === undefined) return false;
  const has = Quantity.parse(claim.status.capacity?.storage ?? 0);
  const wanted = requestedSize(claim);
  return wanted.compare(has) > 0 && wanted.compare(volumeSize(volume)) > 0;
}

/** No kind of volume can be made larger from here: that is the work of a driver's own resizer, and the user is told so. */
export function startVolumeExpandController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  const claims = context.informers.informer<PersistentVolumeClaim>(resources.persistentVolumeClaims);
  const volumes = context.informers.informer<PersistentVolume>(resources.persistentVolumes);

  function sync(key: ObjectKey): void {
    const claim = claims.byKey(key);
    const volume = claim && volumes.byKey(objectKey(undefined, claim.spec?.volumeName ?? ''));
    if (claim === undefined || !isToGrow(claim, volume)) return;
    context.events.record(claim, 'Normal', 'ExternalExpanding', WAITING);
  }

  const queue = createControllerQueue<ObjectKey>(context, { name: 'volume-expand', sync });
  const sizeOf = (claim: PersistentVolumeClaim) => requestedSize(claim).toString();
  claims.addHandler({
    onUpdate: (before, claim) => {
      if (sizeOf(before) !== sizeOf(claim)) queue.add(keyOf(claim));
    },
  });
  return runQueue(queue, [claims, volumes], signal);
}
