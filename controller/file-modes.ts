import { chmod, lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '#base/logger.ts';

/** What others may do with a file: nothing of it is wanted here. */
const OTHERS = 0o077;

async function tighten(path: string): Promise<boolean> {
  const found = await lstat(path);
  if (found.isSymbolicLink() || (found.mode & OTHERS) === 0) return false;
  await chmod(path, found.mode & 0o7777 & ~OTHERS);
  return true;
}

/**
 * Takes away what others than the owner may do with the data directory, its keys and the state. A mode that was too wide is told of: what
 * could be read may have been read. Rejects where it cannot be mended, as for files of somebody else.
 */
export async function tightenFileModes(dataDir: string, log: Logger): Promise<void> {
  const opened: string[] = [];
  for (const folder of ['.', 'pki', 'seal', 'store']) {
    const path = join(dataDir, folder);
    const names = await readdir(path).catch((err: NodeJS.ErrnoException) => {
      if (err.code === 'ENOENT') return undefined;
      throw err;
    });
    if (names === undefined) continue;
    if (await tighten(path)) opened.push(path);
    if (folder === '.') continue;
    for (const name of names) {
      const file = join(path, name);
      // Journals come and go.
      const wasOpen = await tighten(file).catch((err: NodeJS.ErrnoException) => {
        if (err.code === 'ENOENT') return false;
        throw err;
      });
      if (wasOpen) opened.push(file);
    }
  }
  if (opened.length > 0) log.warn('files were open to other users of this host; no more', { files: opened });
}
