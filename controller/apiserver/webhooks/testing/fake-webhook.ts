import type { IncomingHttpHeaders } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { connect } from 'node:net';
import type { JsonObject } from '#api/object/json.ts';
import type { ClusterDialer, DialTarget } from '../../../tunnel/dialer.ts';
import { createTestAuthority, type KeyPair, type TestAuthority } from '../../server/testing/test-certificates.ts';

export interface SeenCall {
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: JsonObject;
}

export interface FakeWebhookAnswer {
  readonly status?: number;
  /** Text as it is, objects as JSON; 'never' leaves the client waiting. */
  readonly body: object | string | 'never';
}

/** A real HTTPS server on the loopback whose answers the test decides. */
export interface FakeWebhook {
  readonly port: number;
  readonly caBundle: string;
  readonly calls: SeenCall[];
  /** Connections so far. */
  readonly connections: () => number;
  /** Leads every Service here, and remembers which were asked for. */
  readonly dialer: ClusterDialer & { readonly dialed: DialTarget[] };
  close(): Promise<void>;
}

let authority: Promise<{ readonly ca: TestAuthority; readonly pair: KeyPair }> | undefined;

/** `answer` gets what was posted. The certificate is for localhost, 127.0.0.1 and the Service hook.default.svc. */
export async function startFakeWebhook(
  answer: (call: SeenCall) => FakeWebhookAnswer,
  address = '127.0.0.1',
): Promise<FakeWebhook> {
  authority ??= createTestAuthority('webhook-ca').then(async (ca) => ({
    ca,
    pair: await ca.issue({ commonName: 'hook', organizations: [] }, 'server auth', ['hook.default.svc']),
  }));
  const { ca, pair } = await authority;
  const calls: SeenCall[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer({ key: pair.key, cert: pair.cert }, async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const call = {
      url: request.url ?? '',
      headers: request.headers,
      body: JSON.parse(Buffer.concat(chunks).toString('utf8') || '{}'),
    };
    calls.push(call);
    const { status = 200, body } = answer(call);
    if (body === 'never') return;
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  server.on('connection', (socket: Socket) => {
    connections += 1;
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  const { port } = server.address() as AddressInfo;
  const dialed: DialTarget[] = [];
  return {
    port,
    caBundle: Buffer.from(ca.cert).toString('base64'),
    calls,
    connections: () => connections,
    dialer: {
      dialed,
      async dial(target) {
        dialed.push(target);
        return connect(port, address);
      },
    },
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
