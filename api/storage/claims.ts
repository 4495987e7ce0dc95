import { Quantity } from '../meta/quantity.ts';
import type { PersistentVolume, PersistentVolumeClaim, Pod, StorageClass } from '../object/kinds.ts';
import { type ObjectKey, objectKey } from '../object/kube-object.ts';

/** Annotations by which scheduler, controllers and provisioners talk about claims and volumes; names and meaning are Kubernetes'. */
export const BIND_COMPLETED = 'pv.kubernetes.io/bind-completed';
export const BOUND_BY_CONTROLLER = 'pv.kubernetes.io/bound-by-controller';
export const PROVISIONED_BY = 'pv.kubernetes.io/provisioned-by';
export const SELECTED_NODE = 'volume.kubernetes.io/selected-node';
/** Who is to make the volume; older provisioners read the second. */
export const STORAGE_PROVISIONERS = [
  'volume.kubernetes.io/storage-provisioner',
  'volume.beta.kubernetes.io/storage-provisioner',
] as const;
const CLASS_ANNOTATION = 'volume.beta.kubernetes.io/storage-class';

/** The provisioner of classes whose volumes are made by hand. */
export const NO_PROVISIONER = 'kubernetes.io/no-provisioner';

/** '': none. The annotation is older than the field and wins. */
export const classOf = ({ metadata, spec }: PersistentVolume | PersistentVolumeClaim): string =>
  metadata.annotations?.[CLASS_ANNOTATION] ?? spec?.storageClassName ?? '';

/** Whether nothing, not even '', was said about the class. */
export const hasNoClass = ({ metadata, spec }: PersistentVolumeClaim): boolean =>
  metadata.annotations?.[CLASS_ANNOTATION] === undefined && spec?.storageClassName === undefined;

export const requestedSize = ({ spec }: PersistentVolumeClaim): Quantity =>
  Quantity.parse(spec?.resources?.requests?.storage ?? 0);

export const volumeSize = ({ spec }: PersistentVolume): Quantity => Quantity.parse(spec?.capacity?.storage ?? 0);

/** Both sides agree and the binder has said so. */
export const isFullyBound = ({ metadata, spec }: PersistentVolumeClaim): boolean =>
  Boolean(spec?.volumeName) && metadata.annotations?.[BIND_COMPLETED] !== undefined;

/** Such claims are bound when their first pod is placed. */
export const waitsForConsumer = (storageClass: StorageClass | undefined): boolean =>
  storageClass?.volumeBindingMode === 'WaitForFirstConsumer';

/** A claim that a pod needs. */
export interface PodClaim {
  readonly key: ObjectKey;
  readonly name: string;
  /** The claim comes and goes with the pod. */
  readonly isEphemeral: boolean;
}

const NO_CLAIMS: readonly PodClaim[] = [];

/** The claims of the pod's volumes, in their order; one that is mounted twice is named twice. */
export function claimsOf({ metadata, spec }: Pod): readonly PodClaim[] {
  if (spec?.volumes === undefined) return NO_CLAIMS;
  const claims = spec.volumes.flatMap((volume) => {
    const isEphemeral = volume.ephemeral !== undefined;
    const name = isEphemeral ? `${metadata.name}-${volume.name}` : volume.persistentVolumeClaim?.claimName;
    return name === undefined ? [] : [{ key: objectKey(metadata.namespace, name), name, isEphemeral }];
  });
  return claims.length === 0 ? NO_CLAIMS : claims;
}

/** Whether the ephemeral volume controller made the claim for this very pod. */
export const isMadeForPod = (claim: PersistentVolumeClaim, pod: Pod): boolean =>
  claim.metadata.ownerReferences?.some(({ controller, uid }) => controller === true && uid === pod.metadata.uid) ===
  true;
