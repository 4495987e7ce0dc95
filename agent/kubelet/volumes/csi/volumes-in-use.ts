import type { FileSystem } from '../../../host/host.ts';
import { type CsiRecord, inUseName, readRecord } from './csi-record.ts';

const DEVICES = 'volumeDevices';

/**
 * `status.volumesInUse`: volumes of CSI drivers that are mounted or staged here, by what stands on the host, in the order of names. Nobody
 * detaches them while the node says so. Volumes that live with their pod are never attached.
 */
export async function readVolumesInUse(fs: FileSystem, root: string): Promise<readonly string[]> {
  const plugin = `${root}/plugins/kubernetes.io/csi`;
  // Most nodes have no driver, and look no further.
  if ((await fs.list(`${root}/plugins`)).length === 0) return [];
  const folders: string[] = [];
  for (const driver of await fs.list(plugin))
    for (const name of await fs.list(`${plugin}/${driver}`))
      folders.push(driver === DEVICES ? `${plugin}/${driver}/${name}/data` : `${plugin}/${driver}/${name}`);
  for (const uid of await fs.list(`${root}/pods`)) {
    const volumes = `${root}/pods/${uid}/volumes/kubernetes.io~csi`;
    for (const name of await fs.list(volumes)) folders.push(`${volumes}/${name}`);
  }
  const records = await Promise.all(folders.map((folder) => readRecord(fs, folder)));
  return [...new Set(records.flatMap(nameOf))].sort();
}

const nameOf = (record: CsiRecord | undefined): string[] =>
  record === undefined || record.volumeLifecycleMode === 'Ephemeral' ? [] : [inUseName(record)];
