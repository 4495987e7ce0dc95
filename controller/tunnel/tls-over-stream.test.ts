import { createPrivateKey, createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TunnelSession } from '#api/tunnel/tunnel-session.ts';
import { generatePrivateKeyPem, issueCertificate } from '../pki/certificate-builder.ts';
import { tlsOverStream } from './tls-over-stream.ts';

/** More than TLS and the tunnel hold between them. */
const SPEECH = Buffer.alloc(700_000, 'there and back\n');

let server: Server;
let ca: string;
const port = () => (server.address() as AddressInfo).port;

beforeAll(async () => {
  const key = await generatePrivateKeyPem();
  const template = {
    subject: { commonName: 'speaker', organizations: [] },
    publicKey: createPublicKey(createPrivateKey(key)),
    altNames: { dnsNames: ['speaker'], addresses: [] },
    usages: ['server auth' as const],
    isCa: true,
    notBeforeMs: Date.now() - 60_000,
    notAfterMs: Date.now() + 3_600_000,
  };
  ca = await issueCertificate(template, { certificatePem: undefined, privateKeyPem: key });
  server = createServer({ key, cert: ca });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => {
  server.close();
});

/** Both ends of a tunnel whose agent leads to the server. */
function tunnelEnds(): { readonly controller: TunnelSession; readonly agent: TunnelSession } {
  const carry = (to: () => TunnelSession) => (message: Uint8Array, sent?: () => void) =>
    setImmediate(() => {
      to().receive(message);
      sent?.();
    });
  const controller: TunnelSession = new TunnelSession({ send: carry(() => agent) });
  const agent: TunnelSession = new TunnelSession({
    send: carry(() => controller),
    connect: async () => connect(port(), '127.0.0.1'),
  });
  return { controller, agent };
}

const throughTunnel = () => tunnelEnds().controller.open({ host: '', port: port() });
const throughKernel = async () => connect(port(), '127.0.0.1');

async function secured(raw: Duplex): Promise<{ client: TLSSocket; peer: TLSSocket }> {
  const accepted = once(server, 'secureConnection');
  const client = tlsOverStream(raw, { ca, servername: 'speaker' });
  await once(client, 'secureConnect');
  const [peer] = (await accepted) as [TLSSocket];
  return { client, peer };
}

describe.each([
  ['a stream of a tunnel', throughTunnel],
  ['a socket', throughKernel],
])('TLS over %s', (_, open) => {
  it('tells a slow reader all that was said before the end', async () => {
    const { client, peer } = await secured(await open());
    peer.end(SPEECH);
    let heardBytes = 0;
    for await (const chunk of client) {
      heardBytes += (chunk as Buffer).length;
      for (let turns = 0; turns < 20; turns++) await turn();
    }
    expect(heardBytes).toBe(SPEECH.length);
    await expect.poll(() => client.destroyed).toBe(true);
  });

  it('carries both ways, and closes what is below with itself', async () => {
    const raw = await open();
    const { client, peer } = await secured(raw);
    peer.pipe(peer);
    client.write(SPEECH);
    let heardBytes = 0;
    for await (const chunk of client) {
      heardBytes += (chunk as Buffer).length;
      if (heardBytes === SPEECH.length) break;
    }
    await expect.poll(() => [client.destroyed, raw.destroyed, peer.destroyed]).toEqual([true, true, true]);
  });
});

describe('TLS over a stream that breaks', () => {
  it('closes when that was before it began', async () => {
    const { controller } = tunnelEnds();
    const raw = await controller.open({ host: '', port: port() });
    raw.destroy();
    await once(raw, 'close');
    const client = tlsOverStream(raw, { ca, servername: 'speaker' });
    client.on('error', () => undefined);
    await expect.poll(() => client.destroyed).toBe(true);
  });

  it('fails with the reason', async () => {
    const { controller } = tunnelEnds();
    const { client } = await secured(await controller.open({ host: '', port: port() }));
    const failed = once(client, 'error');
    controller.close(new Error('tunnel lost'));
    expect(await failed).toMatchObject([{ message: 'tunnel lost' }]);
  });
});
