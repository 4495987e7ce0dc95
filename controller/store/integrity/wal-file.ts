/**
 * SQLite's write-ahead log, read by ourselves (https://sqlite.org/fileformat2.html#the_write_ahead_log): SQLite stops at the first frame that
 * does not fit and says nothing, which is right for a torn tail and wrong for frames that were durable once.
 */

const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
const MAGIC = 0x377f0682;

/** Names one generation of the log: SQLite draws new salts whenever it begins the file again. */
export interface WalSalts {
  readonly salt1: number;
  readonly salt2: number;
}

export interface WalScan extends WalSalts {
  readonly pageSize: number;
  /** Frames of the unbroken chain, up to its last commit: what SQLite will find. */
  readonly committedFrames: number;
  /** Size of the database after that commit, in pages; 0 without a commit. */
  readonly pageCount: number;
  /** Newest committed frame (from 1) of every page in the chain. */
  readonly frameOfPage: ReadonlyMap<number, number>;
  /**
   * A transaction lies behind the broken one. It was begun when that one was durable, so the disk has lost or changed what it had
   * promised to keep. (The frames of the last transaction alone may be torn and out of order.)
   */
  readonly hasFramesBehindBreak: boolean;
  /** Running checksum after a frame of the chain (from 1). */
  checksumOf(frame: number): readonly [number, number];
}

/** Undefined where there is no usable header: then SQLite ignores the file. */
export function scanWal(file: Uint8Array): WalScan | undefined {
  if (file.length < HEADER_BYTES) return undefined;
  // The checksum reads words, so the bytes must begin at a multiple of four.
  const bytes = file.byteOffset % 4 === 0 ? file : file.slice();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = view.getUint32(0);
  if ((magic & ~1) >>> 0 !== MAGIC) return undefined;
  const isBigEndian = (magic & 1) === 1;
  const pageSize = view.getUint32(8);
  if (pageSize < 512 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0) return undefined;
  const start = runChecksum(view, { from: 0, length: 24, isBigEndian, seed: [0, 0] });
  if (start[0] !== view.getUint32(24) || start[1] !== view.getUint32(28)) return undefined;
  return new Chain(view, pageSize, isBigEndian).scan();
}

/** Page numbers and contents of the first `frames` frames, newest first. */
export function* framesNewestFirst(
  file: Uint8Array,
  pageSize: number,
  frames: number,
): Generator<{ readonly page: number; readonly content: Uint8Array }, void, undefined> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let frame = frames; frame >= 1; frame--) {
    const at = frameOffset(frame, pageSize);
    const content = file.subarray(at + FRAME_HEADER_BYTES, at + FRAME_HEADER_BYTES + pageSize);
    yield { page: view.getUint32(at), content };
  }
}

const frameOffset = (frame: number, pageSize: number) => HEADER_BYTES + (frame - 1) * (FRAME_HEADER_BYTES + pageSize);

class Chain {
  readonly #view: DataView;
  readonly #pageSize: number;
  readonly #isBigEndian: boolean;

  constructor(view: DataView, pageSize: number, isBigEndian: boolean) {
    this.#view = view;
    this.#pageSize = pageSize;
    this.#isBigEndian = isBigEndian;
  }

  scan(): WalScan {
    const frameBytes = FRAME_HEADER_BYTES + this.#pageSize;
    const total = Math.floor((this.#view.byteLength - HEADER_BYTES) / frameBytes);
    const frameOfPage = new Map<number, number>();
    let sinceCommit: [number, number][] = [];
    let committedFrames = 0;
    let pageCount = 0;
    let frame = 1;
    for (; frame <= total && this.#fits(frame); frame++) {
      const at = frameOffset(frame, this.#pageSize);
      sinceCommit.push([this.#view.getUint32(at), frame]);
      const sizeAfterCommit = this.#view.getUint32(at + 4);
      if (sizeAfterCommit === 0) continue;
      for (const [page, newest] of sinceCommit) frameOfPage.set(page, newest);
      sinceCommit = [];
      committedFrames = frame;
      pageCount = sizeAfterCommit;
    }
    return {
      salt1: this.#view.getUint32(16),
      salt2: this.#view.getUint32(20),
      pageSize: this.#pageSize,
      committedFrames,
      pageCount,
      frameOfPage,
      hasFramesBehindBreak: this.#hasTransactionAfter(frame, total),
      checksumOf: (of) => this.#storedChecksum(of),
    };
  }

  /** Whether the frame follows from the one before it: its checksum runs on from there. */
  #fits(frame: number): boolean {
    const at = frameOffset(frame, this.#pageSize);
    if (this.#view.getUint32(at) === 0 || !this.#hasOurSalts(frame)) return false;
    const isBigEndian = this.#isBigEndian;
    const seed = this.#storedChecksum(frame - 1);
    const overHeader = runChecksum(this.#view, { from: at, length: 8, isBigEndian, seed });
    const from = at + FRAME_HEADER_BYTES;
    const sum = runChecksum(this.#view, { from, length: this.#pageSize, isBigEndian, seed: overHeader });
    const stored = this.#storedChecksum(frame);
    return sum[0] === stored[0] && sum[1] === stored[1];
  }

  #hasOurSalts(frame: number): boolean {
    const at = frameOffset(frame, this.#pageSize);
    return (
      this.#view.getUint32(at + 8) === this.#view.getUint32(16) &&
      this.#view.getUint32(at + 12) === this.#view.getUint32(20)
    );
  }

  /** Frame 0 is the file's header. */
  #storedChecksum(frame: number): readonly [number, number] {
    const at = frame === 0 ? 24 : frameOffset(frame, this.#pageSize) + 16;
    return [this.#view.getUint32(at), this.#view.getUint32(at + 4)];
  }

  /** Looks for a sound frame behind a commit behind (or at) the break. */
  #hasTransactionAfter(broken: number, total: number): boolean {
    let sawCommit = false;
    for (let frame = broken; frame <= total; frame++) {
      if (!this.#hasOurSalts(frame)) continue;
      if (sawCommit && this.#fits(frame)) return true;
      if (this.#view.getUint32(frameOffset(frame, this.#pageSize) + 4) !== 0) sawCommit = true;
    }
    return false;
  }
}

/** SQLite's running checksum over 32-bit words. `length` is a multiple of eight. */
function runChecksum(
  view: DataView,
  part: {
    readonly from: number;
    readonly length: number;
    readonly isBigEndian: boolean;
    readonly seed: readonly [number, number];
  },
): readonly [number, number] {
  let [first, second] = part.seed;
  const end = part.from + part.length;
  for (let at = part.from; at < end; at += 8) {
    first = (first + view.getUint32(at, !part.isBigEndian) + second) | 0;
    second = (second + view.getUint32(at + 4, !part.isBigEndian) + first) | 0;
  }
  return [first >>> 0, second >>> 0];
}
