import type { MessagePort } from 'node:worker_threads';
import { INITIAL_WINDOW_BYTES, type ToClient, type ToServer } from '#api/client/port-protocol.ts';
import { ApiError, forbidden } from '#api/object/api-error.ts';
import type { ApiRequest, ApiResponse, HeaderMap, ResponseStream } from './api-request.ts';
import { toRawHeaders } from './header-values.ts';
import { closedStream } from './http-exchange.ts';

export interface PortServerOptions {
  /** Never rejects. */
  readonly handler: (request: ApiRequest, response: ApiResponse) => Promise<void>;
  /** User names that requests of this port may act as. */
  readonly components: ReadonlySet<string>;
}

/** A large body travels in pieces of this size, so that the receiver's thread is not stalled by one clone. */
const CHUNK_BYTES = 256 * 1024;
/** `write` answers false when this much waits for credit. */
const HIGH_WATER_BYTES = 64 * 1024;

type RequestMessage = Extract<ToServer, { type: 'request' }>;

/** Serves the components at the other end of `port` until it is closed; the returned function closes it. */
export function servePort(port: MessagePort, options: PortServerOptions): () => void {
  const calls = new Map<number, PortResponse>();
  port.on('message', (message: ToServer) => {
    if (message.type === 'request') {
      const response = new PortResponse(port, message.id, () => calls.delete(message.id));
      calls.set(message.id, response);
      serveRequest(message, response, options);
    } else if (message.type === 'credit') calls.get(message.id)?.addCredit(message.bytes);
    else calls.get(message.id)?.cancel();
  });
  port.on('close', () => {
    for (const response of [...calls.values()]) response.cancel();
  });
  return () => port.close();
}

function serveRequest(message: RequestMessage, response: PortResponse, options: PortServerOptions): void {
  const { component } = message;
  if (!options.components.has(component)) {
    const err = forbidden({ group: '', resource: 'users' }, component, 'this port is not bound to that component');
    response.send(
      403,
      { 'content-type': 'application/json' },
      new TextEncoder().encode(JSON.stringify(err.toStatus())),
    );
    return;
  }
  options.handler(toApiRequest(message, response.signal), response).then(
    () => {
      if (!response.started) response.reset('the server gave no answer');
    },
    (err: unknown) => response.reset(String(err)),
  );
}

function toApiRequest(message: RequestMessage, signal: AbortSignal): ApiRequest {
  const mark = message.path.indexOf('?');
  const { headers, body } = message;
  return {
    method: message.method,
    path: mark < 0 ? message.path : message.path.slice(0, mark),
    query: mark < 0 ? '' : message.path.slice(mark + 1),
    header: (name) => headers[name],
    get rawHeaders() {
      return toRawHeaders(headers);
    },
    async readBody(maxBytes) {
      if (body === undefined) return new Uint8Array();
      if (body.byteLength > maxBytes) {
        throw new ApiError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${maxBytes}`);
      }
      return body;
    },
    peer: { address: '127.0.0.1', certificate: undefined, component: message.component },
    signal,
  };
}

/** One answer over the port: head, then data as far as the reader has given credit. */
class PortResponse implements ApiResponse, ResponseStream {
  readonly #port: MessagePort;
  readonly #id: number;
  readonly #onDone: () => void;
  readonly #abort = new AbortController();
  readonly #waiting: Uint8Array[] = [];
  readonly #closeListeners: (() => void)[] = [];
  #drainListeners: (() => void)[] = [];
  #creditBytes = INITIAL_WINDOW_BYTES;
  #state: 'idle' | 'open' | 'ending' | 'closed' = 'idle';
  pendingBytes = 0;

  constructor(port: MessagePort, id: number, onDone: () => void) {
    this.#port = port;
    this.#id = id;
    this.#onDone = onDone;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get started(): boolean {
    return this.#state !== 'idle';
  }

  send(status: number, headers: HeaderMap, body: Uint8Array): void {
    if (this.stream(status, headers) === closedStream) return;
    for (let at = 0; at < body.byteLength; at += CHUNK_BYTES) this.write(body.subarray(at, at + CHUNK_BYTES));
    this.end();
  }

  stream(status: number, headers: HeaderMap): ResponseStream {
    if (this.started) return closedStream;
    this.#state = 'open';
    const flat = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, typeof value === 'string' ? value : value.join(', ')]),
    );
    this.#post({ type: 'head', id: this.#id, status, headers: flat });
    return this;
  }

  write(chunk: Uint8Array): boolean {
    if (this.#state !== 'open') return false;
    this.#waiting.push(chunk);
    this.pendingBytes += chunk.byteLength;
    this.#flush();
    return this.pendingBytes < HIGH_WATER_BYTES;
  }

  end(): void {
    if (this.#state !== 'open') return;
    this.#state = 'ending';
    this.#flush();
  }

  drained(): Promise<void> {
    if (this.pendingBytes === 0 || this.#state === 'closed') return Promise.resolve();
    return new Promise((resolve) => this.#drainListeners.push(resolve));
  }

  onClose(fn: () => void): void {
    if (this.#state === 'closed') fn();
    else this.#closeListeners.push(fn);
  }

  addCredit(bytes: number): void {
    this.#creditBytes += bytes;
    this.#flush();
  }

  /** The reader went away. */
  cancel(): void {
    this.#close();
    this.#abort.abort();
  }

  reset(message: string): void {
    if (this.#state === 'closed') return;
    this.#post({ type: 'reset', id: this.#id, message });
    this.#close();
  }

  /** The window may be overrun by one chunk, so that a chunk larger than the window still gets through. */
  #flush(): void {
    if (this.#state === 'closed') return;
    while (this.#creditBytes > 0) {
      const chunk = this.#waiting.shift();
      if (chunk === undefined) break;
      this.#creditBytes -= chunk.byteLength;
      this.pendingBytes -= chunk.byteLength;
      this.#post({ type: 'data', id: this.#id, chunk: owned(chunk) });
    }
    if (this.#waiting.length > 0) return;
    for (const resolve of this.#drainListeners.splice(0)) resolve();
    if (this.#state === 'ending') {
      this.#post({ type: 'end', id: this.#id });
      this.#close();
    }
  }

  #close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#waiting.length = 0;
    this.pendingBytes = 0;
    this.#onDone();
    for (const fn of this.#closeListeners) fn();
    for (const resolve of this.#drainListeners.splice(0)) resolve();
  }

  #post(message: ToClient): void {
    this.#port.postMessage(message);
  }
}

/** Posting a view clones the whole buffer behind it. */
function owned(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : Uint8Array.from(bytes);
}
