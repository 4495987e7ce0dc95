import type { MessagePort } from 'node:worker_threads';
import { type Clock, systemClock } from '#base/clock.ts';
import { ChunkQueue } from './chunk-queue.ts';
import { INITIAL_WINDOW_BYTES, type ToClient, type ToServer } from './port-protocol.ts';
import { type Transport, TransportError, type TransportRequest, type TransportResponse } from './transport.ts';

/** Credit is given back in lumps, so that small chunks do not cost a message each; well below the window, so that it never runs dry. */
const CREDIT_LUMP_BYTES = INITIAL_WINDOW_BYTES / 4;

interface Call {
  readonly onHead: (response: TransportResponse) => void;
  /** Fails the answer, or its rest where the head has been delivered. */
  readonly onFailure: (err: unknown) => void;
  /** Ends deadline and abort listener. */
  readonly release: () => void;
  readonly body: ChunkQueue;
}

/** Many component identities over one MessagePort to the API server of this process. */
export interface PortConnection {
  /** `component` is the user name that the requests act as; the server refuses names not bound to its end of the port. */
  transportFor(component: string): Transport;
  close(): void;
}

class MessagePortConnection implements PortConnection {
  readonly #port: MessagePort;
  readonly #clock: Clock;
  readonly #calls = new Map<number, Call>();
  #nextId = 1;
  #isClosed = false;

  constructor(port: MessagePort, clock: Clock) {
    this.#port = port;
    this.#clock = clock;
    port.on('message', (message: ToClient) => this.#onMessage(message));
    port.on('close', () => this.#onClose());
  }

  transportFor(component: string): Transport {
    return { request: (request) => this.#request(component, request), close: () => {} };
  }

  close(): void {
    this.#port.close();
    this.#onClose();
  }

  #request(component: string, request: TransportRequest): Promise<TransportResponse> {
    if (this.#isClosed) return Promise.reject(new TransportError('the port to the API server is closed'));
    if (request.signal?.aborted) return Promise.reject(request.signal.reason);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const body = new ChunkQueue({ onTaken: this.#creditFor(id), onCancel: () => this.#cancel(id, undefined) });
      const onFailure = (err: unknown) => {
        reject(err);
        body.fail(err);
      };
      this.#calls.set(id, { onHead: resolve, onFailure, release: this.#limit(id, request), body });
      this.#send({
        type: 'request',
        id,
        component,
        method: request.method,
        path: request.path,
        headers: request.headers ?? {},
        body: request.body === undefined ? undefined : owned(request.body),
      });
    });
  }

  #creditFor(id: number): (bytes: number) => void {
    let takenBytes = 0;
    return (bytes) => {
      takenBytes += bytes;
      if (takenBytes < CREDIT_LUMP_BYTES || !this.#calls.has(id)) return;
      this.#send({ type: 'credit', id, bytes: takenBytes });
      takenBytes = 0;
    };
  }

  /** Cancels the call at its deadline or when its signal is aborted; the returned function ends both. */
  #limit(id: number, { signal, timeoutMs }: TransportRequest): () => void {
    const onAbort = () => this.#cancel(id, signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    const stopTimer =
      timeoutMs === undefined
        ? undefined
        : this.#clock.after(timeoutMs, () =>
            this.#cancel(id, new TransportError(`no complete answer within ${timeoutMs} ms`)),
          );
    return () => {
      stopTimer?.();
      signal?.removeEventListener('abort', onAbort);
    };
  }

  #cancel(id: number, reason: unknown): void {
    const call = this.#calls.get(id);
    if (call === undefined) return;
    this.#drop(id);
    this.#send({ type: 'cancel', id });
    call.onFailure(reason ?? new TransportError('the reader left'));
  }

  #drop(id: number): void {
    this.#calls.get(id)?.release();
    this.#calls.delete(id);
  }

  #onMessage(message: ToClient): void {
    const call = this.#calls.get(message.id);
    if (call === undefined) return;
    switch (message.type) {
      case 'head':
        call.onHead({ status: message.status, headers: message.headers, body: call.body });
        return;
      case 'data':
        call.body.push(message.chunk);
        return;
      case 'end':
        this.#drop(message.id);
        call.body.end();
        return;
      case 'reset':
        this.#drop(message.id);
        call.onFailure(new TransportError(message.message));
        return;
    }
  }

  #onClose(): void {
    this.#isClosed = true;
    for (const [id, call] of [...this.#calls]) {
      this.#drop(id);
      call.onFailure(new TransportError('the port to the API server was closed'));
    }
  }

  #send(message: ToServer): void {
    if (!this.#isClosed) this.#port.postMessage(message);
  }
}

/** A view into a larger buffer would be cloned with all of that buffer. */
function owned(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : Uint8Array.from(bytes);
}

export function createPortConnection(port: MessagePort, clock: Clock = systemClock): PortConnection {
  return new MessagePortConnection(port, clock);
}

/** For a port that carries one component alone. */
export function createPortTransport(port: MessagePort, component: string, clock: Clock = systemClock): Transport {
  const connection = createPortConnection(port, clock);
  return { request: connection.transportFor(component).request, close: () => connection.close() };
}
