import { mkdir } from 'node:fs/promises';
import { hostname, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { createKubeClient } from '#api/client/kube-client.ts';
import { createPortTransport } from '#api/client/port-transport.ts';
import { addressAt, parseCidr } from '#api/meta/ip-address.ts';
import { builtinTypes } from '#api/schema/builtin-types.ts';
import { systemClock } from '#base/clock.ts';
import { ConfigError } from '#base/config.ts';
import { describeError } from '#base/errors.ts';
import { createLogger, type Logger, type LogLevel } from '#base/logger.ts';
import { startPolicyStatus } from './apiserver/admission/policy/policy-status.ts';
import { ensureAuthenticationConfig } from './apiserver/aggregator/authentication-config.ts';
import { startClusterRoleAggregation } from './apiserver/authorize/cluster-role-aggregation.ts';
import { ensureBootstrapPolicy } from './apiserver/authorize/ensure-bootstrap-policy.ts';
import { startFlowConfigurationUpkeep } from './apiserver/flow-control/maintain-configuration.ts';
import { ensureBootstrapObjects } from './apiserver/resources/bootstrap-objects.ts';
import { type HttpsServer, listenHttps } from './apiserver/server/http-adapter.ts';
import { servePort } from './apiserver/server/port-adapter.ts';
import { bootstrap } from './bootstrap.ts';
import type { ControllerConfig } from './config.ts';
import { controllerUsers } from './controllers/start-controllers.ts';
import { type Front, openFront } from './front.ts';
import { defaultAdvertiseAddress, ownNames } from './host-names.ts';
import { type ClusterPki, type ClusterPkiOptions, FRONT_PROXY_CLIENT, openClusterPki } from './pki/cluster-pki.ts';
import { createCsrSigner } from './pki/csr-signer.ts';
import { writeDurableFile } from './pki/durable-file.ts';
import { renderKubeconfig } from './pki/kubeconfig.ts';
import { startPkiRenewal } from './pki/pki-renewal.ts';
import {
  type BrainSettings,
  createBrainMetrics,
  renderBrainMetrics,
  SCHEDULER_USER,
  startBrain,
} from './start-brain.ts';
import { takeFileLock } from './store/file-lock.ts';
import { brainThread } from './worker-sources.ts';

const APISERVER_USER = 'system:apiserver';
const AGGREGATION_USER = 'system:serviceaccount:kube-system:clusterrole-aggregation-controller';
const POLICY_STATUS_USER = 'system:serviceaccount:kube-system:validatingadmissionpolicy-status-controller';
/** Below this a second V8 heap costs more than it gives. */
const ONE_THREAD_BELOW_BYTES = 1024 ** 3;
/** The process's own limit is made for the load on the API server. */
const BRAIN_YOUNG_MB = 12;
/** Requests under way may finish so long after SIGTERM. */
const SHUTDOWN_GRACE_MS = 2_000;

/** The composition root of the control plane: makes the real parts, hands them to each other, runs until aborted. */
export async function runController(config: ControllerConfig, signal: AbortSignal): Promise<void> {
  const clock = systemClock;
  const log = createLogger('controller', config.logLevel as LogLevel);
  const advertiseAddress = config.advertiseAddress || defaultAdvertiseAddress();
  const names = () => ownNames([advertiseAddress, ...config.tlsNames]);
  const pkiOptions: Omit<ClusterPkiOptions, 'clock' | 'log'> = {
    dir: join(config.dataDir, 'pki'),
    ...names(),
    serviceIp: firstAddress(config.serviceCidr),
    clusterDomain: config.clusterDomain,
  };
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  // Before anything is written: a second controller, started by mistake, would replace the first one's certificates.
  const lock = takeFileLock(join(config.dataDir, 'controller.lock'), 'this data directory');
  const pki = await openClusterPki({ ...pkiOptions, clock, log });
  let startupProblem: string | undefined = 'the system objects are not there yet';
  let brain: Brain | undefined;
  const front = await openFront({
    config,
    pki,
    serverAddress: `${advertiseAddress}:${config.port}`,
    clock,
    log,
    startupProblem: () => startupProblem,
    brainMetrics: async () => (await brain?.renderMetrics()) ?? '',
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
  const stopFlowConfiguration = startFlowConfigurationUpkeep({ client: own, clock, log });
  const stopAggregator = front.aggregator.start(own, front.api.catalog);
  await writeKubeconfig(config, pki, advertiseAddress);
  const stopRenewal = startPkiRenewal({
    pki,
    clock,
    log,
    names,
    onRenewed: async () => {
      server.updateTls(tlsOf(pki));
      await writeKubeconfig(config, pki, advertiseAddress);
    },
  });
  brain = launchBrain({ config, front, pki, pkiOptions, log });
  log.info('the control plane is up', { kubeconfig: config.kubeconfig });

  await aborted(signal);
  log.info('stopping');
  stopRenewal();
  stopAggregation();
  stopPolicyStatus();
  stopAggregator();
  stopFlowConfiguration();
  await brain.stop();
  await server.close(SHUTDOWN_GRACE_MS);
  await front.close();
  lock.close();

  async function ensureBootstrapPolicyAndObjects(): Promise<void> {
    // Objects first: the namespaced roles live in kube-system. Both run as system:apiserver, which needs no role.
    await ensureBootstrapObjects({
      client: own,
      serviceCidr: config.serviceCidr,
      advertiseAddress,
      port: config.port,
      signal,
    });
    await ensureBootstrapPolicy(own);
    await ensureAuthenticationConfig(own, {
      clientCa: pki.caPem,
      frontProxyCa: pki.frontProxyCaPem,
      allowedNames: [FRONT_PROXY_CLIENT],
    });
  }
}

/** The address of the `kubernetes` Service. */
function firstAddress(serviceCidr: string): string {
  const range = parseCidr(serviceCidr.split(',')[0]!.trim());
  if (range === undefined) throw new ConfigError(`serviceCidr: "${serviceCidr}" is no range such as 10.96.0.0/16`);
  return addressAt(range, 1n);
}

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
  const host = address.includes(':') ? `[${address}]` : address;
  await mkdir(dirname(config.kubeconfig), { recursive: true });
  await writeDurableFile(
    config.kubeconfig,
    renderKubeconfig({ server: `https://${host}:${config.port}`, caPem: pki.caPem, ...pki.admin }),
    0o600,
  );
}

interface BrainLaunch {
  readonly config: ControllerConfig;
  readonly front: Front;
  readonly pki: ClusterPki;
  readonly pkiOptions: Omit<ClusterPkiOptions, 'clock' | 'log'>;
  readonly log: Logger;
}

/** Scheduler and controllers at work. */
interface Brain {
  stop(): Promise<void>;
  /** Text for `/metrics`; '' when the thread does not answer. */
  renderMetrics(): Promise<string>;
}

/** Scheduler and controllers, in a thread of their own where the machine has the memory. */
function launchBrain({ config, front, pki, pkiOptions, log }: BrainLaunch): Brain {
  const settings: BrainSettings = {
    logLevel: config.logLevel as LogLevel,
    identity: hostname(),
    clusterCidr: config.clusterCidr,
    nodeCidrMaskSize: config.nodeCidrMaskSize,
    nodeMonitorGraceMs: config.nodeMonitorGraceSeconds * 1000,
    pki: pkiOptions,
  };
  const port = openPort(front, [SCHEDULER_USER, ...controllerUsers(createCsrSigner(pki))]);
  const inOneThread = config.threads === 'one' || (config.threads === 'auto' && totalmem() < ONE_THREAD_BELOW_BYTES);
  if (inOneThread) {
    const stop = new AbortController();
    const metrics = createBrainMetrics();
    const ended = startBrain(port, settings, stop.signal, metrics).catch((err: unknown) =>
      onBrainLost(log, stop.signal.aborted, err),
    );
    return {
      renderMetrics: async () => renderBrainMetrics(metrics),
      async stop() {
        stop.abort(new Error('the controller is stopping'));
        await ended;
      },
    };
  }
  let stopping = false;
  const worker = new Worker(brainThread, {
    workerData: { port, settings },
    transferList: [port],
    resourceLimits: { maxYoungGenerationSizeMb: BRAIN_YOUNG_MB },
  });
  const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  worker.once('error', (err) => onBrainLost(log, stopping, err));
  return {
    renderMetrics: () => askForMetrics(worker),
    async stop() {
      stopping = true;
      worker.postMessage('stop');
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, SHUTDOWN_GRACE_MS))]);
      await worker.terminate();
    },
  };
}

const METRICS_TIMEOUT_MS = 1_000;

/** Its only messages are these answers, and any of them is a present one. */
function askForMetrics(worker: Worker): Promise<string> {
  return new Promise((resolve) => {
    const settle = (text: string) => {
      clearTimeout(timer);
      worker.off('message', settle);
      resolve(text);
    };
    const timer = setTimeout(() => settle(''), METRICS_TIMEOUT_MS);
    worker.on('message', settle);
    worker.postMessage('metrics');
  });
}

/** Half a control plane is worse than a restart: whoever supervises us starts all of it again. */
function onBrainLost(log: Logger, stopping: boolean, err: unknown): void {
  if (stopping) return;
  log.error('scheduler and controllers are lost; ending so that a supervisor starts anew', { err: describeError(err) });
  process.exit(1);
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
