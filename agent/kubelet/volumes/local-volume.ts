import type { PreparedVolume } from '../config/container-config.ts';
import { specOf, uidOf } from '../pod-spec.ts';
import type { BoundClaim } from './csi/csi-volume.ts';
import type { KeyLock } from './csi/key-lock.ts';
import { followed } from './host-path.ts';
import { type VolumeContext, VolumeError } from './volume-kind.ts';

const PLUGIN = 'kubernetes.io~local-volume';
const DEFAULT_FS_TYPE = 'ext4';
const FORMAT_MS = 15 * 60_000;

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
    if (isDevice) await locks.run(source, () => mountDevice(context, { source, path, fsType, mountOptions, readOnly }));
    else await host.mounts.mount({ fsType: 'none', source, path, options: ['bind', ...mountOptions] });
  }
  const hostPath = isToMount ? path : source;
  if (!readOnly) await giveToGroup(context, name, { hostPath, isNew });
  return { hostPath, readOnly };
}

async function typeOf({ host }: VolumeContext, path: string): Promise<'block' | 'directory'> {
  const info = await followed(host.fs, path);
  if (info === undefined) throw new VolumeError(`path "${path}" does not exist`);
  if (info.type !== 'block' && info.type !== 'directory')
    throw new VolumeError(`only directories and block devices are supported as local volumes: ${path} is neither`);
  return info.type;
}

interface DeviceMount {
  readonly source: string;
  readonly path: string;
  readonly fsType: string;
  readonly mountOptions: readonly string[];
  readonly readOnly: boolean;
}

/** A device without any file system or partition is formatted, as in Kubernetes; whatever is on it otherwise stays. */
async function mountDevice(
  { host }: VolumeContext,
  { source, path, fsType, mountOptions, readOnly }: DeviceMount,
): Promise<void> {
  if ((await contentOf(host, source)) === undefined) {
    if (readOnly || mountOptions.includes('ro'))
      throw new VolumeError(`cannot mount unformatted disk ${source} as we are manipulating it in read-only mode`);
    const quick = fsType.startsWith('ext') ? ['-F', '-m0'] : [];
    await host.exec.run([`mkfs.${fsType}`, ...quick, source], { timeoutMs: FORMAT_MS });
  }
  await host.mounts.mount({ fsType, source, path, options: mountOptions });
}

/** What `blkid` finds; undefined where it finds nothing, which alone is safe to write over. */
async function contentOf({ exec }: VolumeContext['host'], device: string): Promise<string | undefined> {
  const NOTHING_FOUND = 2;
  try {
    const { stdout } = await exec.run(['blkid', '-p', '-s', 'TYPE', '-s', 'PTTYPE', '-o', 'export', device]);
    return stdout.trim() || undefined;
  } catch (err) {
    if ((err as { exitCode?: unknown }).exitCode === NOTHING_FOUND) return undefined;
    throw err;
  }
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
