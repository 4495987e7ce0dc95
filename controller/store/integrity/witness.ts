import { closeSync, existsSync, fsyncSync, openSync, writeFileSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { crc32 } from 'node:zlib';
import { type CommitMark, createMarkFile, MarkFile, type MarksOnDisk, WalIndexReader } from './commit-mark.ts';
import { databasePath } from './inspect.ts';
import { encodePageSums, type PageSums, readIfThere, sumPages, sumsPath } from './page-sums.ts';
import { SnapshotCopy, syncFolder } from './snapshots.ts';
import { framesNewestFirst } from './wal-file.ts';

/** The WAL is folded into the file once it has so many frames (4 MB), as SQLite does by default. */
const FOLD_FRAMES = 1000;

const BLANK: CommitMark = {
  isNew: true,
  salt1: 0,
  salt2: 0,
  frames: 0,
  checksum: [0, 0],
  foldedFrames: 0,
  sumsVersion: 0,
  revision: 0,
  reserved: 0,
};

export interface WitnessOptions {
  readonly dir: string;
  /** Open, in WAL mode, with `wal_autocheckpoint = 0`: the file changes only here. */
  readonly db: DatabaseSync;
  readonly marks: MarksOnDisk;
  /** In force; undefined: the file is to be taken as it is (`adopt`). */
  readonly sums: PageSums | undefined;
  /** Makes a file durable; tests put a slow disk in its place. */
  readonly sync?: (fd: number) => void;
}

/** What the database holds, as the mark says it. */
export interface Progress {
  /** Newest durable revision. */
  readonly revision: number;
  readonly reserved: number;
}

/** Tells the next start that a store is being made: what it then finds half made is no loss. */
export function markAsNew(dir: string, marks: MarksOnDisk): void {
  if (!marks.isFileThere) createMarkFile(dir, BLANK);
  else {
    const file = new MarkFile(dir, marks);
    file.write(BLANK, 'synced');
    file.close();
  }
  syncFolder(dir);
}

/**
 * Keeps the evidence that lets `judge` tell lost bytes from bytes that were never promised. Each commit leaves a mark, without an fsync of
 * its own. Folding the WAL into the file (a checkpoint) goes: sums of the file to be, synced; a mark that says so, synced; then
 * SQLite's checkpoint. The first commit of a new WAL is marked with an fsync before anybody is told of it.
 */
export class Witness {
  readonly #options: WitnessOptions;
  readonly #sync: (fd: number) => void;
  readonly #marks: MarkFile;
  readonly #index: WalIndexReader;
  /** For reading alone; closed after the database, because closing any descriptor of a file drops the process's locks on it. */
  readonly #fd: number;
  #mark: CommitMark;
  #sums: PageSums;
  /** A fold that was in the way of a reader is tried again later than this. */
  #foldAfter = FOLD_FRAMES;

  constructor(options: WitnessOptions) {
    const { dir, marks, sync = fsyncSync } = options;
    this.#options = options;
    this.#sync = sync;
    this.#marks = new MarkFile(dir, marks, sync);
    this.#index = new WalIndexReader(databasePath(dir));
    this.#fd = openSync(databasePath(dir), 'r');
    this.#mark = marks.mark ?? BLANK;
    this.#sums = options.sums ?? {
      version: this.#mark.sumsVersion,
      pageSize: 4096,
      revision: 0,
      sums: new Uint32Array(),
    };
  }

  /** Sums of the file as it stands after the last complete fold. */
  get sums(): PageSums {
    return this.#sums;
  }

  /** After a commit, before anybody is told of it. */
  committed({ revision, reserved }: Progress): void {
    const position = this.#index.read();
    const { salt1, salt2, frames, checksum } = position;
    const isNewGeneration = salt1 !== this.#mark.salt1 || salt2 !== this.#mark.salt2;
    const foldedFrames = isNewGeneration ? 0 : this.#mark.foldedFrames;
    const { sumsVersion } = this.#mark;
    this.#mark = { isNew: false, salt1, salt2, frames, checksum, foldedFrames, sumsVersion, revision, reserved };
    if (isNewGeneration) this.#foldAfter = FOLD_FRAMES;
    this.#marks.write(this.#mark, isNewGeneration ? 'synced' : 'unsynced');
  }

  get isFoldDue(): boolean {
    return this.#mark.frames - this.#mark.foldedFrames >= this.#foldAfter;
  }

  /** Makes the mark of the last commit durable: when there is nothing else to do. */
  rest(): void {
    this.#marks.sync();
  }

  /** Brings the WAL into the file; false where a reader was in the way. `truncate`: the WAL is empty after it. */
  fold(progress: Progress, how: 'keep' | 'truncate' = 'keep'): boolean {
    const { dir, db } = this.#options;
    const { salt1, salt2, frames, checksum, pageCount } = this.#index.read();
    const isGenerationKnown = salt1 === this.#mark.salt1 && salt2 === this.#mark.salt2;
    if (frames > 0 && !(isGenerationKnown && frames === this.#mark.foldedFrames)) {
      const { version, pageSize } = this.#sums;
      const sums = sumsAfter(this.#sums.sums, { dir, pageSize, frames, pageCount });
      this.#writeSums({ version: version + 1, pageSize, revision: progress.revision, sums });
      const sumsVersion = this.#sums.version;
      this.#mark = { isNew: false, salt1, salt2, frames, checksum, foldedFrames: frames, sumsVersion, ...progress };
      this.#marks.write(this.#mark, 'synced');
    }
    const isFolded = checkpoint(db, how);
    this.#foldAfter = FOLD_FRAMES;
    return isFolded;
  }

  /** Takes the file as it is: a new store, one of an older build, or one that was recovered. */
  adopt(progress: Progress): void {
    const { dir, db } = this.#options;
    if (!checkpoint(db, 'truncate')) throw new Error('the store could not be folded: something else reads it');
    const pageSize = db.prepare('PRAGMA page_size').get()?.page_size as number;
    const version = Math.max(this.#mark.sumsVersion, this.#sums.version) + 1;
    this.#writeSums({ version, pageSize, revision: progress.revision, sums: sumPages(this.#fd, pageSize) });
    this.#sync(this.#fd);
    syncFolder(dir);
    this.#mark = { ...BLANK, isNew: false, sumsVersion: version, ...progress };
    this.#marks.write(this.#mark, 'synced');
  }

  /** Begins a copy of the file; nothing may be folded until it is done. Undefined where the file does not stand still now. */
  copy(progress: Progress, nowMs: number): SnapshotCopy | undefined {
    if (!this.fold(progress)) return undefined;
    return new SnapshotCopy({ dir: this.#options.dir, fd: this.#fd, sums: this.#sums, nowMs });
  }

  /** After the database was closed. */
  close(): void {
    this.#marks.sync();
    this.#marks.close();
    this.#index.close();
    closeSync(this.#fd);
  }

  /** Over the older of the two files. */
  #writeSums(sums: PageSums): void {
    const { dir } = this.#options;
    const path = sumsPath(dir, sums.version);
    const isNew = !existsSync(path);
    const fd = openSync(path, 'w', 0o600);
    try {
      writeFileSync(fd, encodePageSums(sums));
      this.#sync(fd);
    } finally {
      closeSync(fd);
    }
    // The mark must not name a file whose name a power cut may take away.
    if (isNew) syncFolder(dir);
    this.#sums = sums;
  }
}

/** Sums of the file once the frames are in it. */
function sumsAfter(
  before: Uint32Array,
  wal: { readonly dir: string; readonly pageSize: number; readonly frames: number; readonly pageCount: number },
): Uint32Array {
  const sums = new Uint32Array(wal.pageCount);
  sums.set(before.subarray(0, wal.pageCount));
  const file = readIfThere(`${databasePath(wal.dir)}-wal`);
  if (file === undefined) throw new Error('state.db-wal is gone');
  const seen = new Set<number>();
  for (const { page, content } of framesNewestFirst(file, wal.pageSize, wal.frames)) {
    if (seen.has(page)) continue;
    seen.add(page);
    if (page <= sums.length) sums[page - 1] = crc32(content);
  }
  return sums;
}

/** True once everything is in the file. */
function checkpoint(db: DatabaseSync, how: 'keep' | 'truncate'): boolean {
  const mode = how === 'truncate' ? 'TRUNCATE' : 'PASSIVE';
  const row = db.prepare(`PRAGMA wal_checkpoint(${mode})`).get();
  return row?.busy === 0 && row.log === row.checkpointed;
}
