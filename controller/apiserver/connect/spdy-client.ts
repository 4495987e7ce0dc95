import type { Duplex } from 'node:stream';
import { encodeDataHeader, encodePing, encodeSynStream, type SpdyEvent, SpdyParser } from './spdy-frames.ts';

export interface SpdyHandlers {
  onData(stream: number, bytes: Uint8Array): void;
  /** The peer sends no more on this stream (or reset it). */
  onEnd(stream: number): void;
  /** The connection is over; `err` when it broke. */
  onClose(err: Error | undefined): void;
}

/** Bytes of one frame: its length has 24 bits, and small frames let streams take turns. */
const MAX_FRAME_BYTES = 32 * 1024;

/** A SPDY/3.1 connection after the upgrade, from the client's side. Streams are opened here only. */
export class SpdyConnection {
  readonly #socket: Duplex;
  readonly #handlers: SpdyHandlers;
  readonly #parser = new SpdyParser();
  #nextStream = 1;
  #isClosed = false;

  /** `head` is what came together with the answer to the upgrade. */
  constructor(socket: Duplex, head: Uint8Array, handlers: SpdyHandlers) {
    this.#socket = socket;
    this.#handlers = handlers;
    socket.on('data', (chunk: Buffer) => this.#onBytes(chunk));
    socket.on('error', (err) => this.#close(err));
    socket.on('close', () => this.#close(undefined));
    socket.on('end', () => socket.end());
    if (head.length > 0) this.#onBytes(head);
  }

  openStream(headers: Readonly<Record<string, string>>): number {
    const stream = this.#nextStream;
    this.#nextStream += 2;
    this.#socket.write(encodeSynStream(stream, headers, stream === 1));
    return stream;
  }

  /** False when the socket is full: wait for `drained`. */
  send(stream: number, bytes: Uint8Array): boolean {
    let hasRoom = true;
    for (let start = 0; start < bytes.length; start += MAX_FRAME_BYTES) {
      const part = bytes.subarray(start, start + MAX_FRAME_BYTES);
      this.#socket.write(encodeDataHeader(stream, part.length, false));
      hasRoom = this.#socket.write(part);
    }
    return hasRoom;
  }

  endStream(stream: number): void {
    this.#socket.write(encodeDataHeader(stream, 0, true));
  }

  /** Resolves when the socket takes more, or is gone. */
  drained(): Promise<void> {
    if (!this.#socket.writableNeedDrain || this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => {
      const settle = () => {
        this.#socket.off('drain', settle);
        this.#socket.off('close', settle);
        resolve();
      };
      this.#socket.once('drain', settle);
      this.#socket.once('close', settle);
    });
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.destroy();
  }

  #onBytes(chunk: Uint8Array): void {
    try {
      for (const event of this.#parser.push(chunk)) this.#onEvent(event);
    } catch (err) {
      this.#socket.destroy(err as Error);
    }
  }

  #onEvent(event: SpdyEvent): void {
    switch (event.type) {
      case 'data':
        this.#handlers.onData(event.stream, event.bytes);
        break;
      case 'end':
      case 'reset':
        this.#handlers.onEnd(event.stream);
        break;
      case 'ping':
        this.#socket.write(encodePing(event.id));
        break;
      case 'goAway':
        break;
    }
  }

  #close(err: Error | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#handlers.onClose(err);
  }
}
