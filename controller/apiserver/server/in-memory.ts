import { ApiError } from '#api/object/api-error.ts';
import type { ApiRequest, ApiResponse, HeaderMap, Peer, ResponseStream } from './api-request.ts';

export interface InMemoryRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Objects are sent as JSON. */
  readonly body?: Uint8Array | string | object;
  readonly peer?: Partial<Peer>;
  readonly signal?: AbortSignal;
}

export interface InMemoryResponse {
  readonly status: number;
  readonly headers: HeaderMap;
  /** The whole body; for streams everything until the end. */
  text(): Promise<string>;
  json<T = Record<string, unknown>>(): Promise<T>;
  /** Chunks as they are written. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** The client goes away. */
  cancel(): void;
}

type Handler = (request: ApiRequest, response: ApiResponse) => Promise<void>;

/** Calls the server without a socket, as a test or a tool in the same thread does. Resolves when the answer begins. */
export function callInMemory(handler: Handler, request: InMemoryRequest): Promise<InMemoryResponse> {
  return new Promise((resolve, reject) => {
    const abort = new AbortController();
    const cancel = () => abort.abort();
    request.signal?.addEventListener('abort', cancel, { once: true });
    const response = new MemoryResponse(abort, resolve);
    handler(toApiRequest(request, abort.signal), response).then(() => {
      if (!response.started) reject(new Error(`${request.method} ${request.url} got no answer`));
    }, reject);
  });
}

function toApiRequest(request: InMemoryRequest, signal: AbortSignal): ApiRequest {
  const mark = request.url.indexOf('?');
  const headers = new Map(Object.entries(request.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]));
  const body = encodeBody(request.body);
  if (typeof request.body === 'object' && !headers.has('content-type')) headers.set('content-type', 'application/json');
  return {
    method: request.method,
    path: mark < 0 ? request.url : request.url.slice(0, mark),
    query: mark < 0 ? '' : request.url.slice(mark + 1),
    header: (name) => headers.get(name),
    rawHeaders: [...headers].flat(),
    async readBody(maxBytes) {
      if (body.byteLength > maxBytes) {
        throw new ApiError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${maxBytes}`);
      }
      return body;
    },
    peer: { address: '127.0.0.1', certificate: undefined, component: undefined, ...request.peer },
    signal,
  };
}

function encodeBody(body: InMemoryRequest['body']): Uint8Array {
  if (body === undefined) return new Uint8Array();
  if (body instanceof Uint8Array) return body;
  return new TextEncoder().encode(typeof body === 'string' ? body : JSON.stringify(body));
}

class MemoryResponse implements ApiResponse, InMemoryResponse, ResponseStream {
  status = 0;
  headers: HeaderMap = {};
  readonly #abort: AbortController;
  readonly #onStart: (response: InMemoryResponse) => void;
  readonly #queue: Uint8Array[] = [];
  readonly #closeListeners: (() => void)[] = [];
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void)[] = [];
  #ended = false;
  #started = false;
  pendingBytes = 0;

  constructor(abort: AbortController, onStart: (response: InMemoryResponse) => void) {
    this.#abort = abort;
    this.#onStart = onStart;
    abort.signal.addEventListener('abort', () => this.#close(), { once: true });
  }

  get started(): boolean {
    return this.#started;
  }

  send(status: number, headers: HeaderMap, body: Uint8Array): void {
    if (this.#started) return;
    this.stream(status, headers);
    this.write(body);
    this.end();
  }

  stream(status: number, headers: HeaderMap): ResponseStream {
    this.#started = true;
    this.status = status;
    this.headers = headers;
    this.#onStart(this);
    return this;
  }

  write(chunk: Uint8Array): boolean {
    if (this.#ended) return false;
    this.#queue.push(chunk);
    this.pendingBytes += chunk.byteLength;
    this.#wakeReader?.();
    return this.pendingBytes < 64 * 1024;
  }

  drained(): Promise<void> {
    if (this.#ended || this.pendingBytes === 0) return Promise.resolve();
    return new Promise((resolve) => this.#wakeWriter.push(resolve));
  }

  end(): void {
    this.#close();
  }

  onClose(fn: () => void): void {
    if (this.#ended) fn();
    else this.#closeListeners.push(fn);
  }

  #close(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const fn of this.#closeListeners) fn();
    for (const wake of this.#wakeWriter.splice(0)) wake();
    this.#wakeReader?.();
  }

  cancel(): void {
    this.#abort.abort();
  }

  get chunks(): AsyncIterable<Uint8Array> {
    return this.#read();
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.#queue.shift();
      if (chunk !== undefined) {
        this.pendingBytes -= chunk.byteLength;
        if (this.pendingBytes === 0) for (const wake of this.#wakeWriter.splice(0)) wake();
        yield chunk;
        continue;
      }
      if (this.#ended) return;
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
    }
  }

  async text(): Promise<string> {
    const decoder = new TextDecoder();
    let text = '';
    for await (const chunk of this.chunks) text += decoder.decode(chunk, { stream: true });
    return text;
  }

  async json<T>(): Promise<T> {
    return JSON.parse(await this.text()) as T;
  }
}
