import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { type ServerCredentials, SessionPool } from './session-pool.ts';
import { type Transport, TransportError, type TransportRequest, type TransportResponse } from './transport.ts';

export interface HttpTransportOptions extends ServerCredentials {
  /** Base addresses, e.g. `https://10.0.0.1:6443`; tried in turn from the one that last worked. */
  readonly servers: readonly string[];
  readonly userAgent: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
}

export interface HttpTransport extends Transport {
  /**
   * New keys for new requests: they open a new connection; what is under way (watches) ends on the old one.
   * A changed token alone keeps the connection.
   */
  updateCredentials(credentials: ServerCredentials): void;
  /** New addresses; the connection at hand stays while it lives. */
  updateServers(servers: readonly string[]): void;
  /** The address of this host changed: what is under way fails now, as with a lost connection, rather than when a ping stays unanswered. */
  reconnect(): void;
}

/** Even a watch must answer its head in this time: beyond the server's own 60 s deadline nothing comes any more. */
const HEAD_TIMEOUT_MS = 65_000;
/**
 * Refused streams never reached the server's handlers, so another try is safe for every method; a read whose connection was lost before
 * an answer came may run twice.
 */
const MAX_RETRIES = 3;
/** Who gives a request up after so long without an answer did so because of the server. */
const PATIENCE_MS = 3_000;

class Http2Transport implements HttpTransport {
  readonly #options: HttpTransportOptions;
  readonly #pool: SessionPool;
  #token: ServerCredentials['token'];

  constructor(options: HttpTransportOptions) {
    this.#options = options;
    this.#token = options.token;
    this.#pool = new SessionPool(options);
  }

  updateCredentials(credentials: ServerCredentials): void {
    this.#token = credentials.token;
    this.#pool.updateCredentials(credentials);
  }

  updateServers(servers: readonly string[]): void {
    this.#pool.updateServers(servers);
  }

  reconnect(): void {
    this.#pool.reconnect();
  }

  close(): void {
    this.#pool.close();
  }

  async request(request: TransportRequest): Promise<TransportResponse> {
    const { clock } = this.#options;
    for (let attempt = 0; ; attempt++) {
      request.signal?.throwIfAborted();
      const session = await abortable(this.#pool.acquire(), request.signal);
      const startedMs = clock.monotonic();
      try {
        return await this.#send(session, request, await this.#headersOf(request));
      } catch (err) {
        const isTired = request.signal?.aborted === true && clock.monotonic() - startedMs >= PATIENCE_MS;
        if (err instanceof NoAnswerError || isTired) this.#pool.report(session, kindOf(request), true);
        const mayRepeat = err instanceof RefusedError || (err instanceof LostError && request.method === 'GET');
        if (mayRepeat && attempt < MAX_RETRIES) continue;
        if (err instanceof RefusedError)
          throw new TransportError('the server refused the stream', { cause: err.cause });
        throw err;
      }
    }
  }

  async #headersOf(request: TransportRequest): Promise<OutgoingHttpHeaders> {
    const token = typeof this.#token === 'function' ? await this.#token() : this.#token;
    return {
      [constants.HTTP2_HEADER_METHOD]: request.method,
      [constants.HTTP2_HEADER_PATH]: request.path,
      'user-agent': this.#options.userAgent,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(request.body === undefined ? {} : { 'content-length': String(request.body.byteLength) }),
      ...request.headers,
    };
  }

  #send(session: ClientHttp2Session, request: TransportRequest, headers: OutgoingHttpHeaders) {
    return new Promise<TransportResponse>((resolve, reject) => {
      let stream: ClientHttp2Stream;
      try {
        stream = session.request(headers, { endStream: request.body === undefined });
      } catch (err) {
        // The session went away between acquire and here.
        reject(new RefusedError(err));
        return;
      }
      const limits = this.#limit(stream, request);
      stream.once('response', (received) => {
        limits.onHead();
        const status = Number(received[constants.HTTP2_HEADER_STATUS]);
        this.#pool.report(session, kindOf(request), status >= 500);
        resolve({
          status,
          headers: plainHeaders(received),
          body: readBody(stream, limits.failure),
        });
      });
      stream.on('error', (err) => reject(limits.failure() ?? asFailure(stream, err)));
      stream.once('close', () => {
        limits.release();
        reject(limits.failure() ?? asFailure(stream, new Error(`stream closed (code ${stream.rstCode})`)));
      });
      if (request.body !== undefined) stream.end(request.body);
    });
  }

  /** Ends the stream at its deadlines and on abort; `failure` then says why. */
  #limit(stream: ClientHttp2Stream, { signal, timeoutMs }: TransportRequest) {
    let failure: unknown;
    const cancel = (why: unknown) => {
      failure ??= why;
      stream.close(constants.NGHTTP2_CANCEL);
      // A frozen peer never acknowledges the reset; readers must wake up all the same.
      stream.destroy();
    };
    const onAbort = () => cancel(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) onAbort();
    const limitMs = timeoutMs ?? HEAD_TIMEOUT_MS;
    const stopTimer = this.#options.clock.after(limitMs, () =>
      cancel(new NoAnswerError(`no answer within ${limitMs} ms`)),
    );
    return {
      failure: () => failure,
      onHead: () => {
        if (timeoutMs === undefined) stopTimer();
      },
      release: () => {
        stopTimer();
        signal?.removeEventListener('abort', onAbort);
      },
    };
  }
}

const kindOf = ({ method }: TransportRequest): 'read' | 'write' => (method === 'GET' ? 'read' : 'write');

/** The connection held, and nothing came over it in time. */
class NoAnswerError extends TransportError {}

/** The connection went before an answer came. */
class LostError extends TransportError {}

class RefusedError extends Error {
  constructor(cause: unknown) {
    super('stream refused', { cause });
  }
}

function asFailure(stream: ClientHttp2Stream, err: Error): Error {
  const code = (err as { code?: unknown }).code;
  const isRefused =
    stream.rstCode === constants.NGHTTP2_REFUSED_STREAM ||
    code === 'ERR_HTTP2_GOAWAY_SESSION' ||
    code === 'ERR_HTTP2_INVALID_SESSION';
  return isRefused ? new RefusedError(err) : new LostError(`request failed: ${describeError(err)}`, { cause: err });
}

/** Node's stream is the back-pressure; leaving the loop destroys it, which cancels the request. */
async function* readBody(stream: ClientHttp2Stream, failure: () => unknown): AsyncGenerator<Uint8Array, void, void> {
  try {
    for await (const chunk of stream) yield chunk as Uint8Array;
  } catch (err) {
    throw failure() ?? new TransportError(`the answer broke off: ${describeError(err)}`, { cause: err });
  }
  // A stream that was cancelled by a deadline or lost with its session may end without an error event.
  if (failure() !== undefined) throw failure();
  if (stream.rstCode !== constants.NGHTTP2_NO_ERROR)
    throw new TransportError(`the answer broke off (code ${stream.rstCode})`);
}

function plainHeaders(received: IncomingHttpHeaders): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(received)) {
    if (name.startsWith(':') || value === undefined) continue;
    headers[name] = Array.isArray(value) ? value.join(', ') : String(value);
  }
  return headers;
}

function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** One HTTP/2 connection to one of several API servers. */
export function createHttpTransport(options: HttpTransportOptions): HttpTransport {
  if (options.servers.length === 0) throw new Error('createHttpTransport: no servers');
  return new Http2Transport(options);
}
