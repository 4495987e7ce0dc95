import { Duplex } from 'node:stream';
import { INITIAL_CREDIT_BYTES, MAX_DATA_BYTES, type TunnelFrame } from './frames.ts';

/** Room is announced in steps of this size: a credit frame per chunk would double the frames. */
const CREDIT_STEP_BYTES = INITIAL_CREDIT_BYTES / 4;

export interface TunnelStreamLink {
  /** Queues the frame; `sent` runs once it has left this process, or with an error. */
  send(frame: TunnelFrame, sent?: (err?: Error | null) => void): void;
  /** The stream is over: forget it. */
  onClosed(): void;
}

/**
 * One byte stream inside a tunnel. The sender never has more than its credit on the way, so a reader that does not read stops its own
 * stream, holds at most 256 KiB, and blocks no other stream of the session.
 */
export class TunnelStream extends Duplex {
  readonly #id: number;
  readonly #link: TunnelStreamLink;
  #sendCreditBytes = INITIAL_CREDIT_BYTES;
  #pendingWrite: (() => void) | undefined;
  /** Received and not yet asked for by the consumer. */
  readonly #received: Uint8Array[] = [];
  #receivedBytes = 0;
  #unannouncedBytes = 0;
  #hasDemand = false;
  #hasEnded = false;
  #isPeerGone = false;

  constructor(id: number, link: TunnelStreamLink) {
    super({ allowHalfOpen: true, readableHighWaterMark: MAX_DATA_BYTES, writableHighWaterMark: MAX_DATA_BYTES });
    this.#id = id;
    this.#link = link;
    // A tunnel breaks whenever it likes, also while nobody holds the stream yet or any more: that must not end the process.
    this.on('error', () => {});
  }

  /** Hands in a frame of this stream. Throws when the peer sends beyond its credit. */
  receive(frame: TunnelFrame): void {
    switch (frame.type) {
      case 'data':
        this.#receivedBytes += frame.bytes.length;
        if (this.#receivedBytes > INITIAL_CREDIT_BYTES) throw new Error('tunnel peer sent beyond its credit');
        this.#received.push(frame.bytes);
        this.#deliver();
        break;
      case 'credit':
        this.#sendCreditBytes += frame.bytes;
        this.#resumeWrite();
        break;
      case 'end':
        this.#hasEnded = true;
        this.#deliver();
        break;
      case 'reset':
        this.#onReset(frame.reason);
        break;
      default:
    }
  }

  /** The session broke: nothing can be told to the peer any more. */
  breakOff(err: Error): void {
    this.#isPeerGone = true;
    this.destroy(err);
  }

  override _read(): void {
    this.#hasDemand = true;
    this.#deliver();
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: (err?: Error | null) => void): void {
    this.#sendFrom(chunk, 0, done);
  }

  override _final(done: (err?: Error | null) => void): void {
    if (!this.#isPeerGone) this.#link.send({ type: 'end', stream: this.#id });
    done();
  }

  override _destroy(err: Error | null, done: (err?: Error | null) => void): void {
    const isComplete = this.#hasEnded && this.writableFinished;
    if (!this.#isPeerGone && !isComplete)
      this.#link.send({ type: 'reset', stream: this.#id, reason: err?.message ?? '' });
    this.#pendingWrite = undefined;
    this.#link.onClosed();
    done(err);
  }

  #deliver(): void {
    while (this.#hasDemand && this.#received.length > 0) {
      const chunk = this.#received.shift()!;
      this.#hasDemand = this.push(chunk);
      this.#announceRoom(chunk.length);
    }
    if (this.#hasEnded && this.#received.length === 0) this.push(null);
  }

  /** A peer that closed in order (no reason) has sent everything before: that is still read, only writing is over. */
  #onReset(reason: string): void {
    this.#isPeerGone = true;
    this.#link.onClosed();
    if (reason !== '') {
      this.destroy(new Error(reason));
      return;
    }
    this.#resumeWrite();
    this.once('end', () => this.destroy());
    this.#hasEnded = true;
    this.#deliver();
  }

  #sendFrom(chunk: Uint8Array, start: number, done: (err?: Error | null) => void): void {
    if (start >= chunk.length || this.#isPeerGone) {
      done();
      return;
    }
    const sizeBytes = Math.min(chunk.length - start, this.#sendCreditBytes, MAX_DATA_BYTES);
    if (sizeBytes === 0) {
      this.#pendingWrite = () => this.#sendFrom(chunk, start, done);
      return;
    }
    this.#sendCreditBytes -= sizeBytes;
    const bytes = chunk.subarray(start, start + sizeBytes);
    this.#link.send({ type: 'data', stream: this.#id, bytes }, (err) => {
      if (err) done(err);
      else this.#sendFrom(chunk, start + sizeBytes, done);
    });
  }

  #resumeWrite(): void {
    const resume = this.#pendingWrite;
    this.#pendingWrite = undefined;
    resume?.();
  }

  #announceRoom(readBytes: number): void {
    this.#receivedBytes -= readBytes;
    this.#unannouncedBytes += readBytes;
    if (this.#unannouncedBytes < CREDIT_STEP_BYTES || this.#isPeerGone) return;
    this.#link.send({ type: 'credit', stream: this.#id, bytes: this.#unannouncedBytes });
    this.#unannouncedBytes = 0;
  }
}
