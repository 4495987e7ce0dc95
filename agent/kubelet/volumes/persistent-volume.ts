import type { IVolume } from 'kubernetes-models/v1/Volume';
import type { Pod } from '#api/object/kinds.ts';
import { namespaceOf } from '../pod-spec.ts';
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
  const name = claim.spec?.volumeName;
  if (claim.status?.phase !== 'Bound' || !name)
    throw new VolumeError(`PVC "${namespace}/${claimName}" is not bound to a volume`);
  const found = await context.persistentVolume(name);
  if (found === undefined) throw new VolumeError(`persistentvolume "${name}" not found`);
  if (found.spec?.claimRef?.uid !== claim.metadata.uid)
    throw new VolumeError(`persistentvolume "${name}" is bound to another claim than "${namespace}/${claimName}"`);
  return { claim, volume: found, readOnly };
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
