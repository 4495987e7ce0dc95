/** A body whose pieces lie in memory already, each where it was: a long list of stored objects. */
export interface PiecedBody {
  readonly pieces: readonly Uint8Array[];
  /** Of all of them together. */
  readonly byteLength: number;
  /** To be awaited between two writes where it answers a promise, so that others have their turn. */
  pause(): Promise<void> | undefined;
}

/** All of it at once, for who cannot take it piece by piece. */
export function joinPieces({ pieces, byteLength }: PiecedBody): Uint8Array {
  // Every byte is written: there is no need to clear megabytes first.
  const whole = Buffer.allocUnsafeSlow(byteLength);
  new PieceReader(pieces).read(whole);
  return whole;
}

/** Copies pieces one behind the other into buffers of any size. */
export class PieceReader {
  readonly #pieces: readonly Uint8Array[];
  #next = 0;
  /** Bytes of the next piece that were read before. */
  #offset = 0;

  constructor(pieces: readonly Uint8Array[]) {
    this.#pieces = pieces;
  }

  /** Fills `target` as far as there is something left; answers how far. */
  read(target: Uint8Array): number {
    let at = 0;
    while (this.#next < this.#pieces.length && at < target.byteLength) {
      const piece = this.#pieces[this.#next]!;
      const left = piece.byteLength - this.#offset;
      const room = target.byteLength - at;
      if (left <= room) {
        target.set(this.#offset === 0 ? piece : piece.subarray(this.#offset), at);
        at += left;
        this.#next += 1;
        this.#offset = 0;
      } else {
        target.set(piece.subarray(this.#offset, this.#offset + room), at);
        at += room;
        this.#offset += room;
      }
    }
    return at;
  }
}
