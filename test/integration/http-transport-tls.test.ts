import { mkdtemp, rm } from 'node:fs/promises';
import { createSecureServer, type ServerHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createHttpTransport, type HttpTransport } from '#api/client/http-transport.ts';
import type { ServerCredentials } from '#api/client/session-pool.ts';
import { TransportError } from '#api/client/transport.ts';
import { type Clock, systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { createFlooredClock } from '#base/time-floor.ts';
import { type ClusterPki, openClusterPki } from '#controller/pki/cluster-pki.ts';

let dir: string;
let pki: ClusterPki;
let other: ClusterPki;
let address: string;
const sessions = new Set<ServerHttp2Session>();
let stopServer = () => {};
const transports: HttpTransport[] = [];

const openPki = (name: string) =>
  openClusterPki({
    dir: join(dir, name),
    clock: systemClock,
    log: silentLogger,
    hostnames: ['controller'],
    addresses: ['127.0.0.1'],
    serviceIp: '10.96.0.1',
    clusterDomain: 'cluster.local',
  });

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tls-'));
  pki = await openPki('own');
  other = await openPki('other');
  const server = createSecureServer({
    allowHTTP1: true,
    cert: pki.serving.certificatePem,
    key: pki.serving.privateKeyPem,
    ca: pki.caPem,
    requestCert: true,
    rejectUnauthorized: false,
  });
  server.on('session', (session) => sessions.add(session));
  server.on('request', (request, response) => {
    const socket = request.socket as TLSSocket;
    response.end(socket.authorized ? String(socket.getPeerCertificate().subject.CN) : 'nobody');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  address = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  stopServer = () => {
    for (const session of sessions) session.destroy();
    server.close();
  };
});

afterEach(() => {
  for (const transport of transports.splice(0)) transport.close();
});

afterAll(async () => {
  stopServer();
  await rm(dir, { recursive: true });
});

function connect(credentials: ServerCredentials, clock: Clock = systemClock): HttpTransport {
  const transport = createHttpTransport({
    servers: [address],
    userAgent: 'test/1',
    clock,
    log: silentLogger,
    ...credentials,
  });
  transports.push(transport);
  return transport;
}

async function whoAmI(transport: HttpTransport): Promise<string> {
  const { body } = await transport.request({ method: 'GET', path: '/', timeoutMs: 5000 });
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe('HTTP transport over TLS', () => {
  it.each([
    ['ended', 400, 'the certificate of the server expired at'],
    ['holds', 300, undefined],
  ])('a host whose clock is behind knows that a certificate %s', async (_, days, problem) => {
    // The handshake goes by the clock of this machine, as that of a host in 1970 would.
    const believed = createFlooredClock(systemClock, Date.now() + days * 86_400_000);
    const asked = whoAmI(connect({ ca: pki.caPem }, believed));
    if (problem === undefined) expect(await asked).toBe('nobody');
    else await expect(asked).rejects.toThrow(problem);
  });

  it('trusts the given CA and shows its certificate', async () => {
    const { certificatePem: cert, privateKeyPem: key } = pki.admin;
    expect(await whoAmI(connect({ ca: pki.caPem, cert, key }))).toBe('kubernetes-admin');
    expect(await whoAmI(connect({ ca: pki.caPem }))).toBe('nobody');
  });

  it('refuses a server of another CA', async () => {
    await expect(whoAmI(connect({ ca: other.caPem }))).rejects.toBeInstanceOf(TransportError);
  });

  it('checks the name it was told to expect', async () => {
    expect(await whoAmI(connect({ ca: pki.caPem, serverName: 'kubernetes.default.svc' }))).toBe('nobody');
    await expect(whoAmI(connect({ ca: pki.caPem, serverName: 'example.com' }))).rejects.toThrow(/cannot connect/);
  });

  it('uses new keys for the next request without a restart', async () => {
    const transport = connect({ ca: pki.caPem });
    expect(await whoAmI(transport)).toBe('nobody');
    const { certificatePem: cert, privateKeyPem: key } = pki.admin;
    transport.updateCredentials({ ca: pki.caPem, cert, key });
    expect(await whoAmI(transport)).toBe('kubernetes-admin');
  });
});
