/** Takes pieces of wanted lengths from a stream of pieces of any length. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #pieces: Uint8Array[] = [];
  #buffered = 0;
  #isEnded = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** `length` bytes, or what is left. */
  async upTo(length: number): Promise<Uint8Array> {
    while (this.#buffered < length && !this.#isEnded) await this.#fill();
    return this.#take(Math.min(length, this.#buffered));
  }

  async isAtEnd(): Promise<boolean> {
    while (this.#buffered === 0 && !this.#isEnded) await this.#fill();
    return this.#buffered === 0;
  }

  /** Text up to the next line feed, without it; undefined where the stream ends first, or the line is too long. */
  async line(maxBytes: number): Promise<string | undefined> {
    for (;;) {
      const at = this.#joined().indexOf(0x0a);
      if (at >= 0) return Buffer.from(this.#take(at + 1)).toString('utf8', 0, at);
      if (this.#buffered > maxBytes || this.#isEnded) return undefined;
      await this.#fill();
    }
  }

  async #fill(): Promise<void> {
    const { value, done } = await this.#source.next();
    if (done === true) {
      this.#isEnded = true;
      return;
    }
    this.#pieces.push(value);
    this.#buffered += value.length;
  }

  #joined(): Uint8Array {
    if (this.#pieces.length !== 1) this.#pieces = [Buffer.concat(this.#pieces)];
    return this.#pieces[0]!;
  }

  #take(length: number): Uint8Array {
    const first = this.#pieces[0];
    const whole = first !== undefined && first.length >= length ? first : this.#joined();
    const taken = whole.subarray(0, length);
    this.#pieces[0] = whole.subarray(length);
    if (this.#pieces[0].length === 0) this.#pieces.shift();
    this.#buffered -= length;
    return taken;
  }
}
