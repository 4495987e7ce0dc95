import { realpath, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

const ROOT = '/tmp';

/** Removes a folder below /tmp with all that is in it; one that is not there is gone. Throws where links would lead elsewhere. */
export async function removeTemporaryFolder(path: string, root = ROOT): Promise<void> {
  const top = await realpath(root);
  let parent: string;
  try {
    parent = await realpath(dirname(path));
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw err;
  }
  if (parent !== top && !parent.startsWith(`${top}/`)) throw new Error(`${path} is not below ${root}`);
  // Without the links of its parents; a link that is the folder itself goes, and not what it leads to.
  await rm(join(parent, basename(path)), { recursive: true, force: true });
}
