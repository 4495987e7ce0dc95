import type { FileSystem } from '../../../host/host.ts';
import type { CsiVolume } from './csi-volume.ts';

/** `vol_data.json`: what must be known of a volume to take it down when its object is gone. Drivers and tools read it too. */
export interface CsiRecord {
  readonly specVolID: string;
  readonly volumeHandle: string;
  readonly driverName: string;
  readonly nodeName: string;
  readonly attachmentID: string;
  readonly volumeLifecycleMode: 'Persistent' | 'Ephemeral';
  /** The API holds since that the volume is in use here. A text, as all that tools expect in here. */
  readonly toldInUse?: 'true';
  /** Its files were given to the pod's group since it was mounted. */
  readonly hasGroup?: 'true';
}

const FILE = 'vol_data.json';

export const recordOf = (volume: CsiVolume, nodeName: string, attachmentID: string): CsiRecord => ({
  specVolID: volume.specName,
  volumeHandle: volume.handle,
  driverName: volume.driver,
  nodeName,
  attachmentID,
  volumeLifecycleMode: volume.lifecycle,
});

/**
 * Writes the record and, for what is attached, sees to it that the API knows of the use before a driver is asked for anything: else the
 * volume could be detached while it is mounted. What was told once holds while the record stands, also when the API is away. Throws
 * what `tellInUse` throws.
 */
export async function claimUse(
  fs: FileSystem,
  folder: string,
  { record, tellInUse }: { readonly record: CsiRecord; readonly tellInUse: (name: string) => Promise<void> },
): Promise<void> {
  const before = await readRecord(fs, folder);
  if (record.attachmentID === '') return writeRecord(fs, folder, record);
  if (before?.toldInUse === 'true' && before.attachmentID === record.attachmentID) return;
  await writeRecord(fs, folder, record);
  await tellInUse(inUseName(record));
  await writeRecord(fs, folder, { ...record, toldInUse: 'true' });
}

/** The volume in `status.volumesInUse`. */
export const inUseName = ({ driverName, volumeHandle }: CsiRecord): string =>
  `kubernetes.io/csi/${driverName}^${volumeHandle}`;

export async function writeRecord(fs: FileSystem, folder: string, record: Partial<CsiRecord>): Promise<void> {
  await fs.makeDirectory(folder, 0o750);
  await fs.writeAtomic(`${folder}/${FILE}`, JSON.stringify(record), { mode: 0o600, durable: true });
}

/** Undefined where there is none, or it cannot be read: then nothing was asked of a driver there. */
export async function readRecord(fs: FileSystem, folder: string): Promise<CsiRecord | undefined> {
  try {
    const record = JSON.parse(await fs.readText(`${folder}/${FILE}`)) as Partial<CsiRecord>;
    return record.driverName && record.volumeHandle ? (record as CsiRecord) : undefined;
  } catch {
    return undefined;
  }
}
