import { type WebSocket, WebSocketServer } from 'ws';
import { describeError } from '#base/errors.ts';
import type { RequestContext } from '../chain/request-context.ts';
import type { SubresourceDefinition, SubresourceServices } from '../registry/resource-definition.ts';
import type { UpgradedSocket } from '../server/api-request.ts';
import { type BackendUpgrade, UpgradeRefused, upgradeBackend } from './backend-http.ts';
import type { ConnectOptions } from './connect-options.ts';
import { dialKubelet } from './kubelet-client.ts';
import { findPod, kubeletError, locateKubelet } from './pod-location.ts';
import { offeredProtocols, passThrough, requireCreate, takeOver, upgradeKind } from './upgrade-request.ts';

/** SPDY frames inside WebSocket messages: kubectl 1.31 and later. */
const TUNNELED = 'SPDY/3.1+portforward.k8s.io';
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
const MAX_PENDING_BYTES = 1024 * 1024;

/**
 * `ws` refuses the subprotocol, since `/` may not stand in a token; so it never hears of it, and the answer's header is added by hand.
 */
const webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: MAX_MESSAGE_BYTES });
webSockets.on('headers', (headers) => headers.push(`Sec-WebSocket-Protocol: ${TUNNELED}`));

export function podPortForward(options: ConnectOptions): SubresourceDefinition {
  return {
    name: 'portforward',
    verbs: ['create', 'get'],
    kind: { group: '', version: 'v1', kind: 'PodPortForwardOptions' },
    connects: true,
    handle: (context, services) => servePortForward(options, context, services),
  };
}

async function servePortForward(
  options: ConnectOptions,
  context: RequestContext,
  services: SubresourceServices,
): Promise<void> {
  requireCreate(context, options);
  const { info, request } = context;
  const pod = findPod(context, services);
  const location = locateKubelet(pod, services);
  const kind = upgradeKind(context);
  const isTunneled = kind === 'websocket' && offeredProtocols(context).includes(TUNNELED);
  const ports = new URLSearchParams(
    info.query.getAll('ports').flatMap((list) => list.split(',').map((port) => ['port', port])),
  );
  const path = `/portForward/${[info.namespace, pod.metadata.name].map(encodeURIComponent).join('/')}?${ports}`;
  const connection = await dialKubelet(services.dialer, location, options.kubeletTls(), request.signal);
  if (!isTunneled) {
    passThrough(takeOver(context), connection, { method: request.method, path, host: location.name });
    return;
  }
  const headers = {
    host: location.name,
    connection: 'Upgrade',
    upgrade: 'SPDY/3.1',
    'x-stream-protocol-version': 'portforward.k8s.io',
  };
  const backend = await upgradeBackend(connection, { method: 'POST', path, headers }).catch((err: unknown) => {
    throw err instanceof UpgradeRefused
      ? kubeletError(err.statusCode, err.message)
      : kubeletError(502, describeError(err));
  });
  bridgeBytes(await acceptTunneled(takeOver(context)), backend);
}

function acceptTunneled({ incoming, socket, head }: UpgradedSocket): Promise<WebSocket> {
  delete incoming.headers['sec-websocket-protocol'];
  return new Promise((resolve, reject) => {
    socket.once('close', () => reject(new Error('the client went away')));
    webSockets.handleUpgrade(incoming, socket, Buffer.from(head), (client) => {
      client.binaryType = 'nodebuffer';
      resolve(client);
    });
  });
}

/** The messages' payloads are the SPDY connection's bytes; neither side is read here. */
function bridgeBytes(client: WebSocket, { socket, head }: BackendUpgrade): void {
  const sendToClient = (bytes: Uint8Array) => {
    client.send(bytes, () => {
      if (client.bufferedAmount <= MAX_PENDING_BYTES) socket.resume();
    });
    if (client.bufferedAmount > MAX_PENDING_BYTES) socket.pause();
  };
  if (head.length > 0) sendToClient(head);
  socket.on('data', sendToClient);
  socket.on('drain', () => client.resume());
  socket.on('error', () => client.close(1011));
  socket.on('close', () => client.close(1000));
  client.on('message', (data: Buffer) => {
    if (!socket.write(data)) client.pause();
  });
  client.on('error', () => client.terminate());
  client.on('close', () => socket.destroy());
}
