import { type WebSocket, WebSocketServer } from 'ws';
import type { RequestContext } from '../chain/request-context.ts';
import type { ApiResponse, HeaderMap, ResponseStream } from '../server/api-request.ts';
import { protocolsOf, takeOver } from './upgrade-request.ts';

/**
 * Watches and logs over a WebSocket, for clients that can open one more easily than they can read an answer that never ends (browsers):
 * one message per event, one per piece of a log. What is answered before the answer begins (a Status) is an answer of plain HTTP.
 */

/** Messages of the client have no meaning; large ones are a mistake. */
const MAX_MESSAGE_BYTES = 64 * 1024;
const HIGH_WATER_BYTES = 64 * 1024;
const BASE64 = 'base64.binary.k8s.io';
const LOG_PROTOCOLS = ['binary.k8s.io', BASE64];

const servers = {
  watch: new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    // Frames are the same by any name, but browsers hang up when none of their subprotocols is chosen.
    handleProtocols: (offered) => protocolsOf([...offered].join())[0] ?? false,
  }),
  log: new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    handleProtocols: (offered) => LOG_PROTOCOLS.find((name) => offered.has(name)) ?? false,
  }),
};

type Message = Uint8Array | string;

/** Makes the answer of a watch or log go over the WebSocket that the client asks for; leaves other requests as they are. */
export function answerOverWebSocket(context: RequestContext): void {
  const { info, request } = context;
  const kind = info.verb === 'watch' ? 'watch' : info.subresource === 'log' ? 'log' : undefined;
  if (kind === undefined || request.upgrade === undefined) return;
  if ((request.header('upgrade') ?? '').toLowerCase() !== 'websocket') return;
  context.response = new WebSocketAnswer(context, kind);
}

class WebSocketAnswer implements ApiResponse {
  readonly #context: RequestContext;
  readonly #kind: 'watch' | 'log';
  readonly #plain: ApiResponse;

  constructor(context: RequestContext, kind: 'watch' | 'log') {
    this.#context = context;
    this.#kind = kind;
    this.#plain = context.response;
  }

  get started(): boolean {
    return this.#plain.started;
  }

  send(status: number, headers: HeaderMap, body: Uint8Array): void {
    if (status !== 200 || this.started) {
      this.#plain.send(status, headers, body);
      return;
    }
    const stream = this.stream(status, headers);
    if (body.byteLength > 0) stream.write(body);
    stream.end();
  }

  stream(status: number, headers: HeaderMap): ResponseStream {
    if (status !== 200 || this.started) return this.#plain.stream(status, headers);
    const { incoming, socket, head } = takeOver(this.#context);
    const stream = new WebSocketStream();
    socket.once('close', () => stream.onClosed());
    // Answers a broken handshake itself; then there is no client, and the socket closes.
    servers[this.#kind].handleUpgrade(incoming, socket, Buffer.from(head), (client) => {
      stream.open(client, splitterOf(this.#kind, client.protocol, String(headers['content-type'] ?? '')));
    });
    return stream;
  }
}

type Splitter = (chunk: Uint8Array) => Iterable<Message>;

function splitterOf(kind: 'watch' | 'log', protocol: string, contentType: string): Splitter {
  if (kind === 'watch') return contentType.includes('protobuf') ? splitLengthPrefixed : splitLines;
  return protocol === BASE64 ? (chunk) => [Buffer.from(chunk).toString('base64')] : (chunk) => [chunk];
}

/** JSON holds no line feed of its own, so each ends a frame. */
function splitLines(chunk: Uint8Array): string[] {
  const text = new TextDecoder().decode(chunk);
  return text.split('\n').filter((line) => line !== '');
}

/** Frames of a protobuf stream have their length before them, which a message does not need. */
function splitLengthPrefixed(chunk: Uint8Array): Uint8Array[] {
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  const frames: Uint8Array[] = [];
  for (let at = 0; at + 4 <= chunk.byteLength; ) {
    const end = at + 4 + view.getUint32(at);
    frames.push(chunk.subarray(at + 4, end));
    at = end;
  }
  return frames;
}

class WebSocketStream implements ResponseStream {
  #client: WebSocket | undefined;
  #split: Splitter = () => [];
  #isClosed = false;
  readonly #closeListeners: (() => void)[] = [];
  #drainListeners: (() => void)[] = [];

  open(client: WebSocket, split: Splitter): void {
    this.#client = client;
    this.#split = split;
    client.on('error', () => client.terminate());
    client.on('close', () => this.onClosed());
  }

  get pendingBytes(): number {
    return this.#client?.bufferedAmount ?? 0;
  }

  /** A chunk holds whole frames: its writer joins them, never cuts them. */
  write(chunk: Uint8Array): boolean {
    if (this.#isClosed || this.#client === undefined) return false;
    for (const message of this.#split(chunk)) {
      this.#client.send(message, { binary: typeof message !== 'string' }, this.#onSent);
    }
    return this.pendingBytes < HIGH_WATER_BYTES;
  }

  readonly #onSent = (): void => {
    if (this.pendingBytes >= HIGH_WATER_BYTES) return;
    for (const resolve of this.#drainListeners.splice(0)) resolve();
  };

  drained(): Promise<void> {
    if (this.#isClosed || this.pendingBytes < HIGH_WATER_BYTES) return Promise.resolve();
    return new Promise((resolve) => this.#drainListeners.push(resolve));
  }

  end(): void {
    this.#client?.close(1000);
  }

  abort(): void {
    this.#client?.terminate();
  }

  onClose(fn: () => void): void {
    if (this.#isClosed) fn();
    else this.#closeListeners.push(fn);
  }

  onClosed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const fn of this.#closeListeners) fn();
    for (const resolve of this.#drainListeners.splice(0)) resolve();
  }
}
