import type { FileInfo } from '../../host/host.ts';
import { VolumeError, type VolumeKind } from './volume-kind.ts';

const EXPECTED: Readonly<Record<string, { readonly type: FileInfo['type']; readonly what: string }>> = {
  Directory: { type: 'directory', what: 'a directory' },
  File: { type: 'file', what: 'a file' },
  Socket: { type: 'socket', what: 'a socket file' },
  CharDevice: { type: 'char', what: 'a character device' },
  BlockDevice: { type: 'block', what: 'a block device' },
};

export const hostPath: VolumeKind = {
  type: 'directory',
  async setUp({ host }, volume) {
    const { path = '', type = '' } = volume.hostPath ?? {};
    if (type === 'DirectoryOrCreate') {
      if ((await host.fs.info(path)) === undefined) await host.fs.makeDirectory(path, 0o755);
    } else if (type === 'FileOrCreate') {
      if ((await host.fs.info(path)) === undefined) await host.fs.write(path, '', 0o644);
    }
    const expected = EXPECTED[type.replace('OrCreate', '')];
    if (expected !== undefined && (await followed(host.fs, path))?.type !== expected.type)
      throw new VolumeError(`hostPath type check failed: ${path} is not ${expected.what}`);
    return { hostPath: path, readOnly: false };
  },
};

/** What a path leads to; symbolic links are common here (`/var/run`). */
export async function followed(
  fs: { info(path: string): Promise<FileInfo | undefined>; readLink(path: string): Promise<string | undefined> },
  path: string,
  depth = 0,
): Promise<FileInfo | undefined> {
  const info = await fs.info(path);
  if (info?.type !== 'symlink' || depth > 16) return info;
  const target = (await fs.readLink(path)) ?? '';
  return followed(fs, target.startsWith('/') ? target : `${path.slice(0, path.lastIndexOf('/'))}/${target}`, depth + 1);
}
