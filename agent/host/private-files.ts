import type { FileSystem } from './host.ts';

/** What others than the owner may do with a file. */
const OTHERS = 0o077;

/** Takes it away from a directory and the files in it; answers the paths that were open. Absent is fine. */
export async function tightenPrivateFiles(fs: FileSystem, dir: string): Promise<readonly string[]> {
  const opened: string[] = [];
  const names = await fs.list(dir);
  for (const path of [dir, ...names.map((name) => `${dir}/${name}`)]) {
    const info = await fs.info(path);
    if (info === undefined || info.type === 'symlink' || (info.mode & OTHERS) === 0) continue;
    await fs.chmod(path, info.mode & 0o7777 & ~OTHERS);
    opened.push(path);
  }
  return opened;
}
