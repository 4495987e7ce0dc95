import { createServer, type Http2ServerRequest, type Http2ServerResponse, type ServerHttp2Session } from 'node:http2';
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '#base/clock.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { createHttpTransport } from './http-transport.ts';
import { createKubeClient } from './kube-client.ts';
import { type Transport, TransportError, type TransportResponse } from './transport.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

type OnRequest = (req: Http2ServerRequest, res: Http2ServerResponse) => void;

async function startServer(onRequest: OnRequest) {
  const server = createServer();
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session) => sessions.add(session));
  server.on('request', onRequest);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = () => {
    for (const session of sessions) session.destroy();
    server.close();
  };
  cleanups.push(stop);
  /** As a server that ends in an orderly way. */
  const sayGoodbye = () => {
    server.close();
    for (const session of sessions) session.close();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop, sayGoodbye };
}

/** A wire that can be cut without either side noticing. */
async function startWire(url: string) {
  const sockets: Socket[] = [];
  const proxy = createTcpServer((inner) => {
    const outer = connectTcp(Number(new URL(url).port), '127.0.0.1');
    inner.pipe(outer);
    outer.pipe(inner);
    sockets.push(inner, outer);
    for (const socket of [inner, outer]) socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });
  const freeze = () => {
    for (const socket of sockets) socket.unpipe().pause();
    proxy.close();
  };
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, freeze };
}

function connectTo(servers: string[], token?: string, clock: Clock = systemClock): Transport {
  const transport = createHttpTransport({
    servers,
    userAgent: 'test/1',
    token,
    clock,
    log: silentLogger,
    random: () => 1,
  });
  cleanups.push(() => transport.close());
  return transport;
}

async function readText(response: TransportResponse): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe('HTTP transport', () => {
  it('sends body and credentials and reads the answer', async () => {
    const { url } = await startServer((req, res) => {
      const { headers, method } = req;
      const chunks: Buffer[] = [];
      req.on('data', (chunk: Buffer) => chunks.push(chunk));
      req.on('end', () => {
        res.writeHead(201);
        res.end(`${method} ${headers.authorization} ${headers['user-agent']} ${Buffer.concat(chunks)}`);
      });
    });
    const response = await connectTo([url], 'secret').request({
      method: 'POST',
      path: '/x',
      body: new TextEncoder().encode('body'),
    });
    expect(response.status).toBe(201);
    expect(await readText(response)).toBe('POST Bearer secret test/1 body');
  });

  it('fails over to the next server and reconnects after a loss', async () => {
    const first = await startServer((_, res) => res.end('first'));
    const second = await startServer((_, res) => res.end('second'));
    const transport = connectTo([first.url, second.url]);
    const ask = async () => readText(await transport.request({ method: 'GET', path: '/' }));
    expect(await ask()).toBe('first');
    first.stop();
    await expect.poll(() => ask().catch(() => 'lost'), { timeout: 5000 }).toBe('second');
  });

  it('gives up an answer that does not come in time', async () => {
    const clock = new FakeClock();
    const arrived = Promise.withResolvers<void>();
    const { url } = await startServer(() => arrived.resolve());
    const answer = connectTo([url], undefined, clock).request({ method: 'GET', path: '/', timeoutMs: 1000 });
    const outcome = answer.catch((err: unknown) => err);
    await arrived.promise;
    await clock.advance(1000);
    expect(await outcome).toBeInstanceOf(TransportError);
  });

  it('rejects with the reason of an aborted signal, also in the middle of a stream', async () => {
    const { url } = await startServer((_, res) => res.write('part'));
    const abort = new AbortController();
    const response = await connectTo([url]).request({ method: 'GET', path: '/', signal: abort.signal });
    const reading = (async () => {
      for await (const _ of response.body) abort.abort(new Error('enough'));
    })();
    await expect(reading).rejects.toThrow('enough');
  });

  it('cancels the request when the reader leaves early', async () => {
    const closed = Promise.withResolvers<void>();
    const { url } = await startServer((_, res) => {
      res.write('part');
      res.on('close', () => closed.resolve());
    });
    const response = await connectTo([url]).request({ method: 'GET', path: '/' });
    for await (const _ of response.body) break;
    await closed.promise;
  });

  it('gives up a peer that no longer answers pings', async () => {
    const clock = new FakeClock();
    const { url } = await startServer((_, res) => res.write('x'));
    const wire = await startWire(url);
    const response = await connectTo([wire.url], undefined, clock).request({ method: 'GET', path: '/' });
    const reading = readText(response).catch((err: unknown) => err);
    wire.freeze();
    for (let i = 0; i < 6; i++) await clock.advance(10_000);
    expect(await reading).toBeInstanceOf(TransportError);
  });
});

describe('HTTP transport to several servers', () => {
  const answer =
    (text: string): OnRequest =>
    (_, res) =>
      res.end(text);
  const ask = async (transport: Transport, method: 'GET' | 'PUT' = 'GET') =>
    readText(await transport.request({ method, path: '/' }));

  it('stays with the one that works, also when the list changes', async () => {
    const [first, second] = [await startServer(answer('first')), await startServer(answer('second'))];
    const transport = createHttpTransport({
      servers: [first.url],
      userAgent: 'test/1',
      clock: systemClock,
      log: silentLogger,
    });
    cleanups.push(() => transport.close());
    expect(await ask(transport)).toBe('first');
    transport.updateServers([second.url, first.url]);
    expect(await ask(transport)).toBe('first');
    first.sayGoodbye();
    await expect.poll(() => ask(transport)).toBe('second');
  });

  it('repeats a read whose connection was lost, and never a write', async () => {
    const lost: string[] = [];
    const breaking = await startServer((req) => {
      lost.push(req.method);
      req.stream.session?.destroy();
    });
    const working = await startServer(answer('working'));
    expect(await ask(connectTo([breaking.url, working.url]))).toBe('working');
    await expect(ask(connectTo([breaking.url, working.url]), 'PUT')).rejects.toBeInstanceOf(TransportError);
    expect(lost).toEqual(['GET', 'PUT']);
  });

  it('goes to the next one as soon as a server says that it ends, while its streams go on', async () => {
    const open = Promise.withResolvers<Http2ServerResponse>();
    const ending = await startServer((req, res) => {
      if (req.url !== '/watch') return res.end('ending');
      res.write('1');
      open.resolve(res);
    });
    const next = await startServer(answer('next'));
    const transport = connectTo([ending.url, next.url]);
    const watch = readText(await transport.request({ method: 'GET', path: '/watch' }));
    const stream = await open.promise;
    ending.sayGoodbye();
    await expect.poll(() => ask(transport)).toBe('next');
    stream.end('2');
    expect(await watch).toBe('12');
  });

  it('leaves a server that answers and cannot serve', async () => {
    const failing = await startServer((_, res) => {
      res.writeHead(503);
      res.end('failing');
    });
    const transport = connectTo([failing.url, (await startServer(answer('serving'))).url]);
    const answers: string[] = [];
    for (let i = 0; i < 4; i++) answers.push(await ask(transport, 'PUT'));
    expect(answers).toEqual(['failing', 'failing', 'failing', 'serving']);
  });

  it('does not wait for one that accepts and says nothing', async () => {
    const clock = new FakeClock();
    const silent = createTcpServer();
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => silent.close());
    const url = `https://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const asking = ask(connectTo([url, (await startServer(answer('second'))).url], undefined, clock));
    await clock.advance(1_500);
    expect(await asking).toBe('second');
  });

  it('learns within 3.5 s of one that froze, and reads go on elsewhere', async () => {
    const clock = new FakeClock();
    const wire = await startWire((await startServer(answer('first'))).url);
    const second = await startServer(answer('second'));
    const transport = connectTo([wire.url, second.url], undefined, clock);
    expect(await ask(transport)).toBe('first');
    wire.freeze();
    const asking = ask(transport);
    for (let i = 0; i < 7; i++) await clock.advance(500);
    expect(await asking).toBe('second');
  });
});

describe('kube client', () => {
  it('waits as long as the server asks, then repeats', async () => {
    let calls = 0;
    const { url } = await startServer((_, res) => {
      if (calls++ === 0) {
        res.writeHead(429, { 'retry-after': '1' });
        res.end('{"kind":"Status","code":429,"reason":"TooManyRequests","message":"slow down"}');
      } else res.end('{"ok":true}');
    });
    const waits: number[] = [];
    const after = (delayMs: number, fn: () => void) => {
      waits.push(delayMs);
      return systemClock.after(0, fn);
    };
    const clock = { ...systemClock, after };
    const client = createKubeClient(connectTo([url]), { clock, random: () => 0 });
    expect(await client.raw({ method: 'POST', path: '/x', body: {} })).toEqual({ ok: true });
    expect(waits).toEqual([1000]);
  });

  it('turns Status answers into ApiErrors', async () => {
    const { url } = await startServer((_, res) => {
      res.writeHead(404);
      res.end('{"kind":"Status","code":404,"reason":"NotFound","message":"pods \\"x\\" not found"}');
    });
    await expect(createKubeClient(connectTo([url])).raw({ method: 'GET', path: '/x' })).rejects.toMatchObject({
      code: 404,
      reason: 'NotFound',
      message: 'pods "x" not found',
    });
  });
});
