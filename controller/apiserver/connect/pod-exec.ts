import { type WebSocket, WebSocketServer } from 'ws';
import { ApiError, badRequest } from '#api/object/api-error.ts';
import { describeError } from '#base/errors.ts';
import type { RequestContext } from '../chain/request-context.ts';
import { isTrue } from '../chain/request-info.ts';
import type { SubresourceDefinition, SubresourceServices } from '../registry/resource-definition.ts';
import type { UpgradedSocket } from '../server/api-request.ts';
import { type BackendUpgrade, UpgradeRefused, upgradeBackend } from './backend-http.ts';
import type { ConnectOptions } from './connect-options.ts';
import { bridgeExec, type ExecStreams, sendStatus } from './exec-bridge.ts';
import { dialKubelet } from './kubelet-client.ts';
import { chooseContainer, findPod, type KubeletLocation, locateKubelet } from './pod-location.ts';
import { offeredProtocols, passThrough, requireCreate, takeOver, upgradeKind } from './upgrade-request.ts';

/** Newest first. Older ones (`channel.k8s.io`, base64) go to the runtime untranslated. */
const CHANNEL_PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];
/** One message of stdin; kubectl sends 32 KiB. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

const webSockets = new WebSocketServer({
  noServer: true,
  perMessageDeflate: false,
  maxPayload: MAX_MESSAGE_BYTES,
  handleProtocols: (offered) => CHANNEL_PROTOCOLS.find((name) => offered.has(name)) ?? false,
});

/** `exec` and `attach`: the same streams, to a new process or to the container's own. */
export function podStreams(name: 'exec' | 'attach', options: ConnectOptions): SubresourceDefinition {
  return {
    name,
    verbs: ['create', 'get'],
    kind: { group: '', version: 'v1', kind: name === 'exec' ? 'PodExecOptions' : 'PodAttachOptions' },
    connects: true,
    handle: (context, services) => serveStreams(name, options, context, services),
  };
}

interface StreamTarget {
  readonly location: KubeletLocation;
  readonly path: string;
  readonly streams: ExecStreams;
}

async function serveStreams(
  name: 'exec' | 'attach',
  options: ConnectOptions,
  context: RequestContext,
  services: SubresourceServices,
): Promise<void> {
  requireCreate(context, options);
  const target = locateStreams(name, context, services);
  const kind = upgradeKind(context);
  const { location, path, streams } = target;
  const offered = offeredProtocols(context);
  const isTranslated = kind === 'websocket' && CHANNEL_PROTOCOLS.some((protocol) => offered.includes(protocol));
  const connection = await dialKubelet(services.dialer, location, options.kubeletTls(), context.request.signal);
  if (!isTranslated) {
    passThrough(takeOver(context), connection, { method: context.request.method, path, host: location.name });
    return;
  }
  const attempt = await upgradeBackend(connection, {
    method: 'POST',
    path,
    headers: {
      host: location.name,
      connection: 'Upgrade',
      upgrade: 'SPDY/3.1',
      'x-stream-protocol-version': 'v4.channel.k8s.io',
    },
  }).catch((err: unknown) => upgradeFailure(err));
  const client = await acceptWebSocket(takeOver(context));
  if (attempt instanceof ApiError) {
    // As Kubernetes does: the client's protocol is up, and the reason comes on its error channel.
    sendStatus(client, attempt.toStatus());
    client.close(1000);
  } else if (client.readyState === client.OPEN) bridgeExec(client, attempt satisfies BackendUpgrade, streams);
  else attempt.socket.destroy();
}

function locateStreams(name: 'exec' | 'attach', context: RequestContext, services: SubresourceServices): StreamTarget {
  const { query, namespace } = context.info;
  const pod = findPod(context, services);
  const container = chooseContainer(pod, query.get('container') ?? '');
  const streams: ExecStreams = {
    stdin: isTrue(query.get('stdin')),
    stdout: isTrue(query.get('stdout')),
    stderr: isTrue(query.get('stderr')),
    tty: isTrue(query.get('tty')),
  };
  if (!streams.stdin && !streams.stdout && !streams.stderr)
    throw badRequest('you must specify at least 1 of stdin, stdout, stderr');
  const command = query.getAll('command');
  if (name === 'exec' && command.length === 0) throw badRequest('you must specify at least 1 command');
  const passed = new URLSearchParams();
  // The kubelet's names differ from the API's.
  if (streams.stdin) passed.set('input', '1');
  if (streams.stdout) passed.set('output', '1');
  if (streams.stderr) passed.set('error', '1');
  if (streams.tty) passed.set('tty', '1');
  if (name === 'exec') for (const word of command) passed.append('command', word);
  const path = [name, namespace, pod.metadata.name, container].map(encodeURIComponent).join('/');
  return { location: locateKubelet(pod, services), path: `/${path}?${passed}`, streams };
}

function upgradeFailure(err: unknown): ApiError {
  const reason = err instanceof UpgradeRefused ? err.message : describeError(err);
  return new ApiError(500, 'InternalError', `Internal error occurred: unable to upgrade connection: ${reason}`, {
    causes: [{ message: `unable to upgrade connection: ${reason}` }],
  });
}

function acceptWebSocket({ incoming, socket, head }: UpgradedSocket): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    socket.once('close', () => reject(new Error('the client went away')));
    webSockets.handleUpgrade(incoming, socket, Buffer.from(head), (client) => {
      client.binaryType = 'nodebuffer';
      resolve(client);
    });
  });
}
