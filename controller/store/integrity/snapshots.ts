import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { encodePageSums, type PageSums, readPageSums, sumPagesOf } from './page-sums.ts';

/** A copy of the database file with its page sums, made while the file stood still. */
export interface SnapshotFile {
  readonly path: string;
  readonly sumsPath: string;
  /** Wall-clock ms. */
  readonly takenMs: number;
  readonly revision: number;
}

const NAME = /^(\d+)-(\d+)\.db$/;
/** How many are kept. */
const KEPT = 3;
/** Copied at a time, between two commits. */
const STEP_BYTES = 2 ** 20;

const folderOf = (dir: string) => join(dir, 'snapshots');

/** Newest first, by revision: clocks of small machines begin at 1970. Whether they are whole is another question. */
export function listSnapshots(dir: string): readonly SnapshotFile[] {
  let names: readonly string[];
  try {
    names = readdirSync(folderOf(dir));
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw err;
  }
  return names
    .flatMap((name) => {
      const match = NAME.exec(name);
      if (match === null) return [];
      const path = join(folderOf(dir), name);
      return [{ path, sumsPath: path.replace(/db$/, 'sums'), takenMs: Number(match[1]), revision: Number(match[2]) }];
    })
    .toSorted((a, b) => b.revision - a.revision || b.takenMs - a.takenMs);
}

/** The sums of a snapshot whose every page is as it was written; undefined otherwise. */
export function verifySnapshot({ path, sumsPath }: SnapshotFile): PageSums | undefined {
  const sums = readPageSums(sumsPath);
  if (sums === undefined) return undefined;
  const found = sumPagesOf(path, sums.pageSize);
  if (found === undefined || found.length !== sums.sums.length) return undefined;
  return found.every((sum, at) => sum === sums.sums[at]) ? sums : undefined;
}

export function newestVerifiedSnapshot(dir: string): SnapshotFile | undefined {
  return listSnapshots(dir).find((snapshot) => verifySnapshot(snapshot) !== undefined);
}

export interface SnapshotSource {
  readonly dir: string;
  /** The database file, which does not change until the copy is done. Not closed here. */
  readonly fd: number;
  readonly sums: PageSums;
  readonly nowMs: number;
}

/** Copies the file step by step, and checks each page against its sum on the way. */
export class SnapshotCopy {
  readonly #source: SnapshotSource;
  readonly #path: string;
  readonly #out: number;
  readonly #chunk: Buffer;
  #page = 0;

  constructor(source: SnapshotSource) {
    this.#source = source;
    const folder = folderOf(source.dir);
    if (mkdirSync(folder, { recursive: true, mode: 0o700 }) !== undefined) syncFolder(source.dir);
    this.#path = join(folder, `${Math.floor(source.nowMs)}-${source.sums.revision}.db`);
    this.#out = openSync(`${this.#path}.tmp`, 'w', 0o600);
    this.#chunk = Buffer.allocUnsafeSlow(Math.max(STEP_BYTES, source.sums.pageSize));
  }

  /** Copies one piece; true once the snapshot stands. Throws where a page is not what was written: the disk changed it meanwhile. */
  step(): boolean {
    const { fd, sums } = this.#source;
    const { pageSize } = sums;
    const pages = Math.min(sums.sums.length - this.#page, Math.floor(this.#chunk.length / pageSize));
    const piece = this.#chunk.subarray(0, pages * pageSize);
    readSync(fd, piece, 0, piece.length, this.#page * pageSize);
    for (let i = 0; i < pages; i++) {
      if (crc32(piece.subarray(i * pageSize, (i + 1) * pageSize)) !== sums.sums[this.#page + i])
        throw new Error(`page ${this.#page + i + 1} of state.db is not what was written`);
    }
    writeSync(this.#out, piece);
    this.#page += pages;
    if (this.#page < sums.sums.length) return false;
    this.#finish();
    return true;
  }

  /** Gives up: nothing of the copy stays. */
  abandon(): void {
    closeSync(this.#out);
    rmSync(`${this.#path}.tmp`, { force: true });
  }

  #finish(): void {
    const { dir, sums } = this.#source;
    fsyncSync(this.#out);
    closeSync(this.#out);
    writeFileSync(this.#path.replace(/db$/, 'sums'), encodePageSums(sums), { mode: 0o600, flush: true });
    renameSync(`${this.#path}.tmp`, this.#path);
    syncFolder(folderOf(dir));
    for (const old of listSnapshots(dir).slice(KEPT)) {
      rmSync(old.path);
      rmSync(old.sumsPath, { force: true });
    }
  }
}

/** Removes what a copy left behind that was cut off. */
export function clearLeftovers(dir: string): void {
  const folder = folderOf(dir);
  if (!existsSync(folder)) return;
  const kept = new Set(listSnapshots(dir).flatMap(({ path, sumsPath }) => [path, sumsPath]));
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (!kept.has(path)) rmSync(path, { recursive: true });
  }
}

/** Makes names in a folder durable. */
export function syncFolder(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
