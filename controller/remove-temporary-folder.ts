import { constants } from 'node:fs';
import { type FileHandle, open, readdir, rmdir, unlink } from 'node:fs/promises';
import { TEMPORARY_ROOT, temporaryFolderNames } from '#api/storage/temporary-folder-names.ts';

/** Below this nobody has folders, but for who would use up the file descriptors of whoever removes them. */
const MAX_DEPTH = 256;

/** A folder, and not what a link leads to. */
const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/**
 * Removes a folder below /tmp with all that is in it; one that is not there is gone. Throws where links would lead elsewhere.
 *
 * Anybody may own folders there, and put links in their place while this runs. So each step starts at the folder that the one before has
 * opened, not at a path.
 */
export async function removeTemporaryFolder(path: string, root = TEMPORARY_ROOT): Promise<void> {
  const names = temporaryFolderNames(path, root);
  if (names === undefined) throw new Error(`${path} is not below ${root}`);
  const opened: FileHandle[] = [];
  try {
    let parent = await open(root, constants.O_RDONLY | constants.O_DIRECTORY);
    opened.push(parent);
    for (const name of names.slice(0, -1)) {
      parent = await open(at(parent, name), FOLDER);
      opened.push(parent);
    }
    await removeEntry(parent, names.at(-1)!, names.length);
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return;
    if (codeOf(err) === 'ENOTDIR' || codeOf(err) === 'ELOOP')
      throw new Error(`${path} is not below ${root}`, { cause: err });
    throw err;
  } finally {
    for (const handle of opened) await handle.close();
  }
}

const codeOf = (err: unknown): string | undefined => (err as NodeJS.ErrnoException).code;

/** An entry of an opened folder, wherever that folder is by now. */
const at = (folder: FileHandle, name: string): string => `/proc/self/fd/${folder.fd}/${name}`;

async function removeEntry(parent: FileHandle, name: string, depth: number): Promise<void> {
  if (depth > MAX_DEPTH) throw new Error(`folders are nested more than ${MAX_DEPTH} deep`);
  try {
    // A link goes, and not what it leads to.
    return await unlink(at(parent, name));
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return;
    if (codeOf(err) !== 'EISDIR') throw err;
  }
  const folder = await open(at(parent, name), FOLDER);
  try {
    for (const entry of await readdir(at(folder, ''))) await removeEntry(folder, entry, depth + 1);
  } finally {
    await folder.close();
  }
  await rmdir(at(parent, name));
}
