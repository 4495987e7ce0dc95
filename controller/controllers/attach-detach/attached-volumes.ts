import { createHash } from 'node:crypto';
import type { Node, PersistentVolume, VolumeAttachment } from '#api/object/kinds.ts';

type Attached = NonNullable<NonNullable<Node['status']>['volumesAttached']>;

/** The name that nodes look for. */
export const attachmentName = ({ spec }: PersistentVolume, nodeName: string): string =>
  `csi-${createHash('sha256').update(`${spec?.csi?.volumeHandle}${spec?.csi?.driver}${nodeName}`).digest('hex')}`;

/** What nodes call the volume in `volumesInUse` and are told in `volumesAttached`. */
export const uniqueName = ({ spec }: PersistentVolume): string =>
  `kubernetes.io/csi/${spec?.csi?.driver}^${spec?.csi?.volumeHandle}`;

/** `volumesAttached` of a node, in the order of names. */
export function computeAttached(
  attachments: readonly VolumeAttachment[],
  volumeOf: (attachment: VolumeAttachment) => PersistentVolume | undefined,
): Attached {
  const names = attachments.flatMap((attachment) => {
    const volume = volumeOf(attachment);
    const isThere = attachment.status?.attached === true && attachment.metadata.deletionTimestamp === undefined;
    return isThere && volume?.spec?.csi !== undefined ? [uniqueName(volume)] : [];
  });
  return [...new Set(names)].sort().map((name) => ({ name, devicePath: '' }));
}
