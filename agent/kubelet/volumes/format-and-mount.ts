import { ExecError, type Host } from '../../host/host.ts';
import { VolumeError } from './volume-kind.ts';

export interface DeviceMount {
  readonly source: string;
  readonly path: string;
  readonly fsType: string;
  readonly mountOptions: readonly string[];
  readonly readOnly: boolean;
}

/** Large and slow disks take their time. */
const DISK_MS = 15 * 60_000;
/** What `fsck` answers where errors are left. Below it all is well or was put right, above it nothing could be looked at: then `mount` decides. */
const ERRORS_LEFT = 4;
const FORMAT_FLAGS: Readonly<Record<string, readonly string[]>> = {
  ext3: ['-F', '-m0'],
  ext4: ['-F', '-m0'],
  xfs: ['-f'],
};

/**
 * Mounts a device as Kubernetes does: one on which there is nothing, neither file system nor partitions, is formatted first; a file system
 * that may be written to is checked, and repaired where that needs no decision. Whatever else is on it stays, and `mount` says what it
 * thinks of it. Throws VolumeError in Kubernetes' words.
 */
export async function formatAndMount(host: Pick<Host, 'exec' | 'mounts'>, device: DeviceMount): Promise<void> {
  const { source, path, fsType, mountOptions, readOnly } = device;
  const mayWrite = !readOnly && !mountOptions.includes('ro');
  const isEmpty = (await contentOf(host, source)) === undefined;
  if (isEmpty && !mayWrite)
    throw new VolumeError(`cannot mount unformatted disk ${source} as we are manipulating it in read-only mode`);
  if (isEmpty) await format(host, device);
  else if (mayWrite) await checkAndRepair(host, source);
  await host.mounts.mount({ fsType, source, path, options: mountOptions });
}

/** What `blkid` finds; undefined where it finds nothing, which alone is safe to write over. */
async function contentOf({ exec }: Pick<Host, 'exec'>, device: string): Promise<string | undefined> {
  const NOTHING_FOUND = 2;
  try {
    const { stdout } = await exec.run(['blkid', '-p', '-s', 'TYPE', '-s', 'PTTYPE', '-o', 'export', device]);
    return stdout.trim() || undefined;
  } catch (err) {
    if (err instanceof ExecError && err.exitCode === NOTHING_FOUND) return undefined;
    throw new VolumeError(`failed to get disk format of disk ${device}`, { cause: err });
  }
}

async function format({ exec }: Pick<Host, 'exec'>, { source, path, fsType }: DeviceMount): Promise<void> {
  try {
    await exec.run([`mkfs.${fsType}`, ...(FORMAT_FLAGS[fsType] ?? []), source], { timeoutMs: DISK_MS });
  } catch (err) {
    throw new VolumeError(`format of disk "${source}" failed: type:("${fsType}") target:("${path}")`, { cause: err });
  }
}

/** Never one that is mounted already, for another pod: not every checker looks at that itself. */
async function checkAndRepair({ exec }: Pick<Host, 'exec'>, source: string): Promise<void> {
  try {
    await exec.run(['fsck', '-M', '-a', source], { timeoutMs: DISK_MS });
  } catch (err) {
    if (!(err instanceof ExecError) || err.exitCode !== ERRORS_LEFT) return;
    throw new VolumeError(
      `'fsck' found errors on device ${source} but could not correct them: ${err.stdout}${err.stderr}`.trim(),
    );
  }
}
