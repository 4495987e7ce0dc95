import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import http2 from 'node:http2';
import { request as httpsRequest } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { ApiError } from '#api/object/api-error.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { connectSubresources } from '#controller/apiserver/connect/connect-subresources.ts';
import { builtinResources } from '#controller/apiserver/resources/builtin-resources.ts';
import { type HttpsServer, listenHttps } from '#controller/apiserver/server/http-adapter.ts';
import { createTestAuthority, type TestAuthority } from '#controller/apiserver/server/testing/test-certificates.ts';
import { createTestServer } from '#controller/apiserver/server/testing/test-server.ts';
import type { DialTarget } from '#controller/tunnel/dialer.ts';

const PREFIX = '/api/v1/namespaces/default/pods/web:8080/proxy';
const SERVICE = '/api/v1/namespaces/default/services';

let authority: TestAuthority;
let server: HttpsServer;
let backend: Server;
const dialed: DialTarget[] = [];

/** Answers with what it was asked, and does a few special things by path. */
function answer(request: IncomingMessage, response: ServerResponse): void {
  const path = request.url ?? '/';
  if (path === '/redirect') response.writeHead(302, { location: '/login?a=b' }).end();
  else if (path === '/cookie') response.writeHead(200, { 'set-cookie': ['a=b; Path=/', 'c=d'] }).end();
  else if (path === '/page') response.writeHead(200, { 'content-type': 'text/html' }).end('<a href="/x">x</a>');
  else if (path === '/never') response.write('begun');
  else if (path === '/flood') flood(response);
  else if (path.startsWith('/cut')) {
    response.writeHead(200, path === '/cut' ? { 'content-length': '100' } : {}).write('begun');
    setImmediate(() => response.destroy());
  } else void echo(request, response);
}

let flooded = 0;
function flood(response: ServerResponse): void {
  const chunk = Buffer.alloc(64 * 1024);
  const write = () => {
    while (response.write(chunk)) flooded += chunk.length;
    response.once('drain', write);
  };
  write();
}

async function echo(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of request) {
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
  }
  const { method, url, headers } = request;
  const text = JSON.stringify({ method, url, headers, bytes, sha256: hash.digest('hex') });
  response.writeHead(url === '/teapot' ? 418 : 200, { 'content-type': 'application/json', 'x-own': 'yes' }).end(text);
}

beforeAll(async () => {
  authority = await createTestAuthority();
  backend = createServer(answer).listen(0, '127.0.0.1');
  const sockets = new WebSocketServer({ server: backend, handleProtocols: (offered) => [...offered][0] ?? false });
  sockets.on('connection', (client, request) => {
    client.send(JSON.stringify(request.headers));
    client.on('message', (data) => client.send(data));
  });
  await new Promise((resolve) => backend.once('listening', resolve));
  const { port } = backend.address() as AddressInfo;
  const streams = connectSubresources(
    {
      kubeletTls: () => ({ ca: undefined, cert: '', key: '' }),
      clock: systemClock,
      log: silentLogger,
      authorizer: { name: 'all', authorize: () => ({ decision: 'allow', reason: '' }) },
    },
    { accept() {}, twinProblem: async () => undefined },
  );
  const definitions = builtinResources({
    podSubresources: streams.pods,
    nodeSubresources: streams.nodes,
    serviceSubresources: streams.services,
    serviceCidr: '10.96.0.0/16',
    nodePortRange: { from: 30_000, to: 32_767 },
  });
  const api = createTestServer({
    definitions,
    extend: () => ({
      clock: systemClock,
      dialer: {
        async dial(target) {
          dialed.push(target);
          if (target.kind === 'service' && target.port === 81)
            throw new ApiError(503, 'ServiceUnavailable', 'no endpoints available');
          return connect(port, '127.0.0.1');
        },
      },
    }),
  });
  await api.expect(201, 'POST', '/api/v1/namespaces', { metadata: { name: 'default' } });
  await api.expect(201, 'POST', '/api/v1/namespaces/default/pods', {
    metadata: { name: 'web' },
    spec: { containers: [{ name: 'c', image: 'i', ports: [{ name: 'http', containerPort: 8080 }] }] },
  });
  const ports = [
    { name: 'http', port: 80 },
    { name: 'empty', port: 81 },
  ];
  await api.expect(201, 'POST', SERVICE, { metadata: { name: 'web' }, spec: { selector: { a: 'b' }, ports } });
  const serving = await authority.issue({ commonName: 'apiserver', organizations: [] }, 'server auth');
  server = await listenHttps({
    host: '127.0.0.1',
    port: 0,
    tls: { ...serving, ca: authority.cert },
    handler: api.server.handle,
    log: silentLogger,
  });
});
afterAll(async () => {
  await server?.close();
  backend?.closeAllConnections();
  backend?.close();
});

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  /** False when the answer broke off. */
  readonly isWhole: boolean;
}

type Call = { readonly method?: string; readonly headers?: Record<string, string>; readonly body?: Buffer };

function call(path: string, { method = 'GET', headers = {}, body }: Call = {}): Promise<Answer> {
  const framed = body === undefined ? headers : { 'content-length': String(body.length), ...headers };
  const options = {
    host: '127.0.0.1',
    port: server.port,
    path,
    method,
    headers: Object.fromEntries(Object.entries(framed).filter(([, value]) => value !== undefined)),
    ca: authority.cert,
    agent: false,
  };
  return new Promise((resolve, reject) => {
    const outgoing = httpsRequest(options, (response) => {
      let text = '';
      response.on('data', (chunk) => (text += chunk));
      response.on('error', () => {});
      response.on('close', () =>
        resolve({ status: response.statusCode, headers: response.headers, body: text, isWhole: response.complete }),
      );
    });
    outgoing.once('error', reject);
    outgoing.end(body);
  });
}

describe('pods/proxy', () => {
  it.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])(
    'passes %s with path, query, headers and body',
    async (method) => {
      const body = method === 'GET' || method === 'OPTIONS' ? undefined : Buffer.from('hello');
      const headers = { 'x-custom': 'mine', cookie: 'a=b', authorization: 'Bearer secret', 'impersonate-user': 'x' };
      const answered = await call(`${PREFIX}/a%2Fb/c?d=e&f`, {
        method,
        headers,
        ...(body === undefined ? {} : { body }),
      });
      expect(answered).toMatchObject({ status: 200, headers: { 'x-own': 'yes' } });
      const seen = JSON.parse(answered.body);
      expect(seen).toMatchObject({
        method,
        url: '/a%2Fb/c?d=e&f',
        bytes: body?.length ?? 0,
        headers: {
          host: 'web:8080',
          'x-custom': 'mine',
          cookie: 'a=b',
          'x-forwarded-for': '127.0.0.1',
          'x-forwarded-proto': 'https',
          'x-forwarded-host': `127.0.0.1:${server.port}`,
          'x-forwarded-uri': `${PREFIX}/a%2Fb/c?d=e&f`,
        },
      });
      expect(Object.keys(seen.headers)).not.toContain('authorization');
      expect(Object.keys(seen.headers)).not.toContain('impersonate-user');
    },
  );

  it('passes HEAD, whose answer has no body', async () => {
    expect(await call(`${PREFIX}/x`, { method: 'HEAD' })).toMatchObject({ status: 200, body: '' });
  });

  it('passes bodies of any size as they come', async () => {
    const body = Buffer.alloc(20 * 1024 * 1024, 'x');
    const answered = await call(`${PREFIX}/x`, { method: 'POST', body });
    expect(JSON.parse(answered.body)).toMatchObject({
      bytes: body.length,
      sha256: createHash('sha256').update(body).digest('hex'),
    });
  });

  it('passes a body without a length, whatever the method', async () => {
    const headers = { 'transfer-encoding': 'chunked', 'content-length': undefined } as unknown as Record<
      string,
      string
    >;
    for (const method of ['DELETE', 'POST']) {
      const answered = await call(`${PREFIX}/x`, { method, headers, body: Buffer.from('hello') });
      expect(JSON.parse(answered.body)).toMatchObject({ method, bytes: 5 });
    }
  });

  it('passes requests of HTTP/2', async () => {
    const session = http2.connect(`https://127.0.0.1:${server.port}`, { ca: authority.cert });
    const stream = session.request({ ':path': `${PREFIX}/x`, ':method': 'POST', 'x-custom': 'mine' });
    stream.end('hello');
    let text = '';
    stream.on('data', (chunk) => (text += chunk));
    await new Promise((resolve) => stream.once('end', resolve));
    session.destroy();
    expect(JSON.parse(text)).toMatchObject({ method: 'POST', bytes: 5, headers: { 'x-custom': 'mine' } });
  });

  it('keeps statuses, cookies, redirects and links in place', async () => {
    expect((await call(`${PREFIX}/teapot`)).status).toBe(418);
    expect((await call(`${PREFIX}/cookie`)).headers['set-cookie']).toEqual(['a=b; Path=/', 'c=d']);
    expect((await call(`${PREFIX}/redirect`)).headers.location).toBe(`${PREFIX}/login?a=b`);
    expect((await call(`${PREFIX}/page`)).body).toBe(`<a href="${PREFIX}/x">x</a>`);
    expect(await call(PREFIX)).toMatchObject({ status: 301, headers: { location: `${PREFIX}/` } });
  });

  it.each(['/cut', '/cut-open-ended'])('breaks off what the backend breaks off: %s', async (path) => {
    expect(await call(`${PREFIX}${path}`)).toMatchObject({ status: 200, body: 'begun', isWhole: false });
    expect(await call(`${PREFIX}/x`)).toMatchObject({ status: 200, isWhole: true });
  });

  it('lets go of the backend when the client goes', async () => {
    const options = { host: '127.0.0.1', port: server.port, path: `${PREFIX}/never`, ca: authority.cert, agent: false };
    const outgoing = httpsRequest(options);
    outgoing.on('error', () => {});
    outgoing.end();
    const served = await new Promise<IncomingMessage>((resolve) => backend.once('request', resolve));
    const closed = new Promise<void>((resolve) => served.socket.once('close', () => resolve()));
    await new Promise((resolve) => outgoing.once('response', resolve));
    outgoing.destroy();
    await closed;
  });

  it('does not read more from the backend than the client takes', async () => {
    flooded = 0;
    const options = { host: '127.0.0.1', port: server.port, path: `${PREFIX}/flood`, ca: authority.cert, agent: false };
    const outgoing = httpsRequest(options);
    outgoing.on('error', () => {});
    outgoing.end();
    const response = await new Promise<IncomingMessage>((resolve) => outgoing.once('response', resolve));
    response.pause();
    let before = -1;
    await expect
      .poll(
        () => {
          const isStill = flooded === before;
          before = flooded;
          return isStill;
        },
        { interval: 200 },
      )
      .toBe(true);
    // What sockets and buffers between them hold.
    expect(flooded).toBeLessThan(32 * 1024 * 1024);
    outgoing.destroy();
  });

  it('carries an upgrade through, without the token among its subprotocols', async () => {
    const token = `base64url.bearer.authorization.k8s.io.${Buffer.from('secret').toString('base64url')}`;
    const url = `wss://127.0.0.1:${server.port}${PREFIX}/ws`;
    const client = new WebSocket(url, ['chat', token], { ca: authority.cert, headers: { 'x-custom': 'mine' } });
    const messages: string[] = [];
    client.on('message', (data) => messages.push(String(data)));
    await new Promise((resolve, reject) => client.once('open', resolve).once('error', reject));
    expect(client.protocol).toBe('chat');
    client.send('ping');
    await expect.poll(() => messages[1]).toBe('ping');
    const headers = JSON.parse(messages[0]!);
    expect(headers).toMatchObject({ 'x-custom': 'mine', host: 'web:8080', 'sec-websocket-protocol': 'chat' });
    client.terminate();
  });

  it('answers for a pod that is not there', async () => {
    const answered = await call('/api/v1/namespaces/default/pods/absent/proxy/');
    expect(answered.status).toBe(404);
    expect(JSON.parse(answered.body)).toMatchObject({ kind: 'Status', reason: 'NotFound' });
  });
});

describe('names of pods and Services', () => {
  it.each([
    ['/api/v1/namespaces/default/pods/web/proxy/', { kind: 'pod', port: 8080 }],
    ['/api/v1/namespaces/default/pods/web:http/proxy/', { kind: 'pod', port: 8080 }],
    ['/api/v1/namespaces/default/pods/http:web:9000/proxy/', { kind: 'pod', port: 9000 }],
    [`${SERVICE}/web:http/proxy/`, { kind: 'service', port: 80 }],
    [`${SERVICE}/web:80/proxy/`, { kind: 'service', port: 80 }],
    [`${SERVICE}/http:web:http/proxy/`, { kind: 'service', port: 80 }],
  ])('%s', async (path, target) => {
    dialed.length = 0;
    expect((await call(path)).status).toBe(200);
    expect(dialed).toEqual([{ namespace: 'default', name: 'web', ...target }]);
  });

  it.each([
    [`${SERVICE}/web/proxy/`, 503, 'no service port "" found for service "web"'],
    [`${SERVICE}/web:other/proxy/`, 503, 'no service port "other" found for service "web"'],
    [`${SERVICE}/web:empty/proxy/`, 503, 'no endpoints available'],
    [`${SERVICE}/ftp:web:http/proxy/`, 400, 'invalid'],
    [`${SERVICE}/absent/proxy/`, 404, 'services "absent" not found'],
  ])('%s is refused', async (path, status, message) => {
    const answered = await call(path);
    expect(answered.status).toBe(status);
    expect(JSON.parse(answered.body).message).toContain(message);
  });
});

describe('a watch over a WebSocket', () => {
  const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';
  const open = async (path: string, headers: Record<string, string> = {}) => {
    const client = new WebSocket(`wss://127.0.0.1:${server.port}${path}`, { ca: authority.cert, headers });
    const messages: { readonly data: Buffer; readonly isBinary: boolean }[] = [];
    client.on('message', (data: Buffer, isBinary) => messages.push({ data, isBinary }));
    await new Promise((resolve, reject) => client.once('open', resolve).once('error', reject));
    return { client, messages };
  };
  const post = (name: string) =>
    call(CONFIG_MAPS, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: Buffer.from(JSON.stringify({ metadata: { name }, data: { text: 'a\nb' } })),
    });

  it('gets one text message per event', async () => {
    await post('before-1');
    await post('before-2');
    const { client, messages } = await open(`${CONFIG_MAPS}?watch=1`);
    await post('after');
    await expect.poll(() => messages.length).toBe(3);
    expect(messages.every(({ isBinary }) => !isBinary)).toBe(true);
    const events = messages.map(({ data }) => JSON.parse(data.toString()));
    expect(events.map(({ type, object }) => [type, object.metadata.name])).toEqual([
      ['ADDED', 'before-1'],
      ['ADDED', 'before-2'],
      ['ADDED', 'after'],
    ]);
    client.close();
  });

  it('gets binary messages of protobuf', async () => {
    const { client, messages } = await open(`${CONFIG_MAPS}?watch=1`, {
      accept: 'application/vnd.kubernetes.protobuf',
    });
    await expect.poll(() => messages.length).toBeGreaterThanOrEqual(2);
    // A WatchEvent begins with its type: field 1, five bytes.
    expect(messages[0]!.isBinary).toBe(true);
    expect(messages[0]!.data.subarray(0, 7).toString('latin1')).toBe('\x0a\x05ADDED');
    client.close();
  });

  it('takes the subprotocol that a browser offers beside its token', async () => {
    const url = `wss://127.0.0.1:${server.port}${CONFIG_MAPS}?watch=1`;
    const offered = ['base64url.bearer.authorization.k8s.io.YQ', 'base64.binary.k8s.io'];
    const client = new WebSocket(url, offered, { ca: authority.cert });
    // A client that offered subprotocols fails when none of them is chosen.
    await new Promise((resolve, reject) => client.once('open', resolve).once('error', reject));
    expect(client.protocol).toBe('base64.binary.k8s.io');
    client.close();
  });

  it('ends with its time, as an orderly close', async () => {
    const { client } = await open(`${CONFIG_MAPS}?watch=1&timeoutSeconds=1`);
    expect(await new Promise((resolve) => client.once('close', resolve))).toBe(1000);
  });

  it('is refused as a Status', async () => {
    const client = new WebSocket(`wss://127.0.0.1:${server.port}${CONFIG_MAPS}?watch=1&fieldSelector=x%3Dy`, {
      ca: authority.cert,
    });
    const status = await new Promise((resolve) =>
      client.once('unexpected-response', (_, response) => resolve(response.statusCode)),
    );
    expect(status).toBe(400);
  });
});
