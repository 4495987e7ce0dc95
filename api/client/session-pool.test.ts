import http2, { type ClientHttp2Session, type Http2Server } from 'node:http2';
import { syncBuiltinESMExports } from 'node:module';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it, vi } from 'vitest';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { SessionPool } from './session-pool.ts';
import { TransportError } from './transport.ts';

let server: Http2Server | undefined;
let pool: SessionPool | undefined;
afterEach(() => {
  vi.restoreAllMocks();
  syncBuiltinESMExports();
  pool?.close();
  server?.close();
});

it('gives up a connection that ends before it is told that it stands, and makes another', async () => {
  server = http2.createServer();
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const { connect } = http2;
  let connections = 0;
  vi.spyOn(http2, 'connect').mockImplementation((...args: unknown[]) => {
    const session = Reflect.apply(connect, http2, args) as ClientHttp2Session;
    // Heard before whoever asked for the connection: from then on it throws at whatever it is asked for.
    if (++connections === 1) session.once('connect', () => session.destroy());
    return session;
  });
  syncBuiltinESMExports();
  pool = new SessionPool({
    ...{ servers: [`http://127.0.0.1:${port}`], clock: systemClock, log: silentLogger, random: () => 0 },
  });
  await expect(pool.acquire()).rejects.toThrow(TransportError);
  const session = await pool.acquire();
  expect([connections, session.destroyed]).toEqual([2, false]);
});
