import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';

/**
 * Checksums of the pages of a database file, kept apart from it: SQLite has none of its own, and its `integrity_check` does not see a byte
 * that changed within a value. Layout, little-endian: u32 magic, version, page size, count; f64 revision; one u32 for each page; u32 CRC of all that.
 */
export interface PageSums {
  /** Grows with every fold; the commit mark names the one that counts. */
  readonly version: number;
  readonly pageSize: number;
  /** Newest revision in the file. */
  readonly revision: number;
  /** CRC-32 of page 1 at index 0, and so on. */
  readonly sums: Uint32Array;
}

const MAGIC = 0x314d5553;
const HEADER_BYTES = 24;
const CHUNK_BYTES = 2 ** 20;

/** Two files take turns, so that the one in force is never written over. */
export const sumsPath = (dir: string, version: number) => join(dir, `state.sums.${version % 2}`);

export function encodePageSums({ version, pageSize, revision, sums }: PageSums): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + sums.length * 4 + 4);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, version, true);
  view.setUint32(8, pageSize, true);
  view.setUint32(12, sums.length, true);
  view.setFloat64(16, revision, true);
  for (let i = 0; i < sums.length; i++) view.setUint32(HEADER_BYTES + i * 4, sums[i]!, true);
  view.setUint32(bytes.length - 4, crc32(bytes.subarray(0, -4)), true);
  return bytes;
}

/** Undefined where the bytes are not what was written. */
function decodePageSums(bytes: Uint8Array): PageSums | undefined {
  if (bytes.length < HEADER_BYTES + 4) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = view.getUint32(12, true);
  if (view.getUint32(0, true) !== MAGIC || bytes.length !== HEADER_BYTES + count * 4 + 4) return undefined;
  if (crc32(bytes.subarray(0, -4)) !== view.getUint32(bytes.length - 4, true)) return undefined;
  const sums = Uint32Array.from({ length: count }, (_, i) => view.getUint32(HEADER_BYTES + i * 4, true));
  return {
    version: view.getUint32(4, true),
    pageSize: view.getUint32(8, true),
    revision: view.getFloat64(16, true),
    sums,
  };
}

/** Undefined where the file is absent or garbled. */
export function readPageSums(path: string): PageSums | undefined {
  const bytes = readIfThere(path);
  return bytes && decodePageSums(bytes);
}

/** Undefined where there is no such file. */
export function readIfThere(path: string): Uint8Array | undefined {
  try {
    return readFileSync(path);
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw err;
  }
}

/** CRC-32 of every whole page of an open file. */
export function sumPages(fd: number, pageSize: number): Uint32Array {
  const sums = new Uint32Array(Math.floor(fstatSync(fd).size / pageSize));
  const chunk = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, pageSize));
  for (let page = 0; page < sums.length; ) {
    const bytesRead = readSync(fd, chunk, 0, chunk.length, page * pageSize);
    const pages = Math.floor(bytesRead / pageSize);
    if (pages === 0) break;
    for (let i = 0; i < pages; i++) sums[page + i] = crc32(chunk.subarray(i * pageSize, (i + 1) * pageSize));
    page += pages;
  }
  return sums;
}

/** The same by path; undefined where there is no such file. Never of a database that this process has open: closing drops its locks. */
export function sumPagesOf(path: string, pageSize: number): Uint32Array | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw err;
  }
  try {
    return sumPages(fd, pageSize);
  } finally {
    closeSync(fd);
  }
}
