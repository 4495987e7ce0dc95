import { createHash } from 'node:crypto';
import type { Node, PersistentVolume, VolumeAttachment } from '#api/object/kinds.ts';

type Attached = NonNullable<NonNullable<Node['status']>['volumesAttached']>;

/** The name that nodes look for. */
export const attachmentName = ({ spec }: PersistentVolume, nodeName: string): string =>
  nameFor(spec?.csi?.volumeHandle, spec?.csi?.driver, nodeName);

const nameFor = (handle: string | undefined, driver: string | undefined, nodeName: string): string =>
  `csi-${createHash('sha256').update(`${handle}${driver}${nodeName}`).digest('hex')}`;

/** Made by a controller of this kind, for whatever volume. */
export const isMadeByUs = ({ metadata }: VolumeAttachment): boolean => /^csi-[0-9a-f]{64}$/.test(metadata.name);

/** Whether the node holds what was attached to it, when nothing but the attachment is left to tell which volume that was. */
export function holdsAttached(node: Node | undefined, { metadata, spec }: VolumeAttachment): boolean {
  const prefix = `kubernetes.io/csi/${spec?.attacher}^`;
  return (node?.status?.volumesInUse ?? []).some(
    (name) =>
      name.startsWith(prefix) &&
      nameFor(name.slice(prefix.length), spec?.attacher, spec?.nodeName ?? '') === metadata.name,
  );
}

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
