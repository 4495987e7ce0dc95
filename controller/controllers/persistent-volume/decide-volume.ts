import type { PersistentVolume, PersistentVolumeClaim } from '#api/object/kinds.ts';
import { type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import { BOUND_BY_CONTROLLER, PROVISIONED_BY } from '#api/storage/claims.ts';
import { haveSameMode } from '#api/storage/match-volume.ts';
import type { Notice, StorageView } from './storage-view.ts';

/** What is to be done about a volume. */
export type VolumeAction =
  | { readonly kind: 'setPhase'; readonly phase: 'Available' | 'Bound' }
  /** Its claim does not say so yet: the claim's turn. */
  | { readonly kind: 'syncClaim'; readonly key: ObjectKey }
  | {
      readonly kind: 'refuse';
      readonly notice: Notice;
      readonly claim: PersistentVolumeClaim;
      readonly claimNotice: Notice;
    }
  | { readonly kind: 'unbind' }
  /** The claim seems to be gone. To be proved by asking the server: what follows may end the data. */
  | { readonly kind: 'release' };

export const claimKeyOf = ({ spec }: PersistentVolume): ObjectKey | undefined =>
  spec?.claimRef === undefined ? undefined : objectKey(spec.claimRef.namespace, spec.claimRef.name ?? '');

/** Pure. */
export function decideVolume(volume: PersistentVolume, view: Pick<StorageView, 'claim'>): VolumeAction {
  const key = claimKeyOf(volume);
  // A claim without uid is one that the volume waits for.
  if (key === undefined || !volume.spec?.claimRef?.uid) return { kind: 'setPhase', phase: 'Available' };
  const claim = view.claim(key);
  if (claim === undefined || claim.metadata.uid !== volume.spec.claimRef.uid) return { kind: 'release' };
  const { name } = volume.metadata;
  if (claim.spec?.volumeName === name) return { kind: 'setPhase', phase: 'Bound' };
  if (!claim.spec?.volumeName) return haveSameMode(volume, claim) ? { kind: 'syncClaim', key } : refuse(volume, claim);
  // The claim has found another volume. One that was made for it serves nobody else.
  const isMadeForIt =
    volume.metadata.annotations?.[PROVISIONED_BY] !== undefined &&
    volume.spec.persistentVolumeReclaimPolicy === 'Delete';
  return isMadeForIt ? { kind: 'release' } : { kind: 'unbind' };
}

function refuse(volume: PersistentVolume, claim: PersistentVolumeClaim): VolumeAction {
  const [to, of] = [`requested PersistentVolumeClaim "${claim.metadata.name}"`, 'due to incompatible volumeMode.'];
  const notice = (message: string): Notice => ({ type: 'Warning', reason: 'VolumeMismatch', message });
  return {
    kind: 'refuse',
    notice: notice(`Cannot bind PersistentVolume to ${to} ${of}`),
    claim,
    claimNotice: notice(`Cannot bind PersistentVolume "${volume.metadata.name}" to ${to} ${of}`),
  };
}

/** The volume without its claim; a name that a person wrote into it stays. */
export function unbound(volume: PersistentVolume): PersistentVolume {
  const { claimRef, ...spec } = volume.spec ?? {};
  const { [BOUND_BY_CONTROLLER]: isOurs, ...annotations } = volume.metadata.annotations ?? {};
  if (isOurs !== undefined)
    return { ...volume, metadata: { ...volume.metadata, annotations }, spec } as PersistentVolume;
  const { uid, resourceVersion, ...ref } = claimRef ?? {};
  return { ...volume, spec: { ...spec, claimRef: ref } } as PersistentVolume;
}
