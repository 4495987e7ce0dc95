import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import { http } from '#base/node-http.ts';

export interface BackendRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  /** A stream is passed on as fast as the backend takes it. */
  readonly body?: Uint8Array | Readable;
}

export interface BackendUpgrade {
  readonly socket: Duplex;
  /** Bytes that followed the answer's head. */
  readonly head: Uint8Array;
  readonly response: IncomingMessage;
}

/** A backend answered an upgrade with a plain response. */
export class UpgradeRefused extends Error {
  override readonly name = 'UpgradeRefused';
  readonly statusCode: number;
  constructor(statusCode: number, message: string) {
    super(message);
    this.statusCode = statusCode;
  }
}

/** Of an error's body: enough for its message. */
const MAX_ERROR_BYTES = 64 * 1024;

/** HTTP/1.1 over a connection that is already open; it is used for this one request (without `agent`, which would connect anew). */
function start(connection: Duplex, request: BackendRequest): ClientRequest {
  const { method, path, headers, body } = request;
  const outgoing = http.request({
    method,
    path,
    headers: headers as Record<string, string | string[]>,
    createConnection: () => connection,
    setHost: false,
  });
  if (body === undefined || body instanceof Uint8Array) outgoing.end(body);
  else {
    body.pipe(outgoing);
    body.once('error', (err) => outgoing.destroy(err));
  }
  return outgoing;
}

/** Resolves with the answer's head; the connection closes with its body. Rejects when no answer comes. */
export function fetchFromBackend(
  connection: Duplex,
  request: BackendRequest,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const outgoing = start(connection, { ...request, headers: { ...request.headers, connection: 'close' } });
    const onAbort = () => connection.destroy();
    signal.addEventListener('abort', onAbort, { once: true });
    connection.once('close', () => signal.removeEventListener('abort', onAbort));
    outgoing.once('response', resolve);
    outgoing.on('error', reject);
    if (signal.aborted) onAbort();
  });
}

/** Resolves with the raw connection once the backend switched protocols; rejects with UpgradeRefused when it answered otherwise. */
export function upgradeBackend(connection: Duplex, request: BackendRequest): Promise<BackendUpgrade> {
  return new Promise((resolve, reject) => {
    const outgoing = start(connection, request);
    outgoing.once('upgrade', (response, socket, head) => resolve({ socket, head, response }));
    outgoing.once('response', (response) => {
      void readText(response, MAX_ERROR_BYTES).then((text) => {
        connection.destroy();
        reject(new UpgradeRefused(response.statusCode ?? 502, text.trim()));
      });
    });
    outgoing.on('error', reject);
  });
}

/** The beginning of a body as text. Never rejects: a torn error message is still one. */
export async function readText(response: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  try {
    for await (const chunk of response) {
      chunks.push(chunk as Buffer);
      sizeBytes += (chunk as Buffer).length;
      if (sizeBytes >= maxBytes) break;
    }
  } catch {
    // What came before the break is the answer.
  }
  return Buffer.concat(chunks).subarray(0, maxBytes).toString('utf8');
}
