import { type ClientHttp2Session, connect, constants } from 'node:http2';
import type { NetworkCheckResult } from './network-prober.ts';

/*
 * One call of the gRPC health protocol over Node's own HTTP/2: a request of one string and an answer of one number need no library, and
 * a connection of its own each time asks whether a new client is served.
 */

export interface GrpcCheck {
  readonly host: string;
  readonly port: number;
  /** Empty asks for the server as a whole. */
  readonly service: string;
  readonly timeoutMs: number;
}

const PATH = '/grpc.health.v1.Health/Check';
const USER_AGENT = 'kube-probe/1.36';
const STATUS_NAMES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'] as const;
const OK = 0;
const UNIMPLEMENTED = 12;
const MAX_ANSWER_BYTES = 4096;

interface Answer {
  readonly grpcStatus: number;
  readonly grpcMessage: string;
  readonly body: Buffer;
}

/** Healthy is SERVING and nothing else. Never throws. */
export async function checkGrpc(check: GrpcCheck): Promise<NetworkCheckResult> {
  const { host, port, timeoutMs } = check;
  const address = authorityOf(host, port);
  const seconds = `${timeoutMs / 1000}s`;
  let session: ClientHttp2Session | undefined;
  let isConnected = false;
  const late = Promise.withResolvers<'late'>();
  const timer = setTimeout(() => late.resolve('late'), timeoutMs);
  try {
    const opened = connect(`http://${address}`);
    session = opened;
    const failed = new Promise<never>((_, reject) => opened.on('error', reject));
    opened.on('connect', () => {
      isConnected = true;
    });
    const answer = await Promise.race([call(opened, check), failed, late.promise]);
    if (answer !== 'late') return verdict(answer);
    const what = isConnected ? `health rpc did not complete within ${seconds}` : notConnected(address, seconds);
    return { ok: false, message: `timeout: ${what}` };
  } catch (err) {
    const reason = err instanceof Error ? err.message : String(err);
    if (!isConnected) return { ok: false, message: `timeout: ${notConnected(address, seconds)}: ${reason}` };
    return { ok: false, message: `error: health rpc probe failed: ${reason}` };
  } finally {
    clearTimeout(timer);
    session?.destroy();
  }
}

const notConnected = (address: string, seconds: string) => `failed to connect service "${address}" within ${seconds}`;

function verdict({ grpcStatus, grpcMessage, body }: Answer): NetworkCheckResult {
  if (grpcStatus === UNIMPLEMENTED) {
    const message = `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${grpcMessage}`;
    return { ok: false, message };
  }
  if (grpcStatus !== OK)
    return { ok: false, message: `error: health rpc probe failed: code = ${grpcStatus} desc = ${grpcMessage}` };
  const name = STATUS_NAMES[servingStatus(body)] ?? 'UNKNOWN';
  return name === 'SERVING'
    ? { ok: true, message: '' }
    : { ok: false, message: `service unhealthy (responded with "${name}")` };
}

/** Field 1 of the message behind the 5 bytes of the frame; a message of no bytes is UNKNOWN. */
function servingStatus(body: Buffer): number {
  const message = body.subarray(5);
  return message[0] === 0x08 ? (message[1] ?? 0) : 0;
}

function requestFrame(service: string): Buffer {
  const name = Buffer.from(service, 'utf8').subarray(0, 127);
  const message = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt32BE(message.length, 1);
  message.copy(frame, 5);
  return frame;
}

const authorityOf = (host: string, port: number): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;

function call(session: ClientHttp2Session, { host, port, service }: GrpcCheck): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': PATH,
      ':scheme': 'http',
      ':authority': authorityOf(host, port),
      'content-type': 'application/grpc',
      te: 'trailers',
      'user-agent': USER_AGENT,
    });
    const chunks: Buffer[] = [];
    let head: Record<string, unknown> = {};
    let size = 0;
    // A server that has nothing to say sends its status in the head.
    stream.on('response', (headers) => {
      head = headers;
    });
    stream.on('trailers', (trailers) => {
      head = { ...head, ...trailers };
    });
    stream.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= MAX_ANSWER_BYTES) chunks.push(chunk);
      else stream.close(constants.NGHTTP2_CANCEL);
    });
    stream.on('error', reject);
    stream.on('close', () => {
      const status = head['grpc-status'];
      if (status === undefined) {
        reject(new Error(`no gRPC answer, HTTP status ${String(head[':status'] ?? 'none')}`));
        return;
      }
      const grpcMessage = decodeURIComponent(String(head['grpc-message'] ?? ''));
      resolve({ grpcStatus: Number(status), grpcMessage, body: Buffer.concat(chunks) });
    });
    stream.end(requestFrame(service));
  });
}
