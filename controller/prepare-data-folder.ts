import { access, constants, mkdir, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ConfigError } from '#base/config.ts';
import { describeError } from '#base/errors.ts';

/** A controller that is made needs 3 MB for keys, first objects and the log, one that is started the room to fold its log. */
const MIN_FREE_BYTES = 16 * 2 ** 20;

/** Makes the data directory where it is absent. Throws ConfigError where nothing could be kept there, before anything is written. */
export async function prepareDataFolder(path: string): Promise<void> {
  const present = await nearestFolder(path);
  try {
    await access(present, constants.W_OK);
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (err) {
    throw new ConfigError(`dataDir: ${path} cannot be written to (${reasonOf(err)}): ${adviceOf(err)}`);
  }
  const { bavail, bsize } = await statfs(path);
  const freeBytes = bavail * bsize;
  if (freeBytes >= MIN_FREE_BYTES) return;
  throw new ConfigError(
    `dataDir: the disk of ${path} is full: ${kib(freeBytes)} are free, a start needs ${kib(MIN_FREE_BYTES)}: make room on it, ` +
      'then start again; the state there is untouched',
  );
}

/** The path, or the first above it that exists. */
async function nearestFolder(path: string): Promise<string> {
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  return isThere || dirname(path) === path ? path : nearestFolder(dirname(path));
}

const codeOf = (err: unknown) => (err as NodeJS.ErrnoException).code;

function reasonOf(err: unknown): string {
  const reasons: Readonly<Record<string, string>> = {
    EROFS: 'its file system is read-only',
    EACCES: 'permission is denied',
    ENOTDIR: 'a part of the path is a file',
    EEXIST: 'it is a file',
  };
  return reasons[codeOf(err) ?? ''] ?? describeError(err);
}

function adviceOf(err: unknown): string {
  const advice: Readonly<Record<string, string>> = {
    EROFS:
      'mount it writable (a disk that fails is often mounted read-only by the kernel: see dmesg), or set --data-dir',
    EACCES: 'run the controller as root, or set --data-dir',
  };
  return advice[codeOf(err) ?? ''] ?? 'set --data-dir to a folder on a disk';
}

const kib = (bytes: number) => `${Math.floor(bytes / 1024).toLocaleString('en')} KiB`;
