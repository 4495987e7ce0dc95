import { type LabelSelectorObject, labelSelectorFrom } from '../meta/label-selector.ts';
import type { PersistentVolume, PersistentVolumeClaim } from '../object/kinds.ts';
import { BIND_COMPLETED, BOUND_BY_CONTROLLER, classOf, requestedSize, volumeSize } from './claims.ts';

const modeOf = ({ spec }: PersistentVolume | PersistentVolumeClaim): string => spec?.volumeMode ?? 'Filesystem';

/** Whether the volume is this claim's, by a binding that is complete (uid) or one that was asked for (name alone). */
export function belongsTo({ spec }: PersistentVolume, { metadata }: PersistentVolumeClaim): boolean {
  const ref = spec?.claimRef;
  if (ref === undefined || ref.name !== metadata.name || ref.namespace !== metadata.namespace) return false;
  return !ref.uid || ref.uid === metadata.uid;
}

export const haveSameMode = (volume: PersistentVolume, claim: PersistentVolumeClaim): boolean =>
  modeOf(volume) === modeOf(claim);

const offersAccess = (volume: PersistentVolume, claim: PersistentVolumeClaim): boolean =>
  (claim.spec?.accessModes ?? []).every((mode) => volume.spec?.accessModes?.includes(mode));

/** Why a volume that the claim names cannot be its own, in Kubernetes' words; undefined: it can. */
export function mismatchOf(volume: PersistentVolume, claim: PersistentVolumeClaim): string | undefined {
  const { deletionTimestamp, name } = volume.metadata;
  if (deletionTimestamp !== undefined) return `the volume is marked for deletion "${name}"`;
  if (volumeSize(volume).compare(requestedSize(claim)) < 0) return 'requested PV is too small';
  if (classOf(volume) !== classOf(claim)) return 'storageClassName does not match';
  if ((volume.spec?.volumeAttributesClassName ?? '') !== (claim.spec?.volumeAttributesClassName ?? ''))
    return 'VolumeAttributesClassName does not match';
  if (!haveSameMode(volume, claim)) return 'incompatible volumeMode';
  return offersAccess(volume, claim) ? undefined : 'incompatible accessMode';
}

/**
 * Volumes that the claim could be bound to, the best first: what was made for it, then the least that suffices. The fewest access modes,
 * then the smallest size; equals in the order of names, so that everybody chooses alike.
 */
export function matchingVolumes(
  claim: PersistentVolumeClaim,
  volumes: Iterable<PersistentVolume>,
): readonly PersistentVolume[] {
  const selector = claim.spec?.selector && labelSelectorFrom(claim.spec.selector as LabelSelectorObject);
  const size = requestedSize(claim);
  const attributes = claim.spec?.volumeAttributesClassName ?? '';
  const found: PersistentVolume[] = [];
  for (const volume of volumes) {
    const { metadata, spec, status } = volume;
    if (metadata.deletionTimestamp !== undefined || !haveSameMode(volume, claim)) continue;
    if ((spec?.volumeAttributesClassName ?? '') !== attributes || volumeSize(volume).compare(size) < 0) continue;
    if (spec?.claimRef !== undefined) {
      if (belongsTo(volume, claim)) return [volume];
      continue;
    }
    if (status?.phase !== 'Available' || classOf(volume) !== classOf(claim)) continue;
    if (selector !== undefined && !selector.matches(metadata.labels)) continue;
    if (offersAccess(volume, claim)) found.push(volume);
  }
  return found.sort(byFitness);
}

function byFitness(a: PersistentVolume, b: PersistentVolume): number {
  const modes = (a.spec?.accessModes?.length ?? 0) - (b.spec?.accessModes?.length ?? 0);
  return modes || volumeSize(a).compare(volumeSize(b)) || (a.metadata.name < b.metadata.name ? -1 : 1);
}

/** The volume with the claim written into it, or undefined where it stands there already. */
export function volumeBoundTo(volume: PersistentVolume, claim: PersistentVolumeClaim): PersistentVolume | undefined {
  const { name, namespace, uid, resourceVersion } = claim.metadata;
  const annotations = volume.metadata.annotations ?? {};
  const isOurs = belongsTo(volume, claim);
  if (isOurs && volume.spec?.claimRef?.uid === uid) return undefined;
  const claimRef = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name, uid, resourceVersion };
  return {
    ...volume,
    // A claim that somebody else wrote there stays when the claim goes; ours does not.
    metadata: isOurs
      ? volume.metadata
      : { ...volume.metadata, annotations: { ...annotations, [BOUND_BY_CONTROLLER]: 'yes' } },
    spec: { ...volume.spec, claimRef },
  } as PersistentVolume;
}

/** The claim with the volume written into it, or undefined where it stands there already. */
export function claimBoundTo(
  claim: PersistentVolumeClaim,
  volume: PersistentVolume,
): PersistentVolumeClaim | undefined {
  const isNamed = claim.spec?.volumeName === volume.metadata.name;
  const current = claim.metadata.annotations ?? {};
  if (isNamed && current[BIND_COMPLETED] !== undefined) return undefined;
  const annotations = { ...current, [BIND_COMPLETED]: 'yes', ...(isNamed ? {} : { [BOUND_BY_CONTROLLER]: 'yes' }) };
  return {
    ...claim,
    metadata: { ...claim.metadata, annotations },
    spec: { ...claim.spec, volumeName: volume.metadata.name },
  } as PersistentVolumeClaim;
}
