import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream, type Stats, watch as watchPath } from 'node:fs';
import {
  chmod,
  chown,
  lchown,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  rmdir,
  statfs,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { readTextBeneath } from './beneath.ts';
import type { FileInfo, FileSystem, ReadableFile } from './host.ts';
import { parseMountInfo } from './mounter.ts';

/** Resolves to `fallback` where the path does not exist. */
async function unlessAbsent<T>(work: Promise<T>, fallback: T): Promise<T> {
  try {
    return await work;
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return fallback;
    throw err;
  }
}

export function createFileSystem(): FileSystem {
  return {
    readText: (path) => readFile(path, 'utf8'),
    readBytes: (path) => readFile(path),
    readTextBeneath,
    list: (path) => unlessAbsent(readdir(path), []),
    info: (path) => unlessAbsent(lstat(path).then(fileInfo), undefined),
    makeDirectory,
    writeAtomic,
    write,
    symlink: (target, path) => symlink(target, path),
    readLink,
    rename,
    chmod,
    chown,
    giveToGroup,
    remove,
    removeEmptyDirectories,
    open: openFile,
    watch,
    usage,
    gzip,
    async diskUsage(path) {
      const { bsize, blocks, bavail, files, ffree } = await statfs(path);
      return { totalBytes: blocks * bsize, freeBytes: bavail * bsize, totalInodes: files, freeInodes: ffree };
    },
  };
}

/** Read once: nobody changes it. */
export const UMASK = process.umask();

/** What a directory gets that is made without saying more. */
const USUAL_MODE = 0o777 & ~UMASK;

/**
 * mkdir's mode is cut by the umask, holds for parents that are made on the way too, and is ignored for a directory that exists: there it is
 * set again. One call where it can be, since each wakes another thread, which on a small host costs more than what it does there.
 */
async function makeDirectory(path: string, mode?: number): Promise<void> {
  const isUsual = mode === undefined || mode === USUAL_MODE;
  if (!isUsual && (mode & UMASK) === 0 && (await makeFresh(path, mode))) return;
  const firstMade = await mkdir(path, { recursive: true });
  if (mode !== undefined && !(isUsual && firstMade !== undefined)) await chmod(path, mode);
}

async function write(path: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
  await writeFile(path, content, { mode });
  if ((mode & UMASK) !== 0) await chmod(path, mode);
}

/** False where it is there already, or its parent is not. */
async function makeFresh(path: string, mode: number): Promise<boolean> {
  try {
    await mkdir(path, { mode });
    return true;
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException;
    if (code === 'EEXIST' || code === 'ENOENT') return false;
    throw err;
  }
}

async function writeAtomic(
  path: string,
  content: string | Uint8Array,
  { mode = 0o644, durable = false }: { readonly mode?: number; readonly durable?: boolean } = {},
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}`);
  try {
    await writeFile(temporary, content, { mode, flag: 'wx', flush: durable });
    if ((mode & UMASK) !== 0) await chmod(temporary, mode);
    await rename(temporary, path);
  } catch (err) {
    await unlessAbsent(unlink(temporary), undefined);
    throw err;
  }
  if (durable) await syncDirectory(dirname(path));
}

async function syncDirectory(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function readLink(path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EINVAL') return undefined;
    throw err;
  }
}

/** The kernel would let us delete through a bind mount into somebody's data; a forgotten mount is therefore an error here. */
async function remove(path: string): Promise<void> {
  const target = resolve(path);
  const mounts = parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8'));
  const inside = mounts.find((mount) => mount.path === target || mount.path.startsWith(`${target}/`));
  if (inside !== undefined)
    throw Object.assign(new Error(`EBUSY: ${inside.path} is still mounted, not removing ${target}`), { code: 'EBUSY' });
  await rm(target, { recursive: true, force: true });
}

const GROUP_RW = 0o660;
/** Directories pass their group on, and may be entered. */
const GROUP_FOLDER = 0o2110;

async function giveToGroup(path: string, gid: number, unlessRootIs: boolean): Promise<void> {
  const info = await lstat(path);
  if (info.isSymbolicLink()) {
    await lchown(path, info.uid, gid);
    return;
  }
  const wanted = (info.mode & 0o7777) | GROUP_RW | (info.isDirectory() ? GROUP_FOLDER : 0);
  if (unlessRootIs && info.gid === gid && wanted === (info.mode & 0o7777)) return;
  if (info.isDirectory())
    for (const name of await readdir(path)) await unlessAbsent(giveToGroup(join(path, name), gid, false), undefined);
  // The top comes last: it tells that all below is done.
  await lchown(path, info.uid, gid);
  await unlessAbsent(chmod(path, wanted), undefined);
}

/** `rmdir` is the only judge of what is empty: a cgroup has files and goes all the same, unless somebody runs in it. */
async function removeEmptyDirectories(path: string): Promise<void> {
  const entries = await unlessAbsent(readdir(path, { withFileTypes: true }), []);
  for (const entry of entries) if (entry.isDirectory()) await removeEmptyDirectories(join(path, entry.name));
  try {
    await rmdir(path);
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTEMPTY' && code !== 'EBUSY') throw err;
  }
}

async function openFile(path: string): Promise<ReadableFile> {
  const file = await open(path, 'r');
  const { ino } = await file.stat();
  return {
    inode: ino,
    sizeBytes: async () => (await file.stat()).size,
    async read(position, maxBytes) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(maxBytes), 0, maxBytes, position);
      return buffer.subarray(0, bytesRead);
    },
    close: () => file.close(),
  };
}

/** inotify can run out of watches and the path may be absent; watching is a hint, so whoever calls polls slowly as well. */
function watch(path: string, onChange: () => void, signal: AbortSignal): void {
  if (signal.aborted) return;
  try {
    const watcher = watchPath(path, { persistent: false, signal }, onChange);
    watcher.on('error', () => watcher.close());
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOSPC' && code !== 'EMFILE') throw err;
  }
}

const BLOCK_BYTES = 512;

async function usage(path: string): Promise<{ bytes: number; inodes: number }> {
  const top = await unlessAbsent(lstat(path), undefined);
  const total = { bytes: 0, inodes: 0 };
  if (top === undefined) return total;
  const visit = async (entry: string, stats: Stats): Promise<void> => {
    // A link counted once for each of its names would be counted too often.
    total.bytes += (stats.blocks * BLOCK_BYTES) / (stats.isDirectory() ? 1 : Math.max(1, stats.nlink));
    total.inodes++;
    if (!stats.isDirectory()) return;
    for (const name of await unlessAbsent(readdir(entry), [])) {
      const inner = await unlessAbsent(lstat(join(entry, name)), undefined);
      if (inner !== undefined && inner.dev === top.dev) await visit(join(entry, name), inner);
    }
  };
  await visit(path, top);
  return { bytes: Math.round(total.bytes), inodes: total.inodes };
}

async function gzip(from: string, to: string): Promise<void> {
  const { mode } = await lstat(from);
  await pipeline(createReadStream(from), createGzip(), createWriteStream(to, { mode: mode & 0o7777 }));
}

export function fileInfo(stats: Stats): FileInfo {
  return {
    type: fileType(stats),
    mode: stats.mode & 0o7777,
    uid: stats.uid,
    gid: stats.gid,
    sizeBytes: stats.size,
    inode: stats.ino,
    modifiedMs: stats.mtimeMs,
  };
}

function fileType(stats: Stats): FileInfo['type'] {
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isSocket()) return 'socket';
  if (stats.isCharacterDevice()) return 'char';
  if (stats.isBlockDevice()) return 'block';
  return stats.isFIFO() ? 'fifo' : 'file';
}
