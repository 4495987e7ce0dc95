import { appendFile, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';

export interface AuditFileOptions {
  readonly path: string;
  /** The file is set aside when it has grown beyond this; default 50 MiB. */
  readonly maxBytes?: number;
  /** Files set aside that are kept; 0 keeps all. Default 1. */
  readonly maxBackups?: number;
  /** Files set aside longer ago are removed; 0 keeps them. Default 0. */
  readonly maxAgeMs?: number;
  /** Epoch milliseconds. */
  readonly now?: () => number;
}

const DEFAULT_MAX_BYTES = 50 * 1024 * 1024;

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw err;
  }
}

/** `audit.log` set aside is `audit-2026-01-02T03-04-05.678.log`, as Kubernetes names it. */
export function backupName(path: string, atMs: number): string {
  const extension = extname(path);
  const stamp = new Date(atMs).toISOString().slice(0, 23).replaceAll(':', '-');
  return join(dirname(path), `${basename(path, extension)}-${stamp}${extension}`);
}

const STAMP = /^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}$/;

/** Backups of `path` among `files` that have had their time, by the stamp in their names. Pure. */
export function expiredBackups(
  files: readonly string[],
  { path, maxBackups = 1, maxAgeMs = 0 }: AuditFileOptions,
  nowMs: number,
): string[] {
  const extension = extname(path);
  const prefix = `${basename(path, extension)}-`;
  const stampOf = (file: string) => file.slice(prefix.length, file.length - extension.length);
  const backups = files
    .filter((file) => file.startsWith(prefix) && file.endsWith(extension) && STAMP.test(stampOf(file)))
    .sort()
    .reverse();
  const timeOf = (file: string) => Date.parse(`${stampOf(file).replace(/T(\d\d)-(\d\d)-/, 'T$1:$2:')}Z`);
  return backups.filter(
    (file, i) => (maxBackups > 0 && i >= maxBackups) || (maxAgeMs > 0 && nowMs - timeOf(file) > maxAgeMs),
  );
}

/** The `append` of an AuditBuffer: one file, readable by its owner alone, set aside and cleaned up after by size, number and age. */
export function createAuditFile(options: AuditFileOptions): (bytes: Uint8Array) => Promise<void> {
  const { path, maxBytes = DEFAULT_MAX_BYTES, now = Date.now } = options;
  let sizeBytes: number | undefined;
  return async (bytes) => {
    sizeBytes ??= await sizeOf(path);
    const added = bytes.byteLength;
    if (sizeBytes > 0 && sizeBytes + added > maxBytes) {
      await rename(path, backupName(path, now()));
      sizeBytes = 0;
      const expired = expiredBackups(await readdir(dirname(path)), options, now());
      await Promise.all(expired.map((file) => rm(join(dirname(path), file), { force: true })));
    }
    await appendFile(path, bytes, { mode: 0o600 });
    sizeBytes += added;
  };
}
