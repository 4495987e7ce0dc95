import { closeSync, fsyncSync, openSync, readSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { WalSalts } from './wal-file.ts';

/** How far commits have come: the evidence, kept apart from the WAL, that its frames were there. */
export interface CommitMark extends WalSalts {
  /** The store is being made (or taken over from a build without marks): nothing was acknowledged yet. */
  readonly isNew: boolean;
  /** Frames of this generation that hold acknowledged commits, and the running checksum of the last of them. */
  readonly frames: number;
  readonly checksum: readonly [number, number];
  /** So many frames of this generation are, or are just being, folded into the database file; 0: the file is as the sums say. */
  readonly foldedFrames: number;
  /** Version of the page sums in force. */
  readonly sumsVersion: number;
  /** Newest acknowledged revision. */
  readonly revision: number;
  /** No revision up to this one is given out again. */
  readonly reserved: number;
}

export interface MarksOnDisk {
  /** The newest sound one. */
  readonly mark: CommitMark | undefined;
  readonly sequence: number;
  /** 0 or 1: where it stands. */
  readonly slot: number;
  readonly isFileThere: boolean;
  /** A record lies within one sector, which a disk writes whole or not at all: such a slot was destroyed, or a part of it was cut off. */
  readonly garbledSlots: number;
}

export const markPath = (dir: string) => join(dir, 'state.mark');

const MAGIC = 0x314b524d;
const RECORD_BYTES = 80;
/** Far enough apart that one torn sector or page never takes both. */
const SLOT_BYTES = 4096;

function encode(mark: CommitMark, sequence: number, into: DataView): void {
  into.setUint32(0, MAGIC, true);
  into.setUint32(4, mark.isNew ? 1 : 0, true);
  into.setFloat64(8, sequence, true);
  into.setUint32(16, mark.salt1, true);
  into.setUint32(20, mark.salt2, true);
  into.setUint32(24, mark.frames, true);
  into.setUint32(28, mark.checksum[0], true);
  into.setUint32(32, mark.checksum[1], true);
  into.setUint32(36, mark.foldedFrames, true);
  into.setUint32(40, mark.sumsVersion, true);
  into.setFloat64(48, mark.revision, true);
  into.setFloat64(56, mark.reserved, true);
  into.setUint32(RECORD_BYTES - 4, crc32(new Uint8Array(into.buffer, into.byteOffset, RECORD_BYTES - 4)), true);
}

function decode(view: DataView): { readonly mark: CommitMark; readonly sequence: number } | undefined {
  if (view.getUint32(0, true) !== MAGIC) return undefined;
  const crc = crc32(new Uint8Array(view.buffer, view.byteOffset, RECORD_BYTES - 4));
  if (crc !== view.getUint32(RECORD_BYTES - 4, true)) return undefined;
  const mark: CommitMark = {
    isNew: view.getUint32(4, true) === 1,
    salt1: view.getUint32(16, true),
    salt2: view.getUint32(20, true),
    frames: view.getUint32(24, true),
    checksum: [view.getUint32(28, true), view.getUint32(32, true)],
    foldedFrames: view.getUint32(36, true),
    sumsVersion: view.getUint32(40, true),
    revision: view.getFloat64(48, true),
    reserved: view.getFloat64(56, true),
  };
  return { mark, sequence: view.getFloat64(8, true) };
}

export function decodeMarks(file: Uint8Array | undefined): MarksOnDisk {
  let newest: { readonly mark: CommitMark; readonly sequence: number; readonly slot: number } | undefined;
  let garbledSlots = 0;
  for (const slot of [0, 1]) {
    const bytes = new Uint8Array(RECORD_BYTES);
    bytes.set(file?.subarray(slot * SLOT_BYTES, slot * SLOT_BYTES + RECORD_BYTES) ?? []);
    const found = decode(new DataView(bytes.buffer));
    if (found !== undefined && found.sequence > (newest?.sequence ?? 0)) newest = { ...found, slot };
    // Zeros stand in for what was cut off, and may be what stood there: then the record can be used, but the disk has lost a part of it.
    const isCutOff = file !== undefined && file.length < slot * SLOT_BYTES + RECORD_BYTES;
    if (isCutOff || (found === undefined && file !== undefined)) garbledSlots += 1;
  }
  return {
    mark: newest?.mark,
    sequence: newest?.sequence ?? 0,
    slot: newest?.slot ?? 1,
    isFileThere: file !== undefined,
    garbledSlots,
  };
}

/**
 * Makes the file with its first mark, whole or not at all: one that came into being bit by bit would, after a power cut, look like one that was
 * garbled. The caller syncs the folder.
 */
export function createMarkFile(dir: string, mark: CommitMark): void {
  const file = new Uint8Array(SLOT_BYTES + RECORD_BYTES);
  // The second slot is older than any: so that a blank one is a destroyed one.
  for (const slot of [0, 1]) encode(mark, 1 - slot, new DataView(file.buffer, slot * SLOT_BYTES, RECORD_BYTES));
  const temporary = `${markPath(dir)}.tmp`;
  writeFileSync(temporary, file, { mode: 0o600, flush: true });
  renameSync(temporary, markPath(dir));
}

/**
 * The file with the mark, in two slots. The newest mark that was synced is never written over: later ones go to the other slot, without an
 * fsync each, until one of them is synced in its turn. So whatever an honest disk loses, one sound mark remains; and what a killed
 * process wrote is in the page cache.
 */
export class MarkFile {
  readonly #fd: number;
  readonly #sync: (fd: number) => void;
  readonly #record = new DataView(new ArrayBuffer(RECORD_BYTES));
  readonly #bytes = new Uint8Array(this.#record.buffer);
  #sequence: number;
  #syncedSlot: number;
  #isDirty = false;

  constructor(dir: string, found: MarksOnDisk, sync: (fd: number) => void = fsyncSync) {
    this.#sync = sync;
    this.#fd = openSync(markPath(dir), found.isFileThere ? 'r+' : 'w+', 0o600);
    this.#sequence = found.sequence;
    this.#syncedSlot = found.slot;
    // The mark found may be one that only the page cache holds.
    if (found.isFileThere) this.#sync(this.#fd);
  }

  /** `synced`: durable when this returns. */
  write(mark: CommitMark, how: 'synced' | 'unsynced'): void {
    const slot = 1 - this.#syncedSlot;
    this.#sequence += 1;
    encode(mark, this.#sequence, this.#record);
    writeSync(this.#fd, this.#bytes, 0, RECORD_BYTES, slot * SLOT_BYTES);
    this.#isDirty = true;
    if (how === 'synced') this.sync();
  }

  /** Makes the newest mark durable. */
  sync(): void {
    if (!this.#isDirty) return;
    this.#sync(this.#fd);
    this.#syncedSlot = 1 - this.#syncedSlot;
    this.#isDirty = false;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** What SQLite's shared memory says of the WAL after a commit. */
export interface WalPosition extends WalSalts {
  readonly frames: number;
  readonly pageCount: number;
  readonly checksum: readonly [number, number];
}

/** Reads `<database>-shm` (https://sqlite.org/walformat.html), which costs one system call. Close it after the database, never before: its locks would go. */
export class WalIndexReader {
  readonly #fd: number;
  readonly #bytes = new Uint8Array(48);
  /** SQLite writes the index in the byte order of the machine, and the salts as they stand in the file. */
  readonly #words = new Uint32Array(this.#bytes.buffer);
  readonly #view = new DataView(this.#bytes.buffer);

  constructor(databasePath: string) {
    this.#fd = openSync(`${databasePath}-shm`, 'r');
  }

  read(): WalPosition {
    readSync(this.#fd, this.#bytes, 0, 48, 0);
    return {
      frames: this.#words[4]!,
      pageCount: this.#words[5]!,
      checksum: [this.#words[6]!, this.#words[7]!],
      salt1: this.#view.getUint32(32),
      salt2: this.#view.getUint32(36),
    };
  }

  close(): void {
    closeSync(this.#fd);
  }
}
