import { describeError } from '#base/errors.ts';
import type { PreparedVolume } from '../config/container-config.ts';
import { specOf, uidOf } from '../pod-spec.ts';
import type { BoundClaim } from './csi/csi-volume.ts';
import type { KeyLock } from './csi/key-lock.ts';
import { type DeviceMount, formatAndMount } from './format-and-mount.ts';
import { followed } from './host-path.ts';
import { type VolumeContext, VolumeError } from './volume-kind.ts';

const PLUGIN = 'kubernetes.io~local-volume';
const DEFAULT_FS_TYPE = 'ext4';

/** A directory of this host, or a block device with a file system, that a PersistentVolume names; its files are given to the pod's group. */
export async function setUpLocal(
  context: VolumeContext,
  { volume, readOnly }: BoundClaim,
  locks: KeyLock,
): Promise<PreparedVolume> {
  const { pod, host, paths } = context;
  const { local, mountOptions = [] } = volume.spec ?? {};
  const source = local?.path ?? '';
  const { name } = volume.metadata;
  const path = paths.volume(uidOf(pod), PLUGIN, name);
  const isDevice = (await typeOf(context, source)) === 'block';
  const isToMount = isDevice || mountOptions.length > 0;
  const isNew = isToMount && !(await host.mounts.list()).some((mount) => mount.path === path);
  if (isNew) {
    await host.fs.makeDirectory(path, 0o750);
    const fsType = local?.fsType || DEFAULT_FS_TYPE;
    // Two pods that find a new device empty must not both format it.
    const device = { source, path, fsType, mountOptions, readOnly };
    if (isDevice) await locks.run(source, () => formatAndMount(host, device).catch((err) => refuseDevice(device, err)));
    else await host.mounts.mount({ fsType: 'none', source, path, options: ['bind', ...mountOptions] });
  }
  const hostPath = isToMount ? path : source;
  if (!readOnly) await giveToGroup(context, name, { hostPath, isNew });
  return { hostPath, readOnly };
}

function refuseDevice({ source, path, fsType }: DeviceMount, cause: unknown): never {
  const message = `local: failed to mount device ${source} at ${path} (fstype: ${fsType}), error ${describeError(cause)}`;
  throw new VolumeError(message, { cause, operation: 'MountDevice' });
}

async function typeOf({ host }: VolumeContext, path: string): Promise<'block' | 'directory'> {
  const info = await followed(host.fs, path);
  if (info === undefined) throw new VolumeError(`path "${path}" does not exist`);
  if (info.type !== 'block' && info.type !== 'directory')
    throw new VolumeError(`only directories and block devices are supported as local volumes: ${path} is neither`);
  return info.type;
}

/** Once for each pod: of a large tree it takes long, and later the files are the pod's own business. */
async function giveToGroup(
  { pod, host, paths }: VolumeContext,
  name: string,
  { hostPath, isNew }: { readonly hostPath: string; readonly isNew: boolean },
): Promise<void> {
  const { fsGroup, fsGroupChangePolicy } = specOf(pod).securityContext ?? {};
  if (fsGroup === undefined) return;
  const folder = `${paths.pod(uidOf(pod))}/plugins/${PLUGIN}/${name}`;
  if (!isNew && (await host.fs.info(`${folder}/ready`)) !== undefined) return;
  await host.fs.giveToGroup(hostPath, fsGroup, fsGroupChangePolicy === 'OnRootMismatch');
  await host.fs.makeDirectory(folder, 0o750);
  await host.fs.write(`${folder}/ready`, '', 0o640);
}
