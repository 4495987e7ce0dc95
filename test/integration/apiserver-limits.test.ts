import http2 from 'node:http2';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { type HttpsServer, listenHttps } from '#controller/apiserver/server/http-adapter.ts';
import { createTestAuthority, type TestAuthority } from '#controller/apiserver/server/testing/test-certificates.ts';
import { createTestServer, type TestServer } from '#controller/apiserver/server/testing/test-server.ts';
import { toyConfigMaps } from '#controller/apiserver/server/testing/toy-resources.ts';

const CONFIG_MAPS = '/api/v1/namespaces/a/configmaps';

let authority: TestAuthority;
let api: TestServer;
let server: HttpsServer;

beforeAll(async () => {
  authority = await createTestAuthority();
  const serving = await authority.issue({ commonName: 'apiserver', organizations: [] }, 'server auth');
  api = createTestServer({ definitions: [toyConfigMaps], extend: () => ({ clock: systemClock }) });
  server = await listenHttps({
    host: '127.0.0.1',
    port: 0,
    tls: { ...serving, ca: authority.cert },
    handler: api.server.handle,
    log: silentLogger,
    limits: { headersTimeoutMs: 2000, idleTimeoutMs: 1500, sweepMs: 100, maxConnections: 50 },
  });
});
afterAll(() => server?.close());

/** A connection that speaks HTTP/1.1 by hand; resolves with all that the server says until it hangs up. */
function rawConnection(): Promise<{ readonly socket: tls.TLSSocket; readonly closed: Promise<string> }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ socket: tls.TLSSocket; closed: Promise<string> }>();
  const socket = tls.connect({ host: '127.0.0.1', port: server.port, ca: authority.cert, ALPNProtocols: ['http/1.1'] });
  let text = '';
  socket.on('data', (chunk) => (text += chunk));
  const closed = new Promise<string>((done) => socket.once('close', () => done(text)));
  socket.once('secureConnect', () => resolve({ socket, closed }));
  socket.once('error', reject);
  return promise;
}

async function say(text: string): Promise<string> {
  const { socket, closed } = await rawConnection();
  socket.on('error', () => {});
  socket.write(text);
  return closed;
}

const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);

describe('HTTP/1.1', () => {
  test('takes long URLs, and answers 431 to what is too long', async () => {
    const long = `${CONFIG_MAPS}?labelSelector=${'a'.repeat(63)},${'b,'.repeat(4000)}c`;
    expect(statusOf(await say(`GET ${long} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`))).toBe(200);
    const tooLong = `${CONFIG_MAPS}?labelSelector=${'b,'.repeat(100_000)}c`;
    expect(statusOf(await say(`GET ${tooLong} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`))).toBe(431);
  });

  test('answers 431 to headers that are too large', async () => {
    const head = `GET ${CONFIG_MAPS} HTTP/1.1\r\nHost: x\r\nX-Large: ${'x'.repeat(200_000)}\r\n\r\n`;
    expect(statusOf(await say(head))).toBe(431);
  });

  test('hangs up on headers that never end', async () => {
    expect(statusOf(await say(`GET ${CONFIG_MAPS} HTTP/1.1\r\nHost: x\r\n`))).toBe(408);
  });

  test('answers a body that never ends at its deadline, and hangs up', async () => {
    const head = `POST ${CONFIG_MAPS}?timeout=1s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"a":`;
    const answer = await say(head);
    expect(statusOf(answer)).toBe(504);
    expect(answer).toContain('"reason":"Timeout"');
  });

  test('answers 400 to what is no HTTP', async () => {
    expect(statusOf(await say('hello\r\n\r\n'))).toBe(400);
  });

  test('hangs up on connections that say nothing', async () => {
    const { closed } = await rawConnection();
    await closed;
  });
});

describe('HTTP/2', () => {
  const open = () => http2.connect(`https://127.0.0.1:${server.port}`, { ca: authority.cert });
  const request = (session: http2.ClientHttp2Session, headers: http2.OutgoingHttpHeaders, body?: string) =>
    new Promise<number | string>((resolve) => {
      const stream = session.request(headers, { endStream: body === undefined });
      stream.on('response', (head) => resolve(head[':status'] ?? 0));
      stream.on('error', (err: NodeJS.ErrnoException) => resolve(err.code ?? err.message));
      stream.resume();
      if (body !== undefined) stream.write(body);
    });

  test('takes long URLs, and refuses what is too long', async () => {
    const session = open();
    session.on('error', () => {});
    expect(await request(session, { ':path': `${CONFIG_MAPS}?labelSelector=${'b,'.repeat(4000)}c` })).toBe(200);
    session.destroy();
    const other = open();
    other.on('error', () => {});
    const refused = await request(other, { ':path': `${CONFIG_MAPS}?labelSelector=${'b,'.repeat(100_000)}c` });
    expect([431, 'ERR_HTTP2_STREAM_ERROR', 'ERR_HTTP2_SESSION_ERROR', 'ERR_HTTP2_FRAME_ERROR']).toContain(refused);
    other.destroy();
    const again = open();
    expect(await request(again, { ':path': CONFIG_MAPS })).toBe(200);
    again.destroy();
  });

  test('answers a body that never ends at its deadline, and frees its stream', async () => {
    const session = open();
    const headers = { ':method': 'POST', ':path': `${CONFIG_MAPS}?timeout=1s`, 'content-type': 'application/json' };
    const stream = session.request(headers);
    stream.write('{"a":');
    stream.resume();
    const closed = new Promise<void>((resolve) => stream.once('close', () => resolve()));
    const status = await new Promise((resolve) => stream.once('response', (head) => resolve(head[':status'])));
    expect(status).toBe(504);
    await closed;
    session.destroy();
  });

  test('says goodbye to a session without requests', async () => {
    const session = open();
    const told = new Promise<void>((resolve) => session.once('goaway', () => resolve()));
    await told;
    session.destroy();
  });

  test('keeps a session that watches', async () => {
    const session = open();
    const stream = session.request({ ':path': `${CONFIG_MAPS}?watch=1&timeoutSeconds=2` });
    let goneAway = false;
    session.once('goaway', () => (goneAway = true));
    stream.resume();
    await new Promise((resolve) => stream.once('response', resolve));
    await new Promise((resolve) => stream.once('end', resolve));
    expect(goneAway).toBe(false);
    session.destroy();
  });
});

test('no more connections than the server has room for', async () => {
  const sockets: tls.TLSSocket[] = [];
  let refused = 0;
  await Promise.all(
    Array.from({ length: 60 }, () =>
      rawConnection().then(
        ({ socket }) => sockets.push(socket),
        () => refused++,
      ),
    ),
  );
  expect(refused).toBeGreaterThanOrEqual(10);
  for (const socket of sockets) socket.destroy();
  const request = `GET ${CONFIG_MAPS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`;
  await expect.poll(() => say(request).then(statusOf, () => 0)).toBe(200);
});
