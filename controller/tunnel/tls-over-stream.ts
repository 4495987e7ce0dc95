import { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';

/**
 * TLS, from the client's side, over a connection that is open already; ending it ends that one too. Node's TLS forgets what it has decrypted
 * and nobody has read yet when a stream below it closes, and the stream of a tunnel closes with the end of what it has: the last words of
 * whoever says a lot and goes would not reach a reader that is slower.
 */
export function tlsOverStream(raw: Duplex, options: Omit<ConnectionOptions, 'socket'>): TLSSocket {
  // The kernel's sockets are read by TLS itself, and close after it.
  return connect({ ...options, socket: raw instanceof Socket ? raw : new OpenUntilDestroyed(raw) });
}

/** The stream below, apart from its close: it has ended then, which is all that TLS may see. */
class OpenUntilDestroyed extends Duplex {
  readonly #raw: Duplex;

  constructor(raw: Duplex) {
    super({ autoDestroy: false });
    this.#raw = raw;
    raw.on('data', (chunk) => {
      if (!this.push(chunk)) raw.pause();
    });
    raw.once('end', () => this.push(null));
    raw.once('error', (err) => this.destroy(err));
    raw.once('close', () => {
      if (!raw.readableEnded) this.destroy();
    });
    raw.pause();
    // It may have broken before it came here, and says so only once.
    if (raw.destroyed) this.destroy(raw.errored ?? undefined);
  }

  override _read(): void {
    this.#raw.resume();
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: (err?: Error | null) => void): void {
    // Who has closed reads no more, and is still to be heard to the end.
    if (this.#raw.destroyed || this.#raw.writableEnded) done();
    else this.#raw.write(chunk, done);
  }

  override _final(done: (err?: Error | null) => void): void {
    this.#raw.end();
    done();
  }

  override _destroy(err: Error | null, done: (err?: Error | null) => void): void {
    this.#raw.destroy(err ?? undefined);
    done(err);
  }
}
