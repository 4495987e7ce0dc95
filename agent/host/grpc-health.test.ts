import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { checkGrpc } from './grpc-health.ts';

let server: Http2Server | undefined;
afterEach(() => server?.close());

interface Served {
  readonly status?: number;
  readonly grpcStatus?: string;
  readonly grpcMessage?: string;
}

/** A health server that answers as told, or never. */
async function serve(answer: Served | 'never', seen: Buffer[] = []): Promise<number> {
  const created = createServer();
  server = created;
  created.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('data', (chunk: Buffer) => seen.push(chunk));
    stream.on('error', () => undefined);
    if (answer === 'never') return;
    const { status, grpcStatus = '0', grpcMessage } = answer;
    stream.on('end', () => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () =>
        stream.sendTrailers({
          'grpc-status': grpcStatus,
          ...(grpcMessage === undefined ? {} : { 'grpc-message': grpcMessage }),
        }),
      );
      stream.end(status === undefined ? undefined : Buffer.from([0, 0, 0, 0, 2, 0x08, status]));
    });
  });
  await new Promise<void>((resolve) => created.listen(0, '127.0.0.1', resolve));
  return (created.address() as AddressInfo).port;
}

const check = (port: number, service = '') => checkGrpc({ host: '127.0.0.1', port, service, timeoutMs: 400 });

test.each<readonly [string, Served, string | undefined]>([
  ['SERVING is healthy', { status: 1 }, undefined],
  ['NOT_SERVING is not', { status: 2 }, 'service unhealthy (responded with "NOT_SERVING")'],
  ['no status is UNKNOWN', { status: 0 }, 'service unhealthy (responded with "UNKNOWN")'],
  [
    'a server without the protocol',
    { grpcStatus: '12', grpcMessage: 'unknown%20service' },
    'error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown service',
  ],
  [
    'a service that it does not know',
    { grpcStatus: '5', grpcMessage: 'x' },
    'error: health rpc probe failed: code = 5 desc = x',
  ],
])('gRPC health: %s', async (_name, answer, message) => {
  const port = await serve(answer);
  expect(await check(port)).toEqual({ ok: message === undefined, message: message ?? '' });
});

test('the name of the service is sent', async () => {
  const seen: Buffer[] = [];
  const port = await serve({ status: 1 }, seen);
  await check(port, 'live');
  expect(Buffer.concat(seen)).toEqual(Buffer.from([0, 0, 0, 0, 6, 0x0a, 4, ...Buffer.from('live')]));
});

test('a server that does not answer, and one that is not there', async () => {
  const port = await serve('never');
  expect((await check(port)).message).toBe('timeout: health rpc did not complete within 0.4s');
  server?.close();
  expect((await check(1)).message).toContain('timeout: failed to connect service "127.0.0.1:1" within 0.4s');
});
