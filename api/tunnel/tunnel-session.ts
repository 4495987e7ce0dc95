import type { Duplex } from 'node:stream';
import { joinStreams } from '#base/join-streams.ts';
import { decodeFrame, encodeFrame, type TunnelFrame, type TunnelTarget } from './frames.ts';
import { TunnelStream } from './tunnel-stream.ts';

export interface TunnelSessionOptions {
  /** Puts one message on the wire; `sent` runs when it has left this process. */
  readonly send: (message: Uint8Array, sent?: (err?: Error | null) => void) => void;
  /** Agent side: connects to the target or rejects with a reason that the caller may see. Absent = this side opens streams. */
  readonly connect?: (target: TunnelTarget, signal: AbortSignal) => Promise<Duplex>;
  /** A datagram for another node (controller side), or from one (agent side). The bytes are those of the message: copy what is kept. */
  readonly onPacket?: (node: string, bytes: Uint8Array) => void;
}

interface OpenRequest {
  readonly resolve: (stream: Duplex) => void;
  readonly reject: (err: Error) => void;
}

/** Streams at once on one tunnel; beyond it something leaks or attacks. */
const MAX_STREAMS = 4096;

/** Both ends of a tunnel: the streams over one message channel. Whoever owns the channel hands messages in and tells of its end. */
export class TunnelSession {
  readonly #options: TunnelSessionOptions;
  readonly #streams = new Map<number, TunnelStream>();
  readonly #opening = new Map<number, OpenRequest>();
  readonly #connecting = new Map<number, AbortController>();
  #nextStream = 1;
  #broken: Error | undefined;

  constructor(options: TunnelSessionOptions) {
    this.#options = options;
  }

  get streamCount(): number {
    return this.#streams.size + this.#opening.size + this.#connecting.size;
  }

  /** Controller side: a stream to the target, once the agent is connected; rejects with the agent's reason. */
  open(target: TunnelTarget, signal?: AbortSignal): Promise<Duplex> {
    if (this.#broken !== undefined) return Promise.reject(this.#broken);
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.streamCount >= MAX_STREAMS) return Promise.reject(new Error('too many streams on the tunnel'));
    const stream = this.#nextStream;
    this.#nextStream = this.#nextStream >= 0xffffffff ? 1 : this.#nextStream + 1;
    return new Promise<Duplex>((resolve, reject) => {
      const onAbort = () => {
        this.#opening.delete(stream);
        this.#send({ type: 'reset', stream, reason: '' });
        reject(signal?.reason);
      };
      const settle = () => signal?.removeEventListener('abort', onAbort);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#opening.set(stream, {
        resolve: (duplex) => {
          settle();
          resolve(duplex);
        },
        reject: (err) => {
          settle();
          reject(err);
        },
      });
      this.#send({ type: 'open', stream, target });
    });
  }

  sendPacket(node: string, bytes: Uint8Array): void {
    this.#send({ type: 'packet', stream: 0, node, bytes });
  }

  /** Throws when the peer breaks the format or its credit: close the channel then. */
  receive(message: Uint8Array): void {
    const frame = decodeFrame(message);
    if (frame === undefined) return;
    switch (frame.type) {
      case 'open':
        void this.#onOpen(frame.stream, frame.target);
        return;
      case 'opened':
        this.#onOpened(frame.stream);
        return;
      case 'reset':
        this.#onReset(frame.stream, frame.reason);
        return;
      case 'packet':
        this.#options.onPacket?.(frame.node, frame.bytes);
        return;
      default:
        // Frames of a stream that we reset meanwhile are still under way and mean nothing.
        this.#streams.get(frame.stream)?.receive(frame);
    }
  }

  /** The channel is gone: every stream fails with the reason. */
  close(reason: Error): void {
    if (this.#broken !== undefined) return;
    this.#broken = reason;
    for (const { reject } of this.#opening.values()) reject(reason);
    this.#opening.clear();
    for (const abort of this.#connecting.values()) abort.abort(reason);
    for (const stream of [...this.#streams.values()]) stream.breakOff(reason);
  }

  async #onOpen(stream: number, target: TunnelTarget): Promise<void> {
    const { connect } = this.#options;
    if (connect === undefined || this.streamCount >= MAX_STREAMS || this.#streams.has(stream)) {
      this.#send({ type: 'reset', stream, reason: 'stream refused' });
      return;
    }
    const abort = new AbortController();
    this.#connecting.set(stream, abort);
    try {
      const backend = await connect(target, abort.signal);
      if (abort.signal.aborted) {
        backend.destroy();
        return;
      }
      this.#send({ type: 'opened', stream });
      joinStreams(this.#addStream(stream), backend);
    } catch (err) {
      if (!abort.signal.aborted)
        this.#send({ type: 'reset', stream, reason: err instanceof Error ? err.message : String(err) });
    } finally {
      this.#connecting.delete(stream);
    }
  }

  #onOpened(stream: number): void {
    const request = this.#opening.get(stream);
    if (request === undefined) return;
    this.#opening.delete(stream);
    request.resolve(this.#addStream(stream));
  }

  #onReset(stream: number, reason: string): void {
    const request = this.#opening.get(stream);
    this.#opening.delete(stream);
    request?.reject(new Error(reason === '' ? 'the node closed the stream' : reason));
    this.#connecting.get(stream)?.abort();
    this.#streams.get(stream)?.receive({ type: 'reset', stream, reason });
  }

  #addStream(id: number): TunnelStream {
    const stream = new TunnelStream(id, {
      send: (frame, sent) => this.#send(frame, sent),
      onClosed: () => this.#streams.delete(id),
    });
    this.#streams.set(id, stream);
    return stream;
  }

  #send(frame: TunnelFrame, sent?: (err?: Error | null) => void): void {
    if (this.#broken !== undefined) sent?.(this.#broken);
    else this.#options.send(encodeFrame(frame), sent);
  }
}
