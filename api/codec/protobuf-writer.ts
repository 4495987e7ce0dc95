/** Wire types of protobuf. */
export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;

const INITIAL_BYTES = 4096;

/**
 * Writes protobuf backwards, last field first, so that the length of a nested message is known when its head is written:
 * one buffer, no copies. `mark` is taken before a message's content, `closeMessage` writes length and tag before it.
 */
export class ProtobufWriter {
  #buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  /** Everything from here to the end is written. */
  #start = INITIAL_BYTES;

  /** Bytes written so far. */
  get mark(): number {
    return this.#buffer.length - this.#start;
  }

  /** A copy with an ArrayBuffer of its own. */
  finish(): Uint8Array {
    return Uint8Array.prototype.slice.call(this.#buffer, this.#start);
  }

  closeMessage(field: number, mark: number): void {
    this.#varint(this.mark - mark);
    this.#tag(field, BYTES);
  }

  text(field: number, value: string): void {
    const length = Buffer.byteLength(value);
    this.#reserve(length);
    this.#start -= length;
    this.#buffer.write(value, this.#start, length, 'utf8');
    this.#varint(length);
    this.#tag(field, BYTES);
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#start -= bytes.length;
    this.#buffer.set(bytes, this.#start);
  }

  bytes(field: number, value: Uint8Array): void {
    this.raw(value);
    this.#varint(value.length);
    this.#tag(field, BYTES);
  }

  /** int32, int64 and bool; negative numbers take ten bytes, as protobuf wants it. */
  integer(field: number, value: number): void {
    this.#varint(value);
    this.#tag(field, VARINT);
  }

  double(field: number, value: number): void {
    this.#reserve(8);
    this.#start -= 8;
    this.#buffer.writeDoubleLE(value, this.#start);
    this.#tag(field, FIXED64);
  }

  #tag(field: number, wireType: number): void {
    this.#varint(field * 8 + wireType);
  }

  #varint(value: number): void {
    this.#reserve(10);
    if (value < 0) {
      this.#negative(BigInt.asUintN(64, BigInt(value)));
      return;
    }
    let length = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length++;
    this.#start -= length;
    let rest = value;
    for (let index = 0; index < length; index++) {
      this.#buffer[this.#start + index] = (rest % 0x80) | (index < length - 1 ? 0x80 : 0);
      rest = Math.floor(rest / 0x80);
    }
  }

  #negative(value: bigint): void {
    this.#start -= 10;
    let rest = value;
    for (let index = 0; index < 10; index++) {
      this.#buffer[this.#start + index] = Number(rest & 0x7fn) | (index < 9 ? 0x80 : 0);
      rest >>= 7n;
    }
  }

  #reserve(bytes: number): void {
    if (this.#start >= bytes) return;
    const written = this.#buffer.length - this.#start;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, written + bytes));
    this.#buffer.copy(larger, larger.length - written, this.#start);
    this.#start = larger.length - written;
    this.#buffer = larger;
  }
}
