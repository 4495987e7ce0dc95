import { generateKeyPairSync } from 'node:crypto';
import type { KubeClient } from '#api/client/client.ts';
import { createKubeClient } from '#api/client/kube-client.ts';
import { builtinTypes } from '#api/schema/builtin-types.ts';
import { type Clock, systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { createMemoryStore } from '../../store/memory-store.ts';
import type { Store } from '../../store/store.ts';
import type { AuditPolicy } from '../audit/audit-policy.ts';
import { ensureBootstrapPolicy } from '../authorize/ensure-bootstrap-policy.ts';
import { createClassifier } from '../registry/classify.ts';
import { ensureBootstrapObjects } from '../resources/bootstrap-objects.ts';
import { builtinResources } from '../resources/builtin-resources.ts';
import { ensureKubernetesEndpoints } from '../resources/kubernetes-endpoints.ts';
import { createSecurity, type Security } from '../security.ts';
import type { Peer } from '../server/api-request.ts';
import { type ApiServer, createApiServer } from '../server/api-server.ts';
import { callInMemory, type InMemoryRequest } from '../server/in-memory.ts';
import { versionInfo } from '../server/version-info.ts';

export interface Credentials {
  readonly peer?: Partial<Peer>;
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface SecuredServer {
  readonly store: Store;
  readonly security: Security;
  readonly auditLines: string[];
  readonly handle: ApiServer['handle'];
  call(
    request: InMemoryRequest & Pick<Credentials, 'token'>,
  ): Promise<{ readonly status: number; readonly body: unknown }>;
  clientAs(credentials: Credentials): KubeClient;
  stop(): void;
}

export const asComponent = (component: string): Credentials => ({ peer: { component } });
export const asCertificate = (commonName: string, ...organizations: string[]): Credentials => ({
  peer: { certificate: { commonName, organizations } },
});

function headersOf({ token, headers }: Credentials): Record<string, string> {
  return { ...headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) };
}

export interface SecuredServerOptions {
  readonly auditPolicy?: AuditPolicy;
  readonly clock?: Clock;
}

/** The whole API server with its security, over a memory store, with all that a cluster starts with. */
export async function createSecuredServer({
  auditPolicy,
  clock = systemClock,
}: SecuredServerOptions = {}): Promise<SecuredServer> {
  const definitions = builtinResources({
    podSubresources: [],
    nodeSubresources: [],
    serviceSubresources: [],
    serviceCidr: '10.96.0.0/16',
    nodePortRange: { from: 30_000, to: 32_767 },
  });
  const store = createMemoryStore({ classify: createClassifier(definitions), freezeObjects: true });
  const auditLines: string[] = [];
  const security = createSecurity({
    store,
    serviceAccountKey: { ...generateKeyPairSync('ec', { namedCurve: 'P-256' }), keyId: 'k' },
    clock,
    random: Math.random,
    writeAudit: (line) => auditLines.push(line),
    auditPolicy,
  });
  const server = createApiServer({
    ...security,
    store,
    types: builtinTypes(),
    definitions: [...definitions, ...security.definitions],
    dialer: { dial: () => Promise.reject(new Error('nothing to dial')) },
    clock,
    log: silentLogger,
    random: Math.random,
    version: versionInfo('0.0.0-test'),
    serverAddress: '127.0.0.1:6443',
    extraMetrics: () => security.renderMetrics(),
  });
  const clientAs = (credentials: Credentials): KubeClient =>
    createKubeClient({
      async request({ method, path, headers, body, signal }) {
        const response = await callInMemory(server.handle, {
          method,
          url: path,
          headers: { ...headers, ...headersOf(credentials) },
          ...(credentials.peer === undefined ? {} : { peer: credentials.peer }),
          ...(body === undefined ? {} : { body }),
          ...(signal === undefined ? {} : { signal }),
        });
        const plain = Object.entries(response.headers).map(([name, value]) => [name, String(value)] as const);
        return { status: response.status, headers: Object.fromEntries(plain), body: response.chunks };
      },
      close() {},
    });
  const bootstrap = clientAs(asComponent('system:apiserver'));
  await ensureBootstrapObjects({
    client: bootstrap,
    serviceCidr: '10.96.0.0/16',
    port: 6443,
  });
  await ensureKubernetesEndpoints({ client: bootstrap, servers: [{ ip: '10.0.0.1', port: 6443 }] });
  await ensureBootstrapPolicy(bootstrap);
  return {
    store,
    security,
    auditLines,
    handle: server.handle,
    clientAs,
    async call({ token, ...request }) {
      const headers = { ...request.headers, ...headersOf({ ...(token === undefined ? {} : { token }) }) };
      const response = await callInMemory(server.handle, { ...request, headers });
      const text = await response.text();
      return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text };
    },
    stop() {
      security.stop();
      server.stop();
    },
  };
}
