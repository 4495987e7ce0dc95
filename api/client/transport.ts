/**
 * The narrow waist of the client: one request, one streamed answer. Implementations: HTTPS (one HTTP/2 connection, several servers
 * with failover) and a MessagePort to an API server in the same process. Both carry exactly the same bytes.
 */
export interface TransportRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path and query, percent-encoded. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** The whole answer must have arrived within this time. Undefined for streams: then only its head is waited for, and not for ever. */
  readonly timeoutMs?: number;
  /** Ends the request; for a watch it ends the stream. */
  readonly signal?: AbortSignal;
}

export interface TransportResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Chunks as they arrive; pulling is the back-pressure. Leaving the loop early cancels the request. */
  readonly body: AsyncIterable<Uint8Array>;
}

export interface Transport {
  /** Rejects with TransportError when no answer arrived. */
  request(request: TransportRequest): Promise<TransportResponse>;
  close(): void;
}

/** The request never got an answer: connection refused, lost, or timed out. Always worth a retry of idempotent requests. */
export class TransportError extends Error {
  override readonly name = 'TransportError';
}
