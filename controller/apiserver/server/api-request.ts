import type { Duplex, Readable } from 'node:stream';
import { joinPieces, type PiecedBody } from './pieced-body.ts';

/**
 * A request as the chain sees it, whoever carried it: HTTP/1.1, HTTP/2, a MessagePort from a component in this process, or a test.
 */
export interface ApiRequest {
  /** Upper case. */
  readonly method: string;
  /** Decoded nowhere: percent-encoded path without query. */
  readonly path: string;
  /** Without `?`; empty when absent. */
  readonly query: string;
  /** Lower-case names; repeated headers joined by a comma. */
  header(name: string): string | undefined;
  /** Name, value, name, value ... as the client sent them, in any case and with repetitions. `header-values.ts` reads them. */
  readonly rawHeaders?: readonly string[];
  /** Reads the whole body; throws ApiError 413 beyond `maxBytes`, 400 when it breaks off. */
  readBody(maxBytes: number): Promise<Uint8Array>;
  /** The body as it arrives, in place of `readBody`: for what passes through in any size. Absent where bodies come whole. */
  bodyStream?(): Readable;
  /** Verified facts of the connection. */
  readonly peer: Peer;
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal;
  /** Present on an HTTP/1.1 upgrade request (exec, attach, port-forward, tunnel): takes the raw socket over. */
  readonly upgrade?: () => UpgradedSocket;
}

export interface UpgradedSocket {
  readonly socket: Duplex;
  readonly head: Uint8Array;
  /** Node's own request object, as `ws` needs it. */
  readonly incoming: import('node:http').IncomingMessage;
}

export interface Peer {
  readonly address: string;
  /**
   * Subject of a client certificate that our client CA signed, or undefined. It may have expired, before the connection or during it:
   * whoever takes it for an identity looks at `expiresAtMs`.
   */
  readonly certificate:
    | { readonly commonName: string; readonly organizations: readonly string[]; readonly expiresAtMs?: number }
    | undefined;
  /** What OpenSSL found wrong with a client certificate that counts for nothing, such as `CERT_SIGNATURE_FAILURE`. */
  readonly refusedCertificate?: string;
  /** Subject of a client certificate of a front proxy: its CA may name any user in headers, and proves no user of its own. */
  readonly frontProxy?: { readonly commonName: string };
  /** Set by the in-process transport alone: the component identity that the composition root bound to this port. */
  readonly component: string | undefined;
}

export type HeaderMap = Readonly<Record<string, string | readonly string[]>>;

/** The answer's way back. Exactly one of `send`, `sendPieces`, `stream` (or a taken-over upgrade) per request. */
export interface ApiResponse {
  /** A whole answer. `body` may be a shared cached buffer: it is never written to. */
  send(status: number, headers: HeaderMap, body: Uint8Array): void;
  /** A whole answer that is put together as the peer takes it. Absent where bodies have to be whole: see `sendPieces`. */
  sendPieces?(status: number, headers: HeaderMap, body: PiecedBody): void;
  /** A streamed answer: watch frames, logs. */
  stream(status: number, headers: HeaderMap): ResponseStream;
  /** True once an answer was started. */
  readonly started: boolean;
}

/** By a response that may want its bodies whole. */
export function sendPieces(response: ApiResponse, status: number, headers: HeaderMap, body: PiecedBody): void {
  if (response.sendPieces === undefined) response.send(status, headers, joinPieces(body));
  else response.sendPieces(status, headers, body);
}

export interface ResponseStream {
  /** Queues the chunk; false when more than the high-water mark waits. Chunks may be shared between streams. */
  write(chunk: Uint8Array): boolean;
  /** Bytes queued and not yet taken by the peer; watchers that fall too far behind are cut off. */
  readonly pendingBytes: number;
  /** Resolves when the queue has drained or the peer is gone. */
  drained(): Promise<void>;
  end(): void;
  /** Breaks the answer off and drops what waits: for a peer that does not take it. Absent where nothing is held for long. */
  abort?(): void;
  /** Runs once when the peer is gone or the stream has ended. */
  onClose(fn: () => void): void;
}
