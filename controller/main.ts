import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { createEventRecorder, type EventRecorder } from '#api/client/event-recorder.ts';
import { createKubeClient } from '#api/client/kube-client.ts';
import { createPortTransport } from '#api/client/port-transport.ts';
import { parseServerAddresses } from '#api/client/server-addresses.ts';
import { addressAt } from '#api/meta/ip-address.ts';
import { builtinTypes } from '#api/schema/builtin-types.ts';
import { delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import { createLogger, type LogLevel } from '#base/logger.ts';
import { checkAdvertiseAddress, readAddressRanges } from './address-ranges.ts';
import { startPolicyStatus } from './apiserver/admission/policy/policy-status.ts';
import { ensureAuthenticationConfig } from './apiserver/aggregator/authentication-config.ts';
import { startTokenSecrets } from './apiserver/authenticate/fill-token-secrets.ts';
import { startClusterRoleAggregation } from './apiserver/authorize/cluster-role-aggregation.ts';
import { ensureBootstrapPolicy } from './apiserver/authorize/ensure-bootstrap-policy.ts';
import { startFlowConfigurationUpkeep } from './apiserver/flow-control/maintain-configuration.ts';
import { createApiServerIdentity } from './apiserver/identity/api-server-identity.ts';
import { ensureBootstrapObjects } from './apiserver/resources/bootstrap-objects.ts';
import { ensureClusterDnsService } from './apiserver/resources/cluster-dns-service.ts';
import { type HttpsServer, listenHttps } from './apiserver/server/http-adapter.ts';
import { servePort } from './apiserver/server/port-adapter.ts';
import { refuseUnfinishedRestore } from './backup/data-folder.ts';
import { bootstrap } from './bootstrap.ts';
import { apiComponentsOf, type Component, parseComponents, parseElectionTimes } from './components/components.ts';
import { runRemoteComponents } from './components/remote-components.ts';
import type { ControllerConfig } from './config.ts';
import { tightenFileModes } from './file-modes.ts';
import { type Front, openFront } from './front.ts';
import { defaultAdvertiseAddress, ownNames } from './host-names.ts';
import { openInstanceIdentity } from './instance-identity.ts';
import { joinCluster } from './join/redeem-join-token.ts';
import { type Brain, launchBrain } from './launch-brain.ts';
import { optimizeSooner } from './optimize-sooner.ts';
import { type ClusterPki, type ClusterPkiOptions, FRONT_PROXY_CLIENT, openClusterPki } from './pki/cluster-pki.ts';
import { writeDurableFile } from './pki/durable-file.ts';
import { renderKubeconfig } from './pki/kubeconfig.ts';
import { startPkiRenewal } from './pki/pki-renewal.ts';
import { prepareDataFolder } from './prepare-data-folder.ts';
import { takeFileLock } from './store/file-lock.ts';
import { keepFlooredClock, openFlooredClock } from './time-floor.ts';
import type { TwinReport } from './tunnel/tunnel-hub.ts';

const APISERVER_USER = 'system:apiserver';
/** Kubernetes' token controller acts as this one too. */
const TOKEN_SECRETS_USER = 'system:kube-controller-manager';
const AGGREGATION_USER = 'system:serviceaccount:kube-system:clusterrole-aggregation-controller';
const POLICY_STATUS_USER = 'system:serviceaccount:kube-system:validatingadmissionpolicy-status-controller';
/** Requests under way may finish so long after SIGTERM; a disk may stall for as long. */
const SHUTDOWN_GRACE_MS = 30_000;

/** The composition root of the control plane: makes the real parts, hands them to each other, runs until aborted. */
export async function runController(config: ControllerConfig, signal: AbortSignal): Promise<void> {
  const components = parseComponents(config.components);
  parseElectionTimes(config);
  const servers = parseServerAddresses(config.servers);
  await (components.has('apiserver')
    ? runWithApiServer({ ...config, servers }, components, signal)
    : runRemoteComponents({ ...config, servers }, apiComponentsOf(components), signal));
}

async function runWithApiServer(
  config: ControllerConfig,
  components: ReadonlySet<Component>,
  signal: AbortSignal,
): Promise<void> {
  const log = createLogger('controller', config.logLevel as LogLevel);
  const ranges = readAddressRanges(config);
  const advertiseAddress = config.advertiseAddress || defaultAdvertiseAddress(ranges.primary);
  checkAdvertiseAddress(advertiseAddress, ranges);
  const names = () => ownNames([advertiseAddress, ...config.tlsNames]);
  const pkiOptions: Omit<ClusterPkiOptions, 'clock' | 'log'> = {
    dir: join(config.dataDir, 'pki'),
    ...names(),
    serviceIp: addressAt(ranges.services[0]!.range, 1n),
    clusterDomain: config.clusterDomain,
  };
  // The database makes its files by itself.
  process.umask(0o077);
  await prepareDataFolder(config.dataDir);
  await tightenFileModes(config.dataDir, log);
  // Before anything is written: a second controller, started by mistake, would replace the first one's certificates.
  const lock = takeFileLock(join(config.dataDir, 'controller.lock'), 'this data directory');
  refuseUnfinishedRestore(config.dataDir);
  const clock = await openFlooredClock(config.dataDir);
  const timeFloor = keepFlooredClock(config.dataDir, clock, log);
  await joinCluster({ config, components, clock, log, signal });
  const pki = await openClusterPki({ ...pkiOptions, clock, log });
  let startupProblem: string | undefined = 'the system objects are not there yet';
  let brain: Brain | undefined;
  let events: EventRecorder | undefined;
  const front = await openFront({
    config,
    pki,
    serverAddress: hostAndPort(advertiseAddress, config.port),
    clock,
    log,
    startupProblem: () => startupProblem,
    shutdownProblem: () => (signal.aborted ? 'process is shutting down' : undefined),
    brainMetrics: async () => (await brain?.renderMetrics()) ?? '',
    onTwin: (report) => events?.record(nodeSubject(report.nodeName), 'Warning', 'IdentityCopied', twinMessage(report)),
    onStoreBroken: (err) => {
      log.error('the store is lost; ending so that a supervisor starts anew', { err: describeError(err) });
      process.exit(1);
    },
  });
  const server = await listenHttps({
    host: config.bindAddress || '::',
    port: config.port,
    tls: tlsOf(pki),
    handler: front.api.handle,
    log,
  });
  log.info('serving the API', { address: server.address, port: server.port });

  const own = createKubeClient(createPortTransport(openPort(front, [APISERVER_USER]), APISERVER_USER));
  events = createEventRecorder({ client: own, component: 'apiserver', clock, log });
  const identity = createApiServerIdentity({
    client: own,
    clock,
    log: log.child({ component: 'identity' }),
    advertiseAddress,
    port: config.port,
    hostname: hostname(),
    isAlone: config.store !== 'etcd',
    newUid: randomUUID,
    random: Math.random,
  });
  await bootstrap({
    ensure: ensureBootstrapPolicyAndObjects,
    store: front.store,
    clock,
    log,
    signal,
    onProblem: (problem) => {
      startupProblem = problem;
    },
  });
  const stopAggregation = startClusterRoleAggregation({
    store: front.store,
    client: createKubeClient(createPortTransport(openPort(front, [AGGREGATION_USER]), AGGREGATION_USER)),
    clock,
    log,
  });
  const stopPolicyStatus = startPolicyStatus({
    store: front.store,
    client: createKubeClient(createPortTransport(openPort(front, [POLICY_STATUS_USER]), POLICY_STATUS_USER)),
    catalog: front.api.catalog,
    typeOf: (definition) => definition.format?.type ?? builtinTypes().typeOf(definition),
    clock,
    log,
  });
  const stopTokenSecrets = startTokenSecrets({
    store: front.store,
    client: createKubeClient(createPortTransport(openPort(front, [TOKEN_SECRETS_USER]), TOKEN_SECRETS_USER)),
    key: pki.serviceAccountKey,
    ca: () => pki.caPem,
    clock,
    log: log.child({ component: 'token-secrets' }),
    random: Math.random,
  });
  const stopFlowConfiguration = startFlowConfigurationUpkeep({ client: own, clock, log });
  const stopAggregator = front.aggregator.start(own, front.api.catalog);
  identity.start();
  await writeKubeconfig(config, pki, advertiseAddress);
  const stopRenewal = startPkiRenewal({
    pki,
    clock,
    log,
    names,
    onRenewed: async () => {
      server.updateTls(tlsOf(pki));
      await writeKubeconfig(config, pki, advertiseAddress);
      await ensureAuthenticationConfig(own, authenticationFacts(pki));
    },
  });
  brain = launchBrain({
    config,
    components: apiComponentsOf(components),
    identity: await openInstanceIdentity(config.dataDir),
    openPort: (users) => openPort(front, users),
    pki,
    pkiOptions,
    clock,
    log,
  });
  log.info('the control plane is up', { kubeconfig: config.kubeconfig });
  optimizeSooner();

  await aborted(signal);
  log.info('stopping');
  // Everything goes on while those that ask /readyz, or watch the endpoints of `kubernetes`, find the other servers.
  await Promise.all([identity.leave(), delay(clock, config.shutdownDelaySeconds * 1000)]);
  stopRenewal();
  stopAggregation();
  stopPolicyStatus();
  stopTokenSecrets();
  stopAggregator();
  stopFlowConfiguration();
  await brain.stop();
  await server.close(SHUTDOWN_GRACE_MS, front.api.drain(SHUTDOWN_GRACE_MS));
  await front.close();
  await timeFloor.stop();
  lock.close();

  async function ensureBootstrapPolicyAndObjects(): Promise<void> {
    // Objects first: the namespaced roles live in kube-system. Both run as system:apiserver, which needs no role.
    await ensureBootstrapObjects({
      client: own,
      serviceCidr: config.serviceCidr,
      port: config.port,
      signal,
    });
    if (!(await ensureClusterDnsService({ client: own, serviceCidr: config.serviceCidr, signal })))
      log.info('no Service for the cluster DNS was made: its address is taken or outside the range');
    await identity.register();
    await ensureBootstrapPolicy(own);
    await ensureAuthenticationConfig(own, authenticationFacts(pki));
  }
}

/** As the kubelet names it in Events, so that `kubectl describe node` finds them. */
const nodeSubject = (name: string) => ({ apiVersion: 'v1', kind: 'Node', metadata: { name, uid: name } });

const twinMessage = ({ nodeName, address, refusedAddress }: TwinReport): string =>
  `a second host, at ${refusedAddress}, has the identity of node ${nodeName}, which is at work at ${address}, and was refused: delete the data directory of the agent on the copy and join it under a name of its own`;

const hostAndPort = (host: string, port: number): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** Whom servers of aggregated APIs, and agents, are to trust. */
const authenticationFacts = (pki: ClusterPki) => ({
  clientCa: pki.caPem,
  frontProxyCa: pki.frontProxyCaPem,
  allowedNames: [FRONT_PROXY_CLIENT],
});

function tlsOf(pki: ClusterPki): Parameters<HttpsServer['updateTls']>[0] {
  return {
    key: pki.serving.privateKeyPem,
    cert: pki.serving.certificatePem,
    ca: pki.caPem,
    frontProxyCa: pki.frontProxyCaPem,
  };
}

/** A port whose far end may act as these users. */
function openPort(front: Front, users: readonly string[]): MessagePort {
  const { port1, port2 } = new MessageChannel();
  servePort(port1, { handler: front.api.handle, components: new Set(users) });
  return port2;
}

async function writeKubeconfig(config: ControllerConfig, pki: ClusterPki, address: string): Promise<void> {
  await mkdir(dirname(config.kubeconfig), { recursive: true });
  await writeDurableFile(
    config.kubeconfig,
    renderKubeconfig({ servers: [`https://${hostAndPort(address, config.port)}`], caPem: pki.caPem, ...pki.admin }),
    0o600,
  );
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
