import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createHttpTransport, type HttpTransport } from '#api/client/http-transport.ts';
import { createKubeClient } from '#api/client/kube-client.ts';
import { API_SERVER_NAME } from '#api/client/server-addresses.ts';
import { createTokenSource, withTokens } from '#api/client/service-account-token.ts';
import type { Transport } from '#api/client/transport.ts';
import type { Clock } from '#base/clock.ts';
import { ConfigError } from '#base/config.ts';
import { createLogger, type Logger, type LogLevel } from '#base/logger.ts';
import { COMPONENT_VERSION } from '#base/version.ts';
import { readAddressRanges } from '../address-ranges.ts';
import type { ControllerConfig } from '../config.ts';
import { openInstanceIdentity } from '../instance-identity.ts';
import { joinCluster } from '../join/redeem-join-token.ts';
import { type CertificateAndKey, openSigningCa } from '../pki/cluster-pki.ts';
import { createCsrSigner } from '../pki/csr-signer.ts';
import { takeFileLock } from '../store/file-lock.ts';
import { keepFlooredClock, openFlooredClock } from '../time-floor.ts';
import { type ComponentCredentials, openComponentCredentials } from './component-credentials.ts';
import { type ApiComponent, COMPONENT_USERS, parseElectionTimes } from './components.ts';
import { keepCredentials } from './renew-credentials.ts';
import { clientsByUser, createComponentMetrics, runComponents } from './run-components.ts';

const ACCOUNT = /^system:serviceaccount:([^:]+):([^:]+)$/;
const USER_AGENT = `coracle-controller/${COMPONENT_VERSION}`;

/** The composition root of a process without an API server: its components work over HTTPS, through whichever server answers. */
export async function runRemoteComponents(
  config: ControllerConfig,
  components: readonly ApiComponent[],
  signal: AbortSignal,
): Promise<void> {
  const election = parseElectionTimes(config);
  if (config.servers.length === 0)
    throw new ConfigError(
      'no API server is named: a process without the component apiserver needs --servers https://<host>:6443',
    );
  if (components.every((component) => component === 'cloud-controller-manager'))
    throw new ConfigError(
      'components: no cloud provider is built in, so that a process of cloud-controller-manager alone has nothing to do',
    );
  const log = createLogger('controller', config.logLevel as LogLevel);
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  const lock = takeFileLock(join(config.dataDir, 'controller.lock'), 'this data directory');
  const dir = join(config.dataDir, 'pki');
  const clock = await openFlooredClock(config.dataDir);
  await joinCluster({ config, components: new Set(components), clock, log, signal });
  const credentials = await openComponentCredentials(dir, components);
  const ca = await openSigningCa({ dir, clock });
  if (ca === undefined && components.includes('controller-manager'))
    log.warn('this process has no key of the CA: while it leads, nobody signs certificates of nodes that join', {
      dir,
    });
  const connections = openConnections(config.servers, credentials, clock, log);
  const timeFloor = keepFlooredClock(config.dataDir, clock, log);
  const metrics = createComponentMetrics();
  connections.keepCredentials(dir, signal);
  log.info('working over the API', { components, servers: config.servers });
  await runComponents(
    {
      settings: {
        components,
        identity: await openInstanceIdentity(config.dataDir),
        election,
        podCidrs: readAddressRanges(config).pods,
        nodeMonitorGraceMs: config.nodeMonitorGraceSeconds * 1000,
      },
      clientFor: clientsByUser(connections.transportFor, metrics, createKubeClient),
      clock,
      log,
      rootCa: credentials.caPem,
      signer: ca === undefined ? undefined : createCsrSigner(ca),
      metrics,
    },
    signal,
  );
  connections.close();
  await timeFloor.stop();
  lock.close();
}

interface Connections {
  transportFor(user: string): Transport;
  /** Renews the certificates in time, until aborted. */
  keepCredentials(dir: string, signal: AbortSignal): void;
  close(): void;
}

/**
 * One connection per component, under its certificate; the controllers share one that carries the token of each ServiceAccount, which
 * kube-controller-manager asks for as Kubernetes' own does.
 */
function openConnections(
  servers: readonly string[],
  credentials: ComponentCredentials,
  clock: Clock,
  log: Logger,
): Connections {
  const { caPem: ca, pairs } = credentials;
  const open = (own: { readonly cert?: string; readonly key?: string }): HttpTransport =>
    createHttpTransport({
      servers,
      serverName: API_SERVER_NAME,
      ca,
      ...own,
      userAgent: USER_AGENT,
      clock,
      log,
    });
  const byUser = new Map<string, HttpTransport>(
    [...pairs].map(([component, pair]) => [COMPONENT_USERS[component], open(tlsOf(pair))]),
  );
  const forTokens = open({});
  const manager = byUser.get(COMPONENT_USERS['controller-manager']);
  return {
    transportFor(user) {
      const own = byUser.get(user);
      if (own !== undefined) return own;
      const [, namespace, name] = ACCOUNT.exec(user) ?? [];
      if (manager === undefined || namespace === undefined || name === undefined)
        throw new Error(`this process has no credentials of ${user}`);
      const source = createTokenSource({ client: createKubeClient(manager), namespace, name, clock });
      return withTokens(forTokens, source);
    },
    keepCredentials(dir, signal) {
      for (const [component, pair] of pairs) {
        const transport = byUser.get(COMPONENT_USERS[component])!;
        const onRenewed = (renewed: CertificateAndKey) =>
          transport.updateCredentials({ ca, serverName: API_SERVER_NAME, ...tlsOf(renewed) });
        const client = createKubeClient(transport);
        void keepCredentials({ dir, component, pair, client, clock, log, onRenewed }, signal);
      }
    },
    close() {
      for (const transport of [...byUser.values(), forTokens]) transport.close();
    },
  };
}

const tlsOf = ({ certificatePem: cert, privateKeyPem: key }: CertificateAndKey) => ({ cert, key });
