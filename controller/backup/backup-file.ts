import { createReadStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createZstdCompress, createZstdDecompress } from 'node:zlib';
import { BackupError } from './backup-error.ts';
import { type BackupRecord, decodeRecords } from './backup-records.ts';
import { decrypt, encrypt } from './encrypted-file.ts';

export interface BackupFileOptions {
  readonly path: string;
  readonly passphrase: string;
}

/**
 * Writes records (see backup-content.ts), compressed and encrypted, to a file of mode 0600 that appears under its name when it is whole and
 * durable; answers its size in bytes. What fails leaves nothing behind.
 */
export async function writeBackupFile(
  content: AsyncIterable<Uint8Array>,
  { path, passphrase, nowMs, scryptCost }: BackupFileOptions & { readonly nowMs: number; readonly scryptCost?: number },
): Promise<number> {
  const temporary = `${path}.${process.pid}.tmp`;
  const file = await open(temporary, 'w', 0o600).catch((err: unknown) => {
    throw new BackupError(`the backup cannot be written to ${path}`, { cause: err });
  });
  let bytes = 0;
  try {
    try {
      await pipeline(
        content,
        createZstdCompress(),
        (compressed: AsyncIterable<Uint8Array>) =>
          encrypt(compressed, { passphrase, nowMs, ...(scryptCost === undefined ? {} : { scryptCost }) }),
        async (encrypted: AsyncIterable<Uint8Array>) => {
          for await (const piece of encrypted) {
            await file.writeFile(piece);
            bytes += piece.length;
          }
        },
      );
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolderOf(path);
    return bytes;
  } catch (err) {
    await rm(temporary, { force: true });
    throw err instanceof BackupError ? err : new BackupError(`the backup was not written to ${path}`, { cause: err });
  }
}

/** The records of a file, each authenticated. Throws BackupError. */
export async function* readBackupFile({
  path,
  passphrase,
}: BackupFileOptions): AsyncGenerator<BackupRecord, void, undefined> {
  const file = createReadStream(path, { highWaterMark: 256 * 1024 });
  const decompressed = createZstdDecompress();
  const ended = pipeline(
    file,
    (bytes: AsyncIterable<Uint8Array>) => decrypt(bytes, { passphrase, name: path }),
    decompressed,
  );
  // What goes wrong anywhere in it is thrown by the loop below.
  ended.catch(() => {});
  try {
    yield* decodeRecords(decompressed);
    await ended;
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new BackupError(`${path}: no such file`);
    if (code === 'EISDIR') throw new BackupError(`${path}: this is a folder, not a backup`);
    throw err;
  } finally {
    file.destroy();
  }
}

async function syncFolderOf(path: string): Promise<void> {
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
