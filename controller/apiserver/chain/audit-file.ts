import { appendFile, rename, stat } from 'node:fs/promises';

export interface AuditFileOptions {
  readonly path: string;
  /** The file is set aside as `<path>.1` (replacing the one before) when it has grown beyond this; default 50 MiB. */
  readonly maxBytes?: number;
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

/** The `append` of an AuditBuffer: one file, readable by its owner alone, never more than twice `maxBytes` on the disk. */
export function createAuditFile({
  path,
  maxBytes = DEFAULT_MAX_BYTES,
}: AuditFileOptions): (text: string) => Promise<void> {
  let sizeBytes: number | undefined;
  return async (text) => {
    sizeBytes ??= await sizeOf(path);
    const added = Buffer.byteLength(text);
    if (sizeBytes > 0 && sizeBytes + added > maxBytes) {
      await rename(path, `${path}.1`);
      sizeBytes = 0;
    }
    await appendFile(path, text, { mode: 0o600 });
    sizeBytes += added;
  };
}
