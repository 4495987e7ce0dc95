import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { networkProber } from './network-prober.ts';

let server: Server | undefined;
afterEach(() => server?.close());

async function serve(listener: RequestListener): Promise<number> {
  const created = createServer(listener);
  server = created;
  await new Promise<void>((resolve) => created.listen(0, '127.0.0.1', resolve));
  return (created.address() as AddressInfo).port;
}

const http = (port: number, path = '/', timeoutMs = 1000) =>
  networkProber.http({
    scheme: 'http',
    host: '127.0.0.1',
    port,
    path,
    headers: [['Host', 'probe.example']],
    timeoutMs,
  });

test('an HTTP probe takes 200 for success and sends the headers it was given', async () => {
  let host = '';
  const port = await serve((request, response) => {
    host = request.headers.host ?? '';
    response.end('ok');
  });
  expect(await http(port)).toEqual({ ok: true, message: '' });
  expect(host).toBe('probe.example');
});

test('an HTTP probe names the status code that it failed with', async () => {
  const port = await serve((_request, response) => {
    response.statusCode = 503;
    response.end();
  });
  expect(await http(port)).toEqual({ ok: false, message: 'HTTP probe failed with statuscode: 503' });
});

test('an HTTP probe follows a redirect on the same host', async () => {
  const port = await serve((request, response) => {
    response.statusCode = request.url === '/' ? 302 : 404;
    response.setHeader('location', '/missing');
    response.end();
  });
  expect((await http(port)).message).toContain('404');
});

test('an HTTP probe gives up on a server that never answers', async () => {
  const port = await serve(() => undefined);
  expect((await http(port, '/', 50)).message).toContain('context deadline exceeded');
});

test('a TCP probe tells an open port from a closed one', async () => {
  const port = await serve(() => undefined);
  expect(await networkProber.tcp('127.0.0.1', port, 1000)).toEqual({ ok: true, message: '' });
  server?.close();
  const closed = await networkProber.tcp('127.0.0.1', port, 1000);
  expect(closed).toEqual({ ok: false, message: `dial tcp 127.0.0.1:${port}: connect: connection refused` });
});

test('an HTTP probe says where nobody listens, in the words of Kubernetes', async () => {
  const port = await serve(() => undefined);
  server?.close();
  const message = `Get "http://127.0.0.1:${port}/": dial tcp 127.0.0.1:${port}: connect: connection refused`;
  expect(await http(port)).toEqual({ ok: false, message });
});

test('an HTTP probe reads what a script behind a web server answers, whose lines end without a carriage return', async () => {
  const script = createTcpServer((socket) => socket.once('data', () => socket.end('HTTP/1.0 200 OK\nA: b\n\nok')));
  await new Promise<void>((resolve) => script.listen(0, '127.0.0.1', resolve));
  const answer = await http((script.address() as AddressInfo).port);
  script.close();
  expect(answer).toEqual({ ok: true, message: '' });
});

test('probes of IPv6 name their target as Go does', async () => {
  const port = await serve(() => undefined);
  server?.close();
  expect((await networkProber.tcp('::1', port, 1000)).message).toBe(
    `dial tcp [::1]:${port}: connect: connection refused`,
  );
});
