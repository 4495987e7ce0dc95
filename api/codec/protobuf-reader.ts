import { BYTES, FIXED64, VARINT } from './protobuf-writer.ts';

/** Thrown for bytes that are no protobuf; the message says what is wrong. */
export class ProtobufError extends Error {
  override readonly name = 'ProtobufError';
}

const FIXED32 = 5;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Reads the fields of one message; nested messages get a reader of their own over the same bytes. */
export class ProtobufReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;
  /** Of the field that `next` stands on. */
  field = 0;
  wireType = 0;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  /** Moves on to the next field; false at the end of the message. */
  next(): boolean {
    if (this.#at >= this.#end) return false;
    const tag = this.#varint();
    this.field = Math.floor(tag / 8);
    this.wireType = tag % 8;
    if (this.field === 0) throw new ProtobufError('illegal tag 0');
    return true;
  }

  /** A signed integer. Throws beyond 2^53: such values lose digits in JSON. */
  integer(): number {
    this.#expect(VARINT);
    const start = this.#at;
    const value = this.#varint();
    if (Number.isSafeInteger(value)) return value;
    const signed = Number(BigInt.asIntN(64, this.#bigVarint(start)));
    if (!Number.isSafeInteger(signed)) throw new ProtobufError('integer beyond 2^53');
    return signed;
  }

  /** The nearest double of a signed integer: for nanoseconds since 1970, whose last few hundred do not matter. */
  nearestSigned(): number {
    this.#expect(VARINT);
    const start = this.#at;
    const value = this.#varint();
    return value < 2 ** 63 ? value : Number(BigInt.asIntN(64, this.#bigVarint(start)));
  }

  nearestUnsigned(): number {
    this.#expect(VARINT);
    return this.#varint();
  }

  double(): number {
    this.#expect(FIXED64);
    const start = this.#take(8);
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + start, 8).getFloat64(0, true);
  }

  text(): string {
    const bytes = this.bytes();
    try {
      return utf8.decode(bytes);
    } catch (err) {
      throw new ProtobufError('string field contains invalid UTF-8', { cause: err });
    }
  }

  /** A view, not a copy. */
  bytes(): Uint8Array {
    this.#expect(BYTES);
    const length = this.#varint();
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  message(): ProtobufReader {
    this.#expect(BYTES);
    const length = this.#varint();
    const start = this.#take(length);
    return new ProtobufReader(this.#bytes, start, start + length);
  }

  /** The numbers of a packed list; this reader stands at the beginning of its content. */
  packedIntegers(): number[] {
    return this.packed(() => this.integer());
  }

  /** The same for what else travels as a number. */
  packed<T>(readOne: () => T): T[] {
    const values: T[] = [];
    this.wireType = VARINT;
    while (this.#at < this.#end) values.push(readOne());
    return values;
  }

  skip(): void {
    switch (this.wireType) {
      case VARINT:
        this.#varint();
        break;
      case FIXED64:
        this.#take(8);
        break;
      case BYTES:
        this.#take(this.#varint());
        break;
      case FIXED32:
        this.#take(4);
        break;
      default:
        throw new ProtobufError(`illegal wireType ${this.wireType}`);
    }
  }

  #expect(wireType: number): void {
    if (this.wireType !== wireType)
      throw new ProtobufError(`wrong wireType = ${this.wireType} for field ${this.field}`);
  }

  #take(bytes: number): number {
    const start = this.#at;
    if (bytes > this.#end - start) throw new ProtobufError('unexpected EOF');
    this.#at = start + bytes;
    return start;
  }

  /** Exact up to 2^53; beyond that an approximation that `integer` notices. */
  #varint(): number {
    let value = 0;
    let factor = 1;
    for (let index = 0; index < 10; index++) {
      if (this.#at >= this.#end) throw new ProtobufError('unexpected EOF');
      const byte = this.#bytes[this.#at++]!;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 0x80;
    }
    throw new ProtobufError('integer overflow');
  }

  #bigVarint(start: number): bigint {
    let value = 0n;
    for (let at = start, shift = 0n; at < this.#at; at++, shift += 7n)
      value |= BigInt(this.#bytes[at]! & 0x7f) << shift;
    return value;
  }
}
