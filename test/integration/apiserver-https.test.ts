import http2 from 'node:http2';
import https from 'node:https';
import tls from 'node:tls';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { unauthorized } from '#api/object/api-error.ts';
import { silentLogger } from '#base/logger.ts';
import type { ApiRequest, Peer } from '#controller/apiserver/server/api-request.ts';
import { type HttpsServer, listenHttps } from '#controller/apiserver/server/http-adapter.ts';
import {
  createTestAuthority,
  type KeyPair,
  type TestAuthority,
} from '#controller/apiserver/server/testing/test-certificates.ts';
import { createTestServer, type TestServer } from '#controller/apiserver/server/testing/test-server.ts';
import { toyConfigMaps } from '#controller/apiserver/server/testing/toy-resources.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const DAY_MS = 86_400_000;
const CONFIG_MAPS = '/api/v1/namespaces/a/configmaps';
const ADMIN = { commonName: 'admin', organizations: ['system:masters', 'others'] };

interface Reply {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
}

interface Call {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
  readonly client?: KeyPair;
}

let authority: TestAuthority;
let proxies: TestAuthority;
let admin: KeyPair;
let api: TestServer;
let server: HttpsServer;
let seenPeer: Peer | undefined;

beforeAll(async () => {
  authority = await createTestAuthority();
  proxies = await createTestAuthority('front-proxy-ca');
  admin = await authority.issue(ADMIN, 'client auth');
  const serving = await authority.issue({ commonName: 'apiserver', organizations: [] }, 'server auth');
  const authenticate = {
    name: 'authenticate',
    run({ request }: { request: ApiRequest }, next: () => Promise<void>) {
      seenPeer = request.peer;
      if (request.header('authorization') !== undefined) throw unauthorized();
      return next();
    },
  };
  api = createTestServer({ definitions: [toyConfigMaps], filters: [authenticate] });
  server = await listenHttps({
    host: '127.0.0.1',
    port: 0,
    tls: { ...serving, ca: authority.cert, frontProxyCa: proxies.cert },
    handler: api.server.handle,
    log: silentLogger,
  });
  const body = { metadata: { name: 'x' }, data: { a: 'b' } };
  expect((await overHttp1({ method: 'POST', path: CONFIG_MAPS, body: JSON.stringify(body) })).status).toBe(201);
});
afterAll(() => server?.close());

const tlsOptions = (client?: KeyPair) => ({ ca: authority.cert, ...(client ?? {}) });

function overHttp1({ method = 'GET', path, headers, body, client }: Call): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const request = https.request(
      { host: '127.0.0.1', port: server.port, method, path, headers, agent: false, ...tlsOptions(client) },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers as Record<string, string>,
            body: Buffer.concat(chunks),
          }),
        );
        response.on('error', reject);
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

function overHttp2({ method = 'GET', path, headers, body, client }: Call): Promise<Reply> {
  const session = http2.connect(`https://127.0.0.1:${server.port}`, tlsOptions(client));
  return new Promise<Reply>((resolve, reject) => {
    session.on('error', reject);
    const stream = session.request({ ':method': method, ':path': path, ...headers });
    const chunks: Buffer[] = [];
    let head: Record<string, string> = {};
    stream.on('response', (values) => {
      head = values as unknown as Record<string, string>;
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => resolve({ status: Number(head[':status']), headers: head, body: Buffer.concat(chunks) }));
    stream.on('error', reject);
    stream.end(body);
  }).finally(() => session.destroy());
}

describe.each([
  ['HTTP/1.1', overHttp1],
  ['HTTP/2', overHttp2],
] as const)('over %s', (_name, call) => {
  test('an object is read', async () => {
    const reply = await call({ path: `${CONFIG_MAPS}/x` });
    expect(reply.status).toBe(200);
    expect(reply.headers['content-type']).toBe('application/json');
    expect(reply.headers['audit-id']).toMatch(/^[0-9a-f-]{36}$/);
    expect(JSON.parse(reply.body.toString())).toMatchObject({ kind: 'ConfigMap', data: { a: 'b' } });
  });

  test('a client certificate of our CA names the peer', async () => {
    await call({ path: CONFIG_MAPS, client: admin });
    expect(seenPeer?.certificate).toEqual({ ...ADMIN, expiresAtMs: expect.any(Number) });
    expect(seenPeer?.address).toBe('127.0.0.1');
  });

  test('a certificate of the front-proxy CA makes a proxy of the peer, and no user', async () => {
    await call({ path: CONFIG_MAPS, client: await proxies.issue(ADMIN, 'client auth') });
    expect(seenPeer).toMatchObject({ certificate: undefined, frontProxy: { commonName: 'admin' } });
    await call({ path: CONFIG_MAPS, client: admin });
    expect(seenPeer?.frontProxy).toBeUndefined();
  });

  test('a certificate of a foreign CA names nobody', async () => {
    const foreign = await createTestAuthority('foreign');
    await call({ path: CONFIG_MAPS, client: await foreign.issue(ADMIN, 'client auth') });
    expect(seenPeer?.certificate).toBeUndefined();
    await call({ path: CONFIG_MAPS });
    expect(seenPeer?.certificate).toBeUndefined();
  });

  test('a certificate of ours that has expired still says whose key it was, and since when it does not count', async () => {
    const beforeMs = Date.now();
    const expired = await authority.issue({ commonName: 'a', organizations: ['o'] }, 'client auth', [], -60_000);
    await call({ path: CONFIG_MAPS, client: expired });
    expect(seenPeer?.certificate).toMatchObject({ commonName: 'a', organizations: ['o'] });
    expect(seenPeer?.certificate?.expiresAtMs).toBeLessThan(beforeMs);
  });

  test('a certificate of ours that begins tomorrow counts: our clock was set back', async () => {
    const ahead = await authority.issue(
      { commonName: 'a', organizations: ['o'] },
      'client auth',
      [],
      2 * DAY_MS,
      DAY_MS,
    );
    await call({ path: CONFIG_MAPS, client: ahead });
    expect(seenPeer?.certificate).toMatchObject({ commonName: 'a', organizations: ['o'] });
  });

  test.each<[string, () => Promise<KeyPair>]>([
    ['another CA', async () => (await createTestAuthority()).issue(ADMIN, 'client auth', [], 2 * DAY_MS, DAY_MS)],
    ['the front-proxy CA', () => proxies.issue(ADMIN, 'client auth', [], 2 * DAY_MS, DAY_MS)],
    ['our CA for servers', () => authority.issue(ADMIN, 'server auth', [], 2 * DAY_MS, DAY_MS)],
  ])('one of %s that begins tomorrow names nobody', async (_, issue) => {
    await call({ path: CONFIG_MAPS, client: await issue() });
    expect(seenPeer).toMatchObject({ certificate: undefined });
  });

  test.each<[string, () => Promise<KeyPair>]>([
    ['another CA', async () => (await createTestAuthority()).issue(ADMIN, 'client auth', [], -60_000)],
    ['the front-proxy CA', () => proxies.issue(ADMIN, 'client auth', [], -60_000)],
    ['our CA for servers', () => authority.issue(ADMIN, 'server auth', [], -60_000)],
  ])('an expired certificate of %s names nobody', async (_, issue) => {
    await call({ path: CONFIG_MAPS, client: await issue() });
    expect(seenPeer).toMatchObject({ certificate: undefined });
    expect(seenPeer?.frontProxy).toBeUndefined();
  });

  test('a body over 3 MiB is refused, and the server goes on', async () => {
    const body = Buffer.alloc(3 * 1024 * 1024 + 1, ' ');
    const announced = await call({ method: 'POST', path: CONFIG_MAPS, body }).catch((err: Error) => err);
    // HTTP/1.1 clients may see the connection close before they have sent it all.
    if (!(announced instanceof Error)) expect(announced.status).toBe(413);
    expect((await call({ path: `${CONFIG_MAPS}/x` })).status).toBe(200);
  });

  test('long lists come whole to each of many clients, also after some that went away in the middle', async () => {
    const path = `/api/v1/namespaces/${_name === 'HTTP/2' ? 'long-2' : 'long-1'}/configmaps`;
    const wanted = Array.from({ length: 40 }, (_, i) => [
      `o${10 + i}`,
      String.fromCharCode(97 + (i % 26)).repeat(50_000),
    ]);
    for (const [name, pad] of wanted) {
      const body = JSON.stringify({ metadata: { name }, data: { pad } });
      expect((await call({ method: 'POST', path, body })).status).toBe(201);
    }
    const leave = () =>
      new Promise<void>((resolve, reject) => {
        const request = https.get({ host: '127.0.0.1', port: server.port, path, agent: false, ...tlsOptions() });
        request.on('error', reject);
        request.on('response', (response) => {
          response.on('error', () => {});
          response.once('data', () => resolve(void request.destroy()));
        });
      });
    const read = async () => {
      const { status, headers, body } = await call({ path });
      const { items } = JSON.parse(body.toString()) as {
        items: { metadata: { name: string }; data: { pad: string } }[];
      };
      expect([status, Number(headers['content-length'])]).toEqual([200, body.byteLength]);
      expect(items.map(({ metadata, data }) => [metadata.name, data.pad])).toEqual(wanted);
    };
    await Promise.all([leave(), leave(), ...Array.from({ length: 20 }, read), leave()]);
    await Promise.all(Array.from({ length: 20 }, read));
    const packed = await call({ path, headers: { 'accept-encoding': 'gzip' } });
    expect(JSON.parse(gunzipSync(packed.body).toString()).items).toHaveLength(40);
  });

  test('large answers are compressed for clients that take it', async () => {
    const data = { pad: 'y'.repeat(200_000) };
    await call({
      method: 'PUT',
      path: `${CONFIG_MAPS}/big`,
      body: JSON.stringify({ metadata: { name: 'big' }, data }),
    });
    const packed = await call({ path: `${CONFIG_MAPS}/big`, headers: { 'accept-encoding': 'gzip' } });
    expect(packed.headers['content-encoding']).toBe('gzip');
    expect(JSON.parse(gunzipSync(packed.body).toString()).data).toEqual(data);
    expect((await call({ path: `${CONFIG_MAPS}/big` })).headers['content-encoding']).toBeUndefined();
    expect(
      (await call({ path: `${CONFIG_MAPS}/x`, headers: { 'accept-encoding': 'gzip' } })).headers,
    ).not.toHaveProperty('content-encoding');
  });

  test('HEAD has no body', async () => {
    const reply = await call({ method: 'HEAD', path: `${CONFIG_MAPS}/x` });
    expect([reply.status, reply.body.byteLength]).toEqual([200, 0]);
  });
});

test('an upgrade that nobody takes is answered with a Status', async () => {
  const text = await rawExchange(
    `GET /api/v1/namespaces/a/pods/x/exec HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n`,
  );
  expect(text).toMatch(/^HTTP\/1\.1 404 /);
  expect(text).toContain('"reason":"NotFound"');
});

test('what is no HTTP is answered with 400 and the connection closed', async () => {
  expect(await rawExchange('NONSENSE\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
});

function rawExchange(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({
      host: '127.0.0.1',
      port: server.port,
      ca: authority.cert,
      ALPNProtocols: ['http/1.1'],
    });
    let answer = '';
    socket.once('secureConnect', () => socket.write(text));
    socket.on('data', (chunk) => {
      answer += chunk.toString();
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
  });
}

test('a watch ends on the server when its HTTP/2 stream is cancelled', async () => {
  const session = http2.connect(`https://127.0.0.1:${server.port}`, tlsOptions());
  const stream = session.request({ ':path': `${CONFIG_MAPS}?watch=true` });
  await new Promise((resolve) => stream.once('data', resolve));
  const inFlight = () => Number(/^apiserver_longrunning_requests{.*} (\d+)$/m.exec(api.server.metrics.render())?.[1]);
  expect(inFlight()).toBe(1);
  stream.close(http2.constants.NGHTTP2_CANCEL);
  await waitUntil('the watch ends', 5_000, () => inFlight() === 0);
  session.destroy();
});

test('new TLS material serves the next connection', async () => {
  const next = await authority.issue({ commonName: 'renewed', organizations: [] }, 'server auth');
  server.updateTls({ ...next, ca: authority.cert });
  const socket = tls.connect({ host: '127.0.0.1', port: server.port, ca: authority.cert });
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  expect(socket.getPeerCertificate().subject.CN).toBe('renewed');
  socket.destroy();
});

test('an expired certificate of a CA that came by rotation is known by it', async () => {
  const rotated = await createTestAuthority('rotated');
  const serving = await authority.issue({ commonName: 'renewed', organizations: [] }, 'server auth');
  server.updateTls({ ...serving, ca: `${rotated.cert}${authority.cert}` });
  await overHttp1({ path: CONFIG_MAPS, client: await rotated.issue(ADMIN, 'client auth', [], -60_000) });
  expect(seenPeer?.certificate).toMatchObject(ADMIN);
});

test.each([
  ['GET', undefined, 'keep-alive'],
  ['DELETE', '', 'keep-alive'],
  // What is left of it would be taken for the next request.
  ['POST', 'x'.repeat(1_000_000), 'close'],
])(
  'over HTTP/1.1 a %s that is refused at its head leaves the connection as it can be used',
  async (method, body, connection) => {
    const agent = new https.Agent({ keepAlive: true, ca: authority.cert });
    const reply = await new Promise<{ status: number | undefined; connection: string | undefined }>(
      (resolve, reject) => {
        const headers = { authorization: 'Bearer x', ...(body === undefined ? {} : { 'content-length': body.length }) };
        const request = https.request(
          { host: '127.0.0.1', port: server.port, method, path: CONFIG_MAPS, headers, agent },
          (response) => {
            response.resume();
            resolve({ status: response.statusCode, connection: response.headers.connection });
          },
        );
        request.on('error', reject);
        request.end(body);
      },
    );
    agent.destroy();
    expect(reply).toEqual({ status: 401, connection });
  },
);
