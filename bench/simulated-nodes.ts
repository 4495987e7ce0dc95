import { type ConnectCredentials, ensureNodeIdentity } from '#agent/identity/node-identity.ts';
import { createKubelet } from '#agent/kubelet/kubelet.ts';
import { KUBELET_DEFAULTS } from '#agent/kubelet/kubelet-config.ts';
import { FakeProber, TEST_IMAGE } from '#agent/kubelet/testing/kubelet-rig.ts';
import { createHttpTransport } from '#api/client/http-transport.ts';
import { createKubeClient } from '#api/client/kube-client.ts';
import { type Node, resources, type Secret } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { createLogger } from '#base/logger.ts';
import { bootstrapTokenSecret, generateBootstrapToken } from '#controller/apiserver/authenticate/bootstrap-token.ts';
import type { ControllerProcess } from '#test/kit/controller-process.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { FakeRuntime } from '#test/kit/fake-runtime.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

/** So many join at once: each makes two keys and waits for two certificates. */
const JOIN_WIDTH = 8;
const JOIN_TIMEOUT_MS = 240_000;

/**
 * Nodes that speak to the controller as ours do, because they are ours: the real kubelet with its own certificates over HTTPS, on a host and
 * a container runtime in memory. All in this process. Resolves when all are Ready.
 */
export async function startSimulatedNodes(controller: ControllerProcess, count: number): Promise<{ stop(): void }> {
  const stop = new AbortController();
  const joinToken = generateBootstrapToken();
  await controller.client
    .resource<Secret>(resources.secrets)
    .create(bootstrapTokenSecret(joinToken, { expiresAtMs: systemClock.now() + 24 * 3_600_000 }));
  let next = 0;
  const join = async () => {
    while (next < count) await startNode(controller, `simulated-${++next}`, joinToken, stop.signal);
  };
  try {
    await Promise.all(Array.from({ length: JOIN_WIDTH }, join));
    await waitUntil('all nodes are ready', JOIN_TIMEOUT_MS, async () => (await countReady(controller)) === count);
  } catch (err) {
    stop.abort();
    throw err;
  }
  return { stop: () => stop.abort() };
}

export async function countReady({ client }: ControllerProcess): Promise<number> {
  const { items } = await client.resource<Node>(resources.nodes).fetchList();
  return items.filter(({ status }) => status?.conditions?.some((one) => one.type === 'Ready' && one.status === 'True'))
    .length;
}

async function startNode(
  { access }: ControllerProcess,
  nodeName: string,
  joinToken: string,
  signal: AbortSignal,
): Promise<void> {
  const log = createLogger(nodeName, 'error');
  const host = new FakeHost();
  host.factsValue = { ...host.factsValue, hostname: nodeName };
  const connect = ({ servers, caPem, keyPair, token }: ConnectCredentials) => {
    const transport = createHttpTransport({
      servers,
      ca: caPem,
      ...(keyPair === undefined ? {} : { cert: keyPair.certificatePem, key: keyPair.privateKeyPem }),
      ...(token === undefined ? {} : { token }),
      userAgent: 'coracle-agent/simulated',
      clock: systemClock,
      log,
    });
    return { client: createKubeClient(transport), close: () => transport.close() };
  };
  const identity = await ensureNodeIdentity({
    host,
    dir: '/var/lib/coracle/agent/identity',
    servers: [access.server],
    nodeName,
    joinToken,
    caPem: access.ca!,
    clock: systemClock,
    log,
    signal,
    connect,
  });
  const { client, close } = connect({ servers: [access.server], caPem: identity.caPem, keyPair: identity.node });
  signal.addEventListener('abort', close, { once: true });
  const kubelet = createKubelet({
    client,
    runtime: new FakeRuntime({ clock: systemClock, images: [TEST_IMAGE] }),
    host,
    prober: new FakeProber(),
    clock: systemClock,
    log,
    random: Math.random,
    config: {
      ...KUBELET_DEFAULTS,
      nodeName,
      nodeIps: ['192.0.2.10'],
      ledgerDir: '/var/lib/coracle/agent/ledger',
      version: 'v1.36.0+bench',
    },
  });
  await kubelet.start(signal);
}
