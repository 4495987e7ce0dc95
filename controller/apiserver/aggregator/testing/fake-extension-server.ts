import type { IncomingHttpHeaders } from 'node:http';
import { createServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { ClusterDialer, DialTarget } from '../../../tunnel/dialer.ts';
import { createTestAuthority, type KeyPair } from '../../server/testing/test-certificates.ts';
import type { ProxyCertificate } from '../remote-server.ts';

export interface SeenRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** CN of the client certificate. */
  readonly client: string | undefined;
}

/** The server of the group `example.com/v1`: a real HTTPS server on the loopback. */
export interface FakeExtensionServer {
  readonly port: number;
  readonly caBundle: string;
  readonly certificate: ProxyCertificate;
  readonly seen: SeenRequest[];
  readonly dialer: ClusterDialer & { readonly dialed: DialTarget[] };
  /** Answers of documents by path; `undefined` is a 404. */
  documents: Record<string, object>;
  close(): Promise<void>;
}

const ETAG = '"one"';

export const WIDGETS = {
  kind: 'APIResourceList',
  apiVersion: 'v1',
  groupVersion: 'example.com/v1',
  resources: [
    { name: 'widgets', singularName: 'widget', namespaced: true, kind: 'Widget', verbs: ['get'], shortNames: ['w'] },
    { name: 'widgets/status', singularName: '', namespaced: true, kind: 'Widget', verbs: ['get'] },
  ],
};

const widget = { kind: 'Widget', apiVersion: 'example.com/v1', metadata: { name: 'a', namespace: 'default' } };
const widgetAt = (url: string) =>
  /\/widgets(\?|$)/.test(url)
    ? { kind: 'WidgetList', apiVersion: 'example.com/v1', metadata: {}, items: [widget] }
    : widget;

export interface ExtensionServerOptions {
  /** Of its Service, in the namespace default. */
  readonly name?: string;
  /** Where it listens; the loopback where absent. */
  readonly address?: string;
  /** PEM of the CA that vouches for front proxies; absent: one of its own, see `certificate`. */
  readonly frontProxyCa?: string;
}

/** Lists hold one object; objects are echoes of the request; a watch sends two lines; upgrades are echoed byte by byte. */
export async function startExtensionServer({
  name = 'widgets',
  address = '127.0.0.1',
  frontProxyCa,
}: ExtensionServerOptions = {}): Promise<FakeExtensionServer> {
  const serving = await createTestAuthority('extension-ca');
  const proxies = await createTestAuthority('front-proxy-ca');
  const pair = await serving.issue({ commonName: name, organizations: [] }, 'server auth', [`${name}.default.svc`]);
  const client: KeyPair = await proxies.issue({ commonName: 'front-proxy-client', organizations: [] }, 'client auth');
  const seen: SeenRequest[] = [];
  const sockets = new Set<Socket>();
  const fake: { documents: Record<string, object> } = { documents: { '/apis/example.com/v1': WIDGETS } };
  const tls = {
    key: pair.key,
    cert: pair.cert,
    ca: frontProxyCa ?? proxies.cert,
    requestCert: true,
    rejectUnauthorized: false,
  };
  const server = createServer(tls, async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const url = request.url ?? '';
    const socket = request.socket as TLSSocket;
    const commonName = socket.authorized ? socket.getPeerCertificate().subject.CN : undefined;
    seen.push({
      method: request.method ?? '',
      url,
      headers: request.headers,
      body: Buffer.concat(chunks).toString('utf8'),
      client: [commonName].flat()[0],
    });
    if (url.includes('watch=')) {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write('{"type":"ADDED"}\n');
      setImmediate(() => response.end('{"type":"DELETED"}\n'));
      return;
    }
    const isObject = url.includes('/widgets');
    const document = isObject ? widgetAt(url) : fake.documents[url.split('?')[0]!];
    const isKnown = request.headers['if-none-match'] === ETAG;
    const code = document === undefined ? 404 : isKnown ? 304 : isObject && request.method === 'POST' ? 201 : 200;
    response.writeHead(code, { 'content-type': 'application/json', etag: ETAG });
    response.end(code === 304 ? undefined : JSON.stringify(document ?? {}));
  });
  server.on('upgrade', (_request, socket: Socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    socket.pipe(socket);
  });
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  const { port } = server.address() as AddressInfo;
  const dialed: DialTarget[] = [];
  return Object.assign(fake, {
    port,
    caBundle: Buffer.from(serving.cert).toString('base64'),
    certificate: { certificatePem: client.cert, privateKeyPem: client.key },
    seen,
    dialer: {
      dialed,
      async dial(target: DialTarget) {
        dialed.push(target);
        return connect(port, address);
      },
    },
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  });
}
