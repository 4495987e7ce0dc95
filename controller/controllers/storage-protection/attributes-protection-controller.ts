import type { IPersistentVolume } from 'kubernetes-models/v1/PersistentVolume';
import type { IPersistentVolumeClaim } from 'kubernetes-models/v1/PersistentVolumeClaim';
import { isNotFound } from '#api/object/api-error.ts';
import { resources } from '#api/object/kinds.ts';
import { type ObjectKey, objectKey, type Stored } from '#api/object/kube-object.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { followObjects } from '../follow-objects.ts';
import { planFinalizer } from './claim-users.ts';

type AttributesClass = Stored<object>;
type Claim = Stored<IPersistentVolumeClaim>;
type Volume = Stored<IPersistentVolume>;

const FINALIZER = 'kubernetes.io/vac-protection';

/** Classes that a claim has, wants or is on its way to. */
export const classesOfClaim = ({ spec, status }: Pick<Claim, 'spec' | 'status'>): readonly string[] =>
  [
    spec?.volumeAttributesClassName,
    status?.currentVolumeAttributesClassName,
    status?.modifyVolumeStatus?.targetVolumeAttributesClassName,
  ].filter((name) => name !== undefined && name !== '') as string[];

/** Lets a deleted VolumeAttributesClass go once no claim and no volume names it. */
export function startAttributesProtectionController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  const classes = context.informers.informer<AttributesClass>(resources.volumeAttributesClasses);
  const claims = context.informers.informer<Claim>(resources.persistentVolumeClaims);
  const volumes = context.informers.informer<Volume>(resources.persistentVolumes);
  const client = context.client.resource<AttributesClass>(resources.volumeAttributesClasses);

  const isUsed = (name: string): boolean =>
    volumes.list().some(({ spec }) => spec?.volumeAttributesClassName === name) ||
    claims.list().some((claim) => classesOfClaim(claim).includes(name));

  async function sync(key: ObjectKey): Promise<void> {
    const found = classes.byKey(key);
    if (found === undefined) return;
    const mayGo = found.metadata.deletionTimestamp !== undefined;
    const plan = planFinalizer(found, FINALIZER, mayGo && isUsed(found.metadata.name));
    if (plan === undefined) return;
    try {
      await client.update({ ...found, metadata: { ...found.metadata, ...plan } });
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }

  const queue = createControllerQueue<ObjectKey>(context, { name: 'vac-protection', sync });
  const enqueue = ({ metadata }: AttributesClass) => queue.add(objectKey(undefined, metadata.name));
  followObjects(classes, enqueue);
  const release = () => {
    for (const one of classes.list()) if (one.metadata.deletionTimestamp !== undefined) enqueue(one);
  };
  claims.addHandler({ onUpdate: release, onDelete: release });
  volumes.addHandler({ onUpdate: release, onDelete: release });
  return runQueue(queue, [classes, claims, volumes], signal);
}
