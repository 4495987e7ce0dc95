import type { FileSystem } from '../../host/host.ts';

const SET_GID = 0o2000;
const GROUP_RW = 0o060;

/** Gives a fresh volume directory to the pod's group; files made in it inherit the group. */
export async function applyFsGroup(fs: FileSystem, path: string, fsGroup: number | undefined): Promise<void> {
  if (fsGroup === undefined) return;
  const info = await fs.info(path);
  if (info === undefined) return;
  await fs.chmod(path, (info.mode & 0o7777) | SET_GID | GROUP_RW | 0o010);
  await fs.chown(path, info.uid, fsGroup);
}
