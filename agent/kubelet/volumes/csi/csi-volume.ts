import { createHash } from 'node:crypto';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import { Quantity } from '#api/meta/quantity.ts';
import type { CSIDriver, PersistentVolume, PersistentVolumeClaim, Pod, VolumeAttachment } from '#api/object/kinds.ts';
import { namespaceOf, specOf } from '../../pod-spec.ts';
import { VolumeError } from '../volume-kind.ts';
import type { CsiAccessMode, CsiCapability, VolumeCapability } from './csi-driver.ts';

export interface SecretName {
  readonly namespace: string;
  readonly name: string;
}

/** A volume of a driver, whether it has a claim or is written in the pod. */
export interface CsiVolume {
  /** Of the PersistentVolume, or of the pod's volume: the name in paths and events. */
  readonly specName: string;
  readonly driver: string;
  /** The driver's own id of the volume. */
  readonly handle: string;
  readonly lifecycle: 'Persistent' | 'Ephemeral';
  readonly isBlock: boolean;
  readonly fsType: string;
  readonly readOnly: boolean;
  readonly attributes: Readonly<Record<string, string>>;
  readonly accessModes: readonly string[];
  readonly mountOptions: readonly string[];
  readonly secrets: {
    readonly stage?: SecretName | undefined;
    readonly publish?: SecretName | undefined;
    readonly expand?: SecretName | undefined;
  };
  /** Larger than what its claim knows of: the driver is to see to it. */
  readonly growTo?: { readonly bytes: number; readonly claim: PersistentVolumeClaim; readonly quantity: string };
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

/** A volume that lives with its pod has no id of its own. */
export const inlineHandle = (podUid: string, volume: string): string => `csi-${sha256(`${podUid}${volume}`)}`;

export const attachmentName = (handle: string, driver: string, node: string): string =>
  `csi-${sha256(`${handle}${driver}${node}`)}`;

/** `<root>/plugins/kubernetes.io/csi/<driver>/<hash>`: drivers look for these paths. */
export const stagingFolder = (root: string, { driver, handle }: Pick<CsiVolume, 'driver' | 'handle'>): string =>
  `${root}/plugins/kubernetes.io/csi/${driver}/${sha256(handle)}`;

export function inlineVolume(pod: Pod, volume: IVolume): CsiVolume {
  const { driver = '', fsType = '', readOnly = false, volumeAttributes = {}, nodePublishSecretRef } = volume.csi ?? {};
  const secret = nodePublishSecretRef?.name;
  return {
    specName: volume.name,
    driver,
    handle: inlineHandle(pod.metadata.uid, volume.name),
    lifecycle: 'Ephemeral',
    isBlock: false,
    fsType,
    readOnly,
    attributes: volumeAttributes,
    accessModes: ['ReadWriteOnce'],
    mountOptions: [],
    secrets: secret ? { publish: { namespace: namespaceOf(pod), name: secret } } : {},
  };
}

export interface BoundClaim {
  readonly claim: PersistentVolumeClaim;
  readonly volume: PersistentVolume;
  /** As the pod wants it. */
  readonly readOnly: boolean;
}

export function persistentVolume({ claim, volume, readOnly }: BoundClaim): CsiVolume {
  const { csi, accessModes = [], mountOptions = [], volumeMode, capacity } = volume.spec ?? {};
  const secret = (ref: { readonly name?: string; readonly namespace?: string } | undefined) =>
    ref?.name ? { namespace: ref.namespace ?? '', name: ref.name } : undefined;
  const has = Quantity.parse(claim.status?.capacity?.storage ?? 0);
  const quantity = String(capacity?.storage ?? 0);
  const shouldBe = Quantity.parse(quantity);
  const isBlock = volumeMode === 'Block';
  return {
    specName: volume.metadata.name,
    driver: csi?.driver ?? '',
    handle: csi?.volumeHandle ?? '',
    lifecycle: 'Persistent',
    isBlock,
    fsType: csi?.fsType ?? '',
    readOnly,
    attributes: csi?.volumeAttributes ?? {},
    accessModes,
    mountOptions,
    secrets: {
      stage: secret(csi?.nodeStageSecretRef),
      publish: secret(csi?.nodePublishSecretRef),
      expand: secret(csi?.nodeExpandSecretRef),
    },
    ...(has.sign > 0 && shouldBe.compare(has) > 0 && !readOnly && isNodesTurn(claim)
      ? { growTo: { bytes: shouldBe.value(), claim, quantity } }
      : {}),
  };
}

/**
 * While the driver's own resizer is at it, or has given up, or this was tried and cannot be done, the node leaves a volume as it is. Older
 * resizers say nothing.
 */
function isNodesTurn({ status }: PersistentVolumeClaim): boolean {
  const state = status?.allocatedResourceStatuses?.storage;
  return state === undefined || state === 'NodeResizePending' || state === 'NodeResizeInProgress';
}

/** Throws where the driver was not made for volumes of this kind; a driver without a CSIDriver knows persistent ones. */
export function verifyLifecycle(volume: CsiVolume, driver: CSIDriver | undefined): void {
  const modes = driver?.spec?.volumeLifecycleModes ?? ['Persistent'];
  if (modes.includes(volume.lifecycle)) return;
  const known = modes.map((mode) => JSON.stringify(mode)).join(' ');
  throw new VolumeError(
    `volume mode "${volume.lifecycle}" not supported by driver ${volume.driver} (only supports [${known}])`,
  );
}

export const mustBeAttached = (volume: CsiVolume, driver: CSIDriver | undefined): boolean =>
  volume.lifecycle === 'Persistent' && driver?.spec?.attachRequired !== false;

/** What the driver's controller left for the node. Throws while the volume is not attached to this node. */
export function publishContext(
  volume: CsiVolume,
  attachment: VolumeAttachment | undefined,
): Readonly<Record<string, string>> {
  if (attachment === undefined)
    throw new VolumeError(`volume ${volume.handle} has no VolumeAttachment for this node yet`);
  const { attached, attachError, attachmentMetadata = {} } = attachment.status ?? {};
  if (attachError?.message) throw new VolumeError(attachError.message);
  if (attached !== true || attachment.metadata.deletionTimestamp !== undefined)
    throw new VolumeError(`volume ${volume.handle} is not attached to this node yet`);
  return attachmentMetadata;
}

function accessMode([first]: readonly string[], can: ReadonlySet<CsiCapability>): CsiAccessMode {
  const isExact = can.has('SINGLE_NODE_MULTI_WRITER');
  switch (first ?? 'ReadWriteOnce') {
    case 'ReadOnlyMany':
      return 'MULTI_NODE_READER_ONLY';
    case 'ReadWriteMany':
      return 'MULTI_NODE_MULTI_WRITER';
    case 'ReadWriteOncePod':
      return isExact ? 'SINGLE_NODE_SINGLE_WRITER' : 'SINGLE_NODE_WRITER';
    default:
      return isExact ? 'SINGLE_NODE_MULTI_WRITER' : 'SINGLE_NODE_WRITER';
  }
}

/** `groupOfPod` only where the driver mounts for a group itself. */
export function capabilityOf(
  volume: CsiVolume,
  can: ReadonlySet<CsiCapability>,
  groupOfPod?: number | undefined,
): VolumeCapability {
  const access_mode = { mode: accessMode(volume.accessModes, can) };
  if (volume.isBlock) return { block: {}, access_mode };
  const group = can.has('VOLUME_MOUNT_GROUP') && groupOfPod !== undefined ? String(groupOfPod) : undefined;
  return {
    mount: {
      fs_type: volume.fsType,
      mount_flags: volume.mountOptions,
      ...(group === undefined ? {} : { volume_mount_group: group }),
    },
    access_mode,
  };
}

/** With what the driver asked to be told of the pod. */
export function volumeContext(
  pod: Pod,
  volume: CsiVolume,
  driver: CSIDriver | undefined,
): Readonly<Record<string, string>> {
  if (driver?.spec?.podInfoOnMount !== true) return volume.attributes;
  return {
    ...volume.attributes,
    'csi.storage.k8s.io/pod.name': pod.metadata.name,
    'csi.storage.k8s.io/pod.namespace': namespaceOf(pod),
    'csi.storage.k8s.io/pod.uid': pod.metadata.uid,
    'csi.storage.k8s.io/serviceAccount.name': specOf(pod).serviceAccountName ?? '',
    'csi.storage.k8s.io/ephemeral': String(volume.lifecycle === 'Ephemeral'),
  };
}

/** Whether we are to give the volume's files to the pod's group. */
export function mustGiveToGroup(
  volume: CsiVolume,
  driver: CSIDriver | undefined,
  can: ReadonlySet<CsiCapability>,
): boolean {
  if (volume.readOnly || volume.isBlock || can.has('VOLUME_MOUNT_GROUP')) return false;
  switch (driver?.spec?.fsGroupPolicy ?? 'ReadWriteOnceWithFSType') {
    case 'None':
      return false;
    case 'File':
      return true;
    default: {
      const isAlone = volume.accessModes.some((mode) => mode === 'ReadWriteOnce' || mode === 'ReadWriteOncePod');
      return volume.fsType !== '' && isAlone;
    }
  }
}
