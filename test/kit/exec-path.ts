import { createPrivateKey, createPublicKey } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { createNodeServer } from '#agent/kubelet/server/node-server.ts';
import { NodeApiError, type PodLookups } from '#agent/kubelet/server/pod-lookups.ts';
import { runTunnelClient } from '#agent/tunnel/tunnel-client.ts';
import { notFound } from '#api/object/api-error.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import type { RequestContext } from '#controller/apiserver/chain/request-context.ts';
import { computeRequestInfo } from '#controller/apiserver/chain/request-info.ts';
import { sendError, sendJson, toApiError } from '#controller/apiserver/chain/status-answer.ts';
import { createClusterLookups } from '#controller/apiserver/connect/cluster-lookups.ts';
import { connectSubresources } from '#controller/apiserver/connect/connect-subresources.ts';
import { answerOverWebSocket } from '#controller/apiserver/connect/web-socket-answers.ts';
import type { SubresourceServices } from '#controller/apiserver/registry/resource-definition.ts';
import type { ApiRequest, ApiResponse } from '#controller/apiserver/server/api-request.ts';
import { listenHttps } from '#controller/apiserver/server/http-adapter.ts';
import { generatePrivateKeyPem } from '#controller/pki/certificate-builder.ts';
import { type ClusterPki, openClusterPki } from '#controller/pki/cluster-pki.ts';
import { renderKubeconfig } from '#controller/pki/kubeconfig.ts';
import type { Snapshot, Store, StoredObject } from '#controller/store/store.ts';
import { createClusterDialer } from '#controller/tunnel/cluster-dialer.ts';
import { TunnelHub } from '#controller/tunnel/tunnel-hub.ts';
import type { TestContainerd } from './containerd.ts';

export interface PathPod {
  readonly name: string;
  readonly sandboxId: string;
  readonly ip: string;
  /** Container ids by name. */
  readonly containers: Readonly<Record<string, { readonly id: string; readonly logPath: string }>>;
}

export interface ExecPath {
  readonly kubeconfig: string;
  readonly serverUrl: string;
  readonly adminTls: { readonly ca: string; readonly cert: string; readonly key: string };
  readonly hub: TunnelHub;
  addPod(pod: PathPod): void;
  /** The node's tunnel ends, for good. */
  disconnectNode(): void;
  stop(): Promise<void>;
}

const NODE_NAME = 'n1';

/**
 * The whole way of a streaming request without the rest of the control plane: HTTPS server, streaming subresources, dialer, tunnel, node
 * API, containerd. Serves just enough of the API for kubectl to find a pod.
 */
export async function startExecPath({ runtime, host }: TestContainerd): Promise<ExecPath> {
  const folder = await mkdtemp('/tmp/coracle-exec-path-');
  await mkdir(`${folder}/pki`);
  const pki = await openClusterPki({
    dir: `${folder}/pki`,
    clock: systemClock,
    log: silentLogger,
    hostnames: ['localhost'],
    addresses: ['127.0.0.1'],
    serviceIp: '10.96.0.1',
    clusterDomain: 'cluster.local',
  });
  const pods = new Map<string, PathPod>();
  const nodeKey = await generatePrivateKeyPem();
  const nodeCert = await signNodeCertificate(pki, nodeKey);
  const nodeServer = createNodeServer({
    runtime,
    fs: host.fs,
    dialer: host.dialer,
    clock: systemClock,
    log: silentLogger,
    tls: { key: nodeKey, cert: nodeCert, clientCa: pki.caPem },
    lookups: lookupsOf(pods, runtime),
  });
  const nodePort = await nodeServer.listen(0, '127.0.0.1');
  const store = fakeStore(pods, nodePort);
  const hub = new TunnelHub({ clock: systemClock, log: silentLogger, serverId: 'one' });
  const dialer = createClusterDialer({
    hub,
    lookups: createClusterLookups(store),
    directDial: async (name, port) => connect(port, name),
  });
  const { serving, admin } = pki;
  const server = await listenHttps({
    host: '127.0.0.1',
    port: 0,
    tls: { key: serving.privateKeyPem, cert: serving.certificatePem, ca: pki.caPem },
    log: silentLogger,
    handler: apiHandler({ pki, hub, services: { store, dialer } as SubresourceServices }),
  });
  const serverUrl = `https://127.0.0.1:${server.port}`;
  const stopTunnel = new AbortController();
  const tunnel = runTunnelClient(
    {
      nodeName: NODE_NAME,
      server: serverUrl,
      tls: () => ({ ca: pki.caPem, cert: nodeCert, key: nodeKey }),
      targets: { nodeApiPort: nodePort, podAddresses: () => new Set([...pods.values()].map(({ ip }) => ip)) },
      dialer: host.dialer,
      clock: systemClock,
      log: silentLogger,
    },
    stopTunnel.signal,
  );
  const adminTls = { ca: pki.caPem, cert: admin.certificatePem, key: admin.privateKeyPem };
  const kubeconfig = `${folder}/kubeconfig`;
  await writeFile(
    kubeconfig,
    renderKubeconfig({
      servers: [serverUrl],
      caPem: pki.caPem,
      certificatePem: adminTls.cert,
      privateKeyPem: adminTls.key,
    }),
  );
  return {
    kubeconfig,
    serverUrl,
    adminTls,
    hub,
    addPod: (pod) => pods.set(pod.name, pod),
    disconnectNode: () => stopTunnel.abort(),
    async stop() {
      stopTunnel.abort();
      hub.close();
      await server.close();
      await nodeServer.close();
      await tunnel;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function signNodeCertificate(pki: ClusterPki, keyPem: string): Promise<string> {
  return pki.signCertificate({
    subject: { commonName: `system:node:${NODE_NAME}`, organizations: ['system:nodes'] },
    publicKey: createPublicKey(createPrivateKey(keyPem)),
    usages: ['digital signature', 'client auth', 'server auth'],
    durationMs: 3_600_000,
  });
}

function lookupsOf(pods: ReadonlyMap<string, PathPod>, runtime: TestContainerd['runtime']): PodLookups {
  const find = (name: string) => {
    const pod = pods.get(name);
    if (pod === undefined) throw new NodeApiError(404, 'pod does not exist');
    return pod;
  };
  const containerOf = (name: string, container: string) => {
    const found = find(name).containers[container];
    if (found === undefined) throw new NodeApiError(404, `container not found ("${container}")`);
    return found;
  };
  const isRunning = async (id: string) => (await runtime.containerStatus(id)).state === 'RUNNING';
  return {
    async findLog(pod, container, previous) {
      if (previous)
        throw new NodeApiError(400, `previous terminated container "${container}" in pod "${pod.name}" not found`);
      const { id, logPath } = containerOf(pod.name, container);
      return { containerId: id, logPath };
    },
    async findRunningContainer(pod, container) {
      const { id } = containerOf(pod.name, container);
      if (!(await isRunning(id))) throw new NodeApiError(404, `container not found ("${container}")`);
      return id;
    },
    findStreams: async () => ({ tty: false, stdin: true }),
    findSandbox: async (pod) => find(pod.name).sandboxId,
    isRunning,
    listPods: () => [],
  };
}

/** Just what the handlers read: a snapshot with the node and the pods. */
function fakeStore(pods: ReadonlyMap<string, PathPod>, nodePort: number): Store {
  const node = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: NODE_NAME },
    status: { addresses: [], daemonEndpoints: { kubeletEndpoint: { Port: nodePort } } },
  };
  const read = (key: string): unknown => {
    if (key === `/registry/minions/${NODE_NAME}`) return node;
    const pod = pods.get(/^\/registry\/pods\/default\/(.*)$/.exec(key)?.[1] ?? '');
    return pod === undefined ? undefined : podObject(pod);
  };
  const snapshot = {
    get(key: string) {
      const object = read(key);
      return object === undefined ? undefined : ({ object: () => object } as StoredObject);
    },
  } as Snapshot;
  return { snapshot: () => snapshot } as Store;
}

function podObject({ name, ip, containers }: PathPod): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', uid: name },
    spec: {
      nodeName: NODE_NAME,
      containers: Object.keys(containers).map((container) => ({ name: container, image: 'x' })),
    },
    status: { phase: 'Running', podIP: ip },
  };
}

interface ApiParts {
  readonly pki: ClusterPki;
  readonly hub: TunnelHub;
  readonly services: SubresourceServices;
}

const POD_RESOURCES = ['pods', 'pods/log', 'pods/exec', 'pods/attach', 'pods/portforward'];

function apiHandler({ pki, hub, services }: ApiParts) {
  const { kubeletClient } = pki;
  const connects = connectSubresources(
    {
      kubeletTls: () => ({ ca: pki.caPem, cert: kubeletClient.certificatePem, key: kubeletClient.privateKeyPem }),
      clock: systemClock,
      log: silentLogger,
      authorizer: { name: 'all', authorize: () => ({ decision: 'allow', reason: '' }) },
    },
    hub,
  );
  const subresources = { pods: connects.pods, nodes: connects.nodes, services: connects.services };
  const discovery: Readonly<Record<string, object>> = {
    '/api': { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] },
    '/apis': { kind: 'APIGroupList', apiVersion: 'v1', groups: [] },
    '/api/v1': {
      kind: 'APIResourceList',
      groupVersion: 'v1',
      resources: POD_RESOURCES.map((name) => ({
        name,
        singularName: '',
        namespaced: true,
        kind: 'Pod',
        verbs: ['get', 'create'],
      })),
    },
  };
  return async (request: ApiRequest, response: ApiResponse): Promise<void> => {
    try {
      const known = discovery[request.path];
      if (known !== undefined) {
        sendJson(response, 200, known);
        return;
      }
      const info = computeRequestInfo(request.method, request.path, request.query);
      const { commonName = 'system:anonymous', organizations = [] } = request.peer.certificate ?? {};
      const context = {
        request,
        response,
        info,
        user: { name: commonName, groups: organizations },
      } as unknown as RequestContext;
      const storagePrefix = info.resource === 'nodes' ? '/registry/minions' : `/registry/${info.resource}`;
      const own = { ...services, resource: { storagePrefix } } as SubresourceServices;
      if (request.upgrade !== undefined) answerOverWebSocket(context);
      const offered = subresources[info.resource as keyof typeof subresources] ?? [];
      const subresource = offered.find(({ name }) => name === info.subresource);
      if (subresource?.handle !== undefined) await subresource.handle(context, own);
      else sendJson(response, 200, readObject(own, info.namespace, info.name));
    } catch (err) {
      if (!response.started) sendError(response, toApiError(err));
    }
  };
}

function readObject({ store, resource }: SubresourceServices, namespace: string, name: string): unknown {
  const key = [resource.storagePrefix, namespace, name].filter(Boolean).join('/');
  const found = store.snapshot().get(key);
  if (found === undefined) throw notFound({ group: '', resource: 'pods' }, name);
  return found.object();
}
