import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Http2ServerRequest, type Http2ServerResponse, constants as http2Constants } from 'node:http2';
import { Readable } from 'node:stream';
import { gzip } from 'node:zlib';
import { ApiError, badRequest } from '#api/object/api-error.ts';
import type { ApiRequest, ApiResponse, HeaderMap, Peer, ResponseStream, UpgradedSocket } from './api-request.ts';
import { joinPieces, type PiecedBody, PieceReader } from './pieced-body.ts';

export type NodeRequest = IncomingMessage | Http2ServerRequest;
export type NodeResponse = ServerResponse | Http2ServerResponse;

/** Kubernetes compresses answers above this size when the client takes gzip. */
const GZIP_MIN_BYTES = 128 * 1024;
/** Fastest level: the link is usually a LAN, and a Pi has better uses for its cores. */
const GZIP_LEVEL = 1;
/** Up to this size a body goes out in one string with its head. */
const JOINED_BODY_BYTES = 16 * 1024;
/**
 * One write of a large body. Handing OpenSSL 10 MB at once would hold all of it encrypted in memory as well; and where many large answers are
 * on their way, the loop comes round once each of them has had a write, half a millisecond for this much.
 */
const WRITE_SLICE_BYTES = 256 * 1024;

const NO_BODY = Promise.resolve(new Uint8Array());

/** Of a body that was refused, so much is still taken in for the sake of a client that reads only after it has written. */
const MAX_DROPPED_BYTES = 32 * 1024 * 1024;
const MAX_DROPPING_MS = 5_000;

/**
 * One request of node's HTTP/1.1 or HTTP/2 server as the chain sees it. One of HTTP/1.1 that announces no body has ended before it comes here,
 * and tells nobody of that any more.
 */
export class NodeApiRequest implements ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly peer: Peer;
  readonly upgrade?: () => UpgradedSocket;
  readonly #incoming: NodeRequest;
  #abort: AbortController | undefined;
  #gone = false;

  constructor(incoming: NodeRequest, peer: Peer, upgrade?: () => UpgradedSocket) {
    this.#incoming = incoming;
    this.method = incoming.method ?? 'GET';
    const url = incoming.url ?? '/';
    const mark = url.indexOf('?');
    this.path = mark < 0 ? url : url.slice(0, mark);
    this.query = mark < 0 ? '' : url.slice(mark + 1);
    this.peer = peer;
    if (upgrade !== undefined) this.upgrade = upgrade;
  }

  header(name: string): string | undefined {
    const value = this.#incoming.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  }

  get rawHeaders(): readonly string[] {
    return this.#incoming.rawHeaders;
  }

  bodyStream(): Readable {
    return this.#incoming.readableEnded ? Readable.from([]) : this.#incoming;
  }

  /** Made on first use: most requests end before anybody asks. */
  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#gone) this.#abort.abort();
    return this.#abort.signal;
  }

  /** The adapter calls this when the connection or stream is lost. */
  onGone(): void {
    this.#gone = true;
    this.#abort?.abort();
  }

  readBody(maxBytes: number): Promise<Uint8Array> {
    const incoming = this.#incoming;
    const announced = Number(incoming.headers['content-length'] ?? 0);
    if (announced > maxBytes) return Promise.reject(bodyTooLarge(maxBytes));
    if (incoming.readableEnded) return NO_BODY;
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      incoming.on('data', (chunk: Buffer) => {
        if (bytes > maxBytes) return;
        bytes += chunk.byteLength;
        if (bytes <= maxBytes) {
          chunks.push(chunk);
          return;
        }
        chunks.length = 0;
        incoming.pause();
        reject(bodyTooLarge(maxBytes));
      });
      // `on`, although they come once: the wrapper of `once` would be made for each of them.
      incoming.on('end', () => resolve(chunks.length === 1 ? (chunks[0] ?? new Uint8Array()) : Buffer.concat(chunks)));
      const onBroken = () => reject(badRequest('the request body ended unexpectedly'));
      incoming.on('aborted', onBroken);
      incoming.on('error', onBroken);
    });
  }
}

function bodyTooLarge(maxBytes: number): ApiError {
  return new ApiError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${maxBytes}`);
}

/** The way back over node's HTTP/1.1 or HTTP/2 response. A second answer (after a time-out) is ignored. */
export class NodeApiResponse implements ApiResponse {
  readonly #outgoing: NodeResponse;
  readonly #incoming: NodeRequest;
  #started = false;

  constructor(incoming: NodeRequest, outgoing: NodeResponse) {
    this.#incoming = incoming;
    this.#outgoing = outgoing;
  }

  get started(): boolean {
    return this.#started;
  }

  send(status: number, headers: HeaderMap, body: Uint8Array): void {
    if (this.#started) return;
    this.#started = true;
    if (body.byteLength >= GZIP_MIN_BYTES && takesGzip(this.#incoming) && headers['content-encoding'] === undefined) {
      gzip(body, { level: GZIP_LEVEL }, (err, packed) => {
        if (err === null)
          this.#write(status, { ...headers, 'content-encoding': 'gzip', vary: varyWithEncoding(headers) }, packed);
        else this.#write(status, headers, body);
      });
      return;
    }
    this.#write(status, headers, body);
  }

  sendPieces(status: number, headers: HeaderMap, body: PiecedBody): void {
    if (body.byteLength <= WRITE_SLICE_BYTES || takesGzip(this.#incoming) || this.#incoming.method === 'HEAD') {
      this.send(status, headers, joinPieces(body));
      return;
    }
    if (this.#started) return;
    this.#started = true;
    const outgoing = this.#outgoing as ServerResponse;
    outgoing.writeHead(status, { ...mutable(headers), 'content-length': String(body.byteLength) });
    void writePieces(outgoing, body);
  }

  stream(status: number, headers: HeaderMap): ResponseStream {
    if (this.#started) return closedStream;
    this.#started = true;
    const outgoing = this.#outgoing as ServerResponse;
    outgoing.writeHead(status, mutable(headers));
    outgoing.flushHeaders();
    return new NodeResponseStream(outgoing);
  }

  #write(status: number, headers: HeaderMap, body: Uint8Array): void {
    const outgoing = this.#outgoing as ServerResponse;
    const complete = mutable(headers);
    if (status !== 304 && status !== 204) complete['content-length'] = String(body.byteLength);
    const isVersion1 = outgoing.req.httpVersionMajor === 1;
    // The rest of a body that nobody reads would be taken for the next request on this connection.
    if (isVersion1 && status >= 400 && hasUnreadBody(this.#incoming)) complete.connection = 'close';
    outgoing.writeHead(status, complete);
    if (status >= 400) dropUnreadBody(this.#incoming);
    if (this.#incoming.method === 'HEAD') outgoing.end();
    // Node holds the head as Latin-1 text. Text of the same encoding (which keeps every byte) is appended to it and written at once; bytes
    // would cost a vectored write of two pieces, a sixth of what a bare server spends on a small answer.
    else if (isVersion1 && body.byteLength <= JOINED_BODY_BYTES) outgoing.end(latin1Of(body), 'latin1');
    else if (body.byteLength <= WRITE_SLICE_BYTES) outgoing.end(body);
    else writeSlices(outgoing, body, 0);
  }
}

/** Its end may not have been seen yet though it has no body: some answers are given as soon as the head is there. */
function hasUnreadBody({ complete, headers }: NodeRequest): boolean {
  const hasBody = headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
  return hasBody && !complete;
}

/**
 * A stream of HTTP/2 whose body nobody reads would stay open for as long as its connection, at the client's end too. What is left of the
 * body is read and forgotten, up to an amount and for a time; then the client is told to stop.
 */
function dropUnreadBody(incoming: NodeRequest): void {
  if (!('stream' in incoming) || incoming.complete) return;
  const { stream } = incoming;
  const close = () => stream.close(http2Constants.NGHTTP2_NO_ERROR);
  let bytes = 0;
  incoming.on('data', (chunk: Buffer) => {
    bytes += chunk.byteLength;
    if (bytes > MAX_DROPPED_BYTES) close();
  });
  incoming.resume();
  const timer = setTimeout(close, MAX_DROPPING_MS).unref();
  stream.once('close', () => clearTimeout(timer));
}

function writeSlices(outgoing: ServerResponse, body: Uint8Array, from: number): void {
  let at = from;
  while (at < body.byteLength) {
    const slice = body.subarray(at, at + WRITE_SLICE_BYTES);
    at += slice.byteLength;
    if (!outgoing.write(slice) && at < body.byteLength) {
      outgoing.once('drain', () => writeSlices(outgoing, body, at));
      return;
    }
  }
  outgoing.end();
}

/** For the pieces of large bodies: each is written, and used again once it is on its way. Buffers of their own would have the engine collect
 * all of its heap again and again for the sake of what lies outside of it. */
const spareChunks: Buffer[] = [];
const MAX_SPARE_CHUNKS = 16;

async function writePieces(outgoing: ServerResponse, body: PiecedBody): Promise<void> {
  outgoing.on('error', () => {});
  const reader = new PieceReader(body.pieces);
  const chunk = spareChunks.pop() ?? Buffer.allocUnsafeSlow(WRITE_SLICE_BYTES);
  for (let bytes = reader.read(chunk); bytes > 0; bytes = reader.read(chunk)) {
    // Of a connection that is gone nobody knows who still looks at the chunk: it is not used again.
    if (!(await write(outgoing, chunk.subarray(0, bytes)))) return;
    const pause = body.pause();
    if (pause !== undefined) await pause;
  }
  if (spareChunks.length < MAX_SPARE_CHUNKS) spareChunks.push(chunk);
  outgoing.end();
}

/** False where the connection went before all of it was taken. */
function write(outgoing: ServerResponse, bytes: Uint8Array): Promise<boolean> {
  if (outgoing.destroyed) return Promise.resolve(false);
  return new Promise((resolve) => {
    const onClose = () => resolve(false);
    outgoing.once('close', onClose);
    outgoing.write(bytes, (err) => {
      outgoing.off('close', onClose);
      resolve(!err);
    });
  });
}

/** What the answer varies by already, and its compression. */
const varyWithEncoding = ({ vary }: HeaderMap) =>
  vary === undefined ? 'Accept-Encoding' : `${String(vary)}, Accept-Encoding`;

const latin1Of = (bytes: Uint8Array) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');

const takesGzip = (incoming: NodeRequest) => /\bgzip\b/.test(String(incoming.headers['accept-encoding'] ?? ''));

/** Node's types want mutable arrays; it does not change them. */
const mutable = (headers: HeaderMap) => headers as Record<string, string | string[]>;

class NodeResponseStream implements ResponseStream {
  readonly #outgoing: ServerResponse;
  #closed = false;

  constructor(outgoing: ServerResponse) {
    this.#outgoing = outgoing;
    outgoing.once('close', () => {
      this.#closed = true;
    });
    outgoing.on('error', () => {});
  }

  write(chunk: Uint8Array): boolean {
    return this.#closed ? false : this.#outgoing.write(chunk);
  }

  get pendingBytes(): number {
    return this.#closed ? 0 : this.#outgoing.writableLength;
  }

  drained(): Promise<void> {
    if (this.#closed || !this.#outgoing.writableNeedDrain) return Promise.resolve();
    const outgoing = this.#outgoing;
    return new Promise((resolve) => {
      const settle = () => {
        outgoing.off('drain', settle);
        outgoing.off('close', settle);
        resolve();
      };
      outgoing.once('drain', settle);
      outgoing.once('close', settle);
    });
  }

  end(): void {
    if (!this.#closed) this.#outgoing.end();
  }

  abort(): void {
    if (!this.#closed) this.#outgoing.destroy();
  }

  onClose(fn: () => void): void {
    if (this.#closed) fn();
    else this.#outgoing.once('close', fn);
  }
}

/** What a handler gets that answers after the deadline already did. */
export const closedStream: ResponseStream = {
  write: () => false,
  pendingBytes: 0,
  drained: () => Promise.resolve(),
  end() {},
  onClose: (fn) => fn(),
};
