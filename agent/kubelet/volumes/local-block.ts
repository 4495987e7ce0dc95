import type { PreparedVolume } from '../config/container-config.ts';
import { uidOf } from '../pod-spec.ts';
import type { BoundClaim } from './csi/csi-volume.ts';
import { followed } from './host-path.ts';
import { type VolumeContext, VolumeError } from './volume-kind.ts';

const PLUGIN = 'kubernetes.io~local-volume';

/** A block device of this host that a PersistentVolume names, linked where Kubernetes links it. */
export async function linkLocalDevice(
  { pod, host, paths }: VolumeContext,
  { volume, readOnly }: BoundClaim,
): Promise<PreparedVolume> {
  const { name } = volume.metadata;
  const path = volume.spec?.local?.path;
  if (path === undefined)
    throw new VolumeError(`persistentvolume "${name}": its type has no raw block volumes on this agent`);
  if ((await followed(host.fs, path))?.type !== 'block') throw new VolumeError(`${path} is not a block device`);
  const folder = `${paths.pod(uidOf(pod))}/volumeDevices/${PLUGIN}`;
  await host.fs.makeDirectory(folder, 0o750);
  const link = `${folder}/${name}`;
  if ((await host.fs.readLink(link)) === undefined) await host.fs.symlink(path, link);
  return { hostPath: link, readOnly, isBlock: true };
}
