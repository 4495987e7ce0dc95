import type { IVolume } from 'kubernetes-models/v1/Volume';
import type { Pod } from '#api/object/kinds.ts';
import { allContainers, namespaceOf, uidOf } from '../pod-spec.ts';
import type { BoundClaim } from './csi/csi-volume.ts';
import { type VolumeContext, VolumeError } from './volume-kind.ts';

/** The volume that a claim is bound to. Throws VolumeError while the claim is not bound. */
export async function boundClaim(context: VolumeContext, volume: IVolume): Promise<BoundClaim> {
  const claimName = claimNameOf(context.pod, volume) ?? '';
  const readOnly = volume.persistentVolumeClaim?.readOnly === true;
  const namespace = namespaceOf(context.pod);
  const claim = await context.claim(claimName);
  if (claim === undefined) throw new VolumeError(`persistentvolumeclaim "${claimName}" not found`);
  if (claim.metadata.deletionTimestamp !== undefined)
    throw new VolumeError(`persistentvolumeclaim "${claimName}" is being deleted`);
  const { pod } = context;
  const isOwn = claim.metadata.ownerReferences?.some((owner) => owner.controller === true && owner.uid === uidOf(pod));
  // Somebody else's claim may have the very name that ours would have.
  if (volume.ephemeral !== undefined && isOwn !== true)
    throw new VolumeError(
      `PVC ${namespace}/${claimName} was not created for pod ${namespace}/${pod.metadata.name} (pod is not owner)`,
    );
  const name = claim.spec?.volumeName;
  if (claim.status?.phase !== 'Bound' || !name)
    throw new VolumeError(`PVC "${namespace}/${claimName}" is not bound to a volume`);
  const found = await context.persistentVolume(name);
  if (found === undefined) throw new VolumeError(`persistentvolume "${name}" not found`);
  if (found.spec?.claimRef?.uid !== claim.metadata.uid)
    throw new VolumeError(`persistentvolume "${name}" is bound to another claim than "${namespace}/${claimName}"`);
  checkUse(pod, volume.name, found.spec?.volumeMode ?? 'Filesystem');
  return { claim, volume: found, readOnly };
}

function checkUse(pod: Pod, name: string, mode: string): void {
  const isUsed = (field: 'volumeMounts' | 'volumeDevices') =>
    allContainers(pod).some((container) => container[field]?.some((use) => use.name === name));
  const wrong = mode === 'Block' ? 'volumeMounts' : 'volumeDevices';
  if (isUsed(wrong)) throw new VolumeError(`volume ${name} has volumeMode ${mode}, but is specified in ${wrong}`);
}

/** The claim of a volume, if it is one; an ephemeral volume has a claim of its own, named after pod and volume. */
export const claimNameOf = (pod: Pod, { name, persistentVolumeClaim, ephemeral }: IVolume): string | undefined =>
  persistentVolumeClaim?.claimName ?? (ephemeral === undefined ? undefined : `${pod.metadata.name}-${name}`);

/**
 * The volume as if the pod had named it itself, under the name of the PersistentVolume, by which users look for it: `spec.volumes[]` and
 * PersistentVolumes call their sources alike.
 */
export function sourceOf({ volume: { metadata, spec }, readOnly }: BoundClaim): IVolume {
  const { name } = metadata;
  const { hostPath, nfs, mountOptions } = spec ?? {};
  if (hostPath !== undefined) return { name, hostPath };
  if (nfs !== undefined) {
    const withOptions = { ...nfs, readOnly: readOnly || nfs.readOnly === true, mountOptions };
    return { name, nfs: withOptions as NonNullable<IVolume['nfs']> };
  }
  const known = ['capacity', 'accessModes', 'claimRef', 'persistentVolumeReclaimPolicy', 'storageClassName'];
  const type = Object.keys(spec ?? {}).find((key) => !known.includes(key)) ?? 'unknown';
  throw new VolumeError(`persistentvolume "${name}": type ${type} is not supported by this agent`);
}
