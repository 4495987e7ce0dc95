import { constants } from 'node:fs';
import { chmod, type FileHandle, mkdir, open } from 'node:fs/promises';

/** Not in Node's own table: a handle that names a file without opening it for reading. */
const O_PATH = 0o10_000_000;
/** Permissions, and whether a directory passes its group on. */
const DIRECTORY_MODE = 0o2777;

/**
 * Opens what a relative path leads to below `root`, element by element, each through the handle of the one before and never through a
 * symbolic link: whoever can write below the root (a container into its volume) can change nothing about where this ends, not even
 * while it is under way. With `create`, missing elements become directories with the mode of the root: whoever may write there may write in
 * them. Throws with Node's `code`: ELOOP or ENOTDIR for a link on the way, ENOENT for what is missing. The caller closes the handle.
 */
export async function openBeneath(
  root: string,
  path: string,
  { create = false }: { readonly create?: boolean } = {},
): Promise<FileHandle> {
  let current = await open(root, O_PATH | constants.O_DIRECTORY);
  try {
    const mode = create ? (await current.stat()).mode & DIRECTORY_MODE : undefined;
    const elements = path.split('/').filter((element) => element !== '' && element !== '.');
    if (elements.includes('..')) throw Object.assign(new Error(`path ${path} leads upwards`), { code: 'EINVAL' });
    for (const [index, element] of elements.entries()) {
      const next = `${handlePath(current)}/${element}`;
      const isLast = index === elements.length - 1;
      const opened = await openElement(next, isLast, mode);
      await current.close();
      current = opened;
      // A handle that only names a file takes a link for a file.
      if ((await current.stat()).isSymbolicLink())
        throw Object.assign(new Error(`ELOOP: ${path} leads through a symbolic link`), { code: 'ELOOP' });
    }
    return current;
  } catch (err) {
    await current.close();
    throw err;
  }
}

async function openElement(path: string, isLast: boolean, mode: number | undefined): Promise<FileHandle> {
  const flags = O_PATH | constants.O_NOFOLLOW | (isLast ? 0 : constants.O_DIRECTORY);
  try {
    return await open(path, flags);
  } catch (err) {
    if (mode === undefined || (err as NodeJS.ErrnoException).code !== 'ENOENT') throw err;
  }
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'EEXIST') throw err;
    // Another pod's start, or a container, was faster: whoever made it sees to its mode.
    return open(path, flags);
  }
  const made = await open(path, flags | constants.O_DIRECTORY);
  try {
    // Not by mkdir, which the umask cuts; and by the handle, since the name may be another's by now.
    await chmod(handlePath(made), mode);
    return made;
  } catch (err) {
    await made.close();
    throw err;
  }
}

/** By this path others may open what the handle names, while it is open. */
export const handlePath = (handle: FileHandle): string => `/proc/self/fd/${handle.fd}`;

/** The same, for another process. */
export const foreignHandlePath = (handle: FileHandle): string => `/proc/${process.pid}/fd/${handle.fd}`;

/** Text of a file below `root`; throws for anything but a regular file, and for more than `maxBytes`. */
export async function readTextBeneath(root: string, path: string, maxBytes: number): Promise<string> {
  const named = await openBeneath(root, path);
  try {
    const info = await named.stat();
    if (!info.isFile()) throw Object.assign(new Error(`${path} is not a regular file`), { code: 'EINVAL' });
    if (info.size > maxBytes)
      throw Object.assign(new Error(`${path} is larger than ${maxBytes} bytes`), { code: 'EFBIG' });
    const file = await open(handlePath(named), constants.O_RDONLY);
    try {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(maxBytes), 0, maxBytes, 0);
      return buffer.subarray(0, bytesRead).toString('utf8');
    } finally {
      await file.close();
    }
  } finally {
    await named.close();
  }
}
