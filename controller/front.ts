import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { parse } from 'yaml';
import { builtinTypes } from '#api/schema/builtin-types.ts';
import type { Clock } from '#base/clock.ts';
import { ConfigError } from '#base/config.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { renderSamples } from '#base/metric.ts';
import { COMPONENT_VERSION } from '#base/version.ts';
import { checkExpressions } from './apiserver/admission/policy/check-expressions.ts';
import { webhookConditions } from './apiserver/admission/policy/match-conditions.ts';
import { type Aggregator, createAggregator } from './apiserver/aggregator/aggregator.ts';
import { type AuditBuffer, createAuditBuffer } from './apiserver/audit/audit-buffer.ts';
import { type AuditFileOptions, createAuditFile } from './apiserver/audit/audit-file.ts';
import { type AuditPolicy, parseAuditPolicy } from './apiserver/audit/audit-policy.ts';
import type { RecordedDecision } from './apiserver/authorize/recording-authorizer.ts';
import type { Authorizer } from './apiserver/chain/request-context.ts';
import { createClusterLookups } from './apiserver/connect/cluster-lookups.ts';
import { connectSubresources } from './apiserver/connect/connect-subresources.ts';
import { renderStorageSize, StorageMetrics } from './apiserver/metrics/storage-metrics.ts';
import { metricsResources } from './apiserver/node-metrics/metrics-resources.ts';
import { NodeSummaries } from './apiserver/node-metrics/node-summaries.ts';
import { builtinResources } from './apiserver/resources/builtin-resources.ts';
import { createSecurity, type Security } from './apiserver/security.ts';
import { type ApiServer, createApiServer } from './apiserver/server/api-server.ts';
import type { HealthCheck } from './apiserver/server/health.ts';
import { versionInfo } from './apiserver/server/version-info.ts';
import { createAdmissionWebhooks } from './apiserver/webhooks/admission-webhooks.ts';
import { createWebhookClient } from './apiserver/webhooks/webhook-client.ts';
import type { ForeignIdentities } from './authentication-file.ts';
import { startBackups } from './backup/start-backups.ts';
import type { ControllerConfig } from './config.ts';
import { openStore } from './open-store.ts';
import type { ClusterPki } from './pki/cluster-pki.ts';
import { DiskLatency } from './store/disk-latency.ts';
import type { Store } from './store/store.ts';
import { createClusterDialer, type DirectDial } from './tunnel/cluster-dialer.ts';
import { TunnelHub, type TwinReport } from './tunnel/tunnel-hub.ts';

const DAY_MS = 86_400_000;

export interface FrontOptions {
  readonly config: ControllerConfig;
  readonly pki: ClusterPki;
  readonly serverAddress: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Text for `/metrics` from the other thread. */
  readonly brainMetrics: () => Promise<string>;
  /** What is wrong, until the system's own objects and roles stand. */
  readonly startupProblem: () => string | undefined;
  /** That the process ends. */
  readonly shutdownProblem: () => string | undefined;
  /** Two hosts have the identity of one node. */
  readonly onTwin: (report: TwinReport) => void;
  /** The disk refuses for good: the process must end, a supervisor starts it anew. */
  readonly onStoreBroken: (err: unknown) => void;
}

/** The API server over its store, and the tunnels of the nodes. */
export interface Front {
  readonly api: ApiServer;
  readonly store: Store;
  readonly aggregator: Aggregator;
  /** Ends tunnels, authorizers, audit and at last the store. */
  close(): Promise<void>;
}

export async function openFront(options: FrontOptions): Promise<Front> {
  const { config, pki, clock, log } = options;
  const hub = new TunnelHub({
    clock,
    log: log.child({ component: 'tunnel' }),
    serverId: randomUUID(),
    onTwin: options.onTwin,
  });
  // Streams ask the authorizer, which needs the store, which needs the definitions that hold the streams: the circle is cut here.
  let security: Security | undefined;
  const authorizer: Authorizer = {
    name: 'union',
    authorize: (attributes) => security!.authorizer.authorize(attributes),
  };
  const kubeletTls = () => ({
    ca: pki.caPem,
    cert: pki.kubeletClient.certificatePem,
    key: pki.kubeletClient.privateKeyPem,
  });
  const streams = connectSubresources({ kubeletTls, clock, log, authorizer }, hub);
  const definitions = builtinResources({
    podSubresources: streams.pods,
    nodeSubresources: streams.nodes,
    serviceSubresources: streams.services,
    serviceCidr: config.serviceCidr,
    nodePortRange: parsePortRange(config.nodePorts),
    checkExpressions,
    storeProblem: () => checks.map(({ check }) => check()).find((problem) => problem !== undefined),
    onReleaseError: (err) => log.warn('an address was not given back; the next start does it', { err }),
  });
  const storage = new StorageMetrics(clock);
  const disk = new DiskLatency({
    clock,
    log: log.child({ component: 'store' }),
    onCommit: (seconds) => storage.commitTook(seconds),
  });
  const {
    store: opened,
    checks,
    size,
    rotateSealingKey,
  } = await openStore({
    config,
    definitions,
    clock,
    log,
    wrapLog: (inner) => disk.measure(inner),
    diskProblem: () => disk.problem(),
    onBroken: options.onStoreBroken,
  });
  const store = storage.measure(opened);
  const backups = await startBackups({ config, store, rotateSealingKey, clock, log });
  const audit = openAuditLog(config, clock, log);
  const decisions = openLineLog({ path: config.authorizationLog }, clock, log);
  const dialer = createClusterDialer({ hub, lookups: createClusterLookups(store), directDial });
  const webhookClient = createWebhookClient({ dialer, clock });
  const aggregator = createAggregator({ store, dialer, clock, log, certificate: () => pki.frontProxyClient });
  const webhooks = createAdmissionWebhooks({
    store,
    client: webhookClient,
    clock,
    log,
    newUid: randomUUID,
    checkConditions: webhookConditions(authorizer),
  });
  const foreign = await readForeignIdentities(config.authenticationConfig, clock, log);
  security = createSecurity({
    store,
    ...(foreign === undefined ? {} : { oidc: foreign.oidc, anonymous: foreign.anonymous }),
    webhooks,
    serviceAccountKey: pki.serviceAccountKey,
    clock,
    random: Math.random,
    auditPolicy: await readAuditPolicy(config.auditPolicyFile),
    lapsedNodeWindowMs: config.lapsedNodeDays * DAY_MS,
    totalSeats: config.maxRequestsInflight + config.maxMutatingRequestsInflight,
    ...(audit === undefined ? {} : { writeAudit: (line: string) => audit.write(line) }),
    ...(decisions === undefined
      ? {}
      : { recordDecision: (decision: RecordedDecision) => decisions.write(JSON.stringify(decision)) }),
  });
  const types = builtinTypes();
  const summaries = new NodeSummaries({ dialer: () => dialer, kubeletTls, clock, log });
  const api = createApiServer({
    ...security,
    store,
    types,
    definitions: [...definitions, ...security.definitions, ...metricsResources(summaries, types)],
    dialer,
    aggregator,
    webhookClient,
    discoverySources: [aggregator.discovery],
    openApiSources: [aggregator.openApi],
    clock,
    log,
    random: Math.random,
    version: versionInfo(COMPONENT_VERSION),
    serverAddress: options.serverAddress,
    extraMetrics: async () =>
      [
        security.renderMetrics(),
        webhooks.metrics(),
        aggregator.metrics(),
        storage.render(),
        backups.metrics(),
        audit === undefined ? '' : renderAuditMetrics(audit),
        await options.brainMetrics(),
        renderStorageSize(await size()),
      ].join(''),
    health: [
      ...checks,
      { name: 'coracle-backup', endpoints: ['readyz'], check: () => backups.problem(), isAdvisory: true },
      ...healthChecks(options),
    ],
  });
  return {
    api,
    store,
    aggregator,
    async close() {
      hub.close();
      api.stop();
      security.stop();
      foreign?.stop();
      webhooks.stop();
      webhookClient.close();
      aggregator.stop();
      await audit?.flush();
      await decisions?.flush();
      await backups.close();
      await store.close();
    },
  };
}

/** The checks of Kubernetes that mean something here, by its names: probes and dashboards exclude or show them by name. */
function healthChecks({
  startupProblem,
  shutdownProblem,
}: Pick<FrontOptions, 'startupProblem' | 'shutdownProblem'>): readonly HealthCheck[] {
  const ok = () => undefined;
  return [
    { name: 'informer-sync', endpoints: ['readyz'], check: ok },
    { name: 'poststarthook/rbac/bootstrap-roles', endpoints: ['readyz'], check: startupProblem },
    { name: 'poststarthook/start-system-namespaces-controller', endpoints: ['readyz'], check: startupProblem },
    { name: 'poststarthook/priority-and-fairness-config-consumer', endpoints: ['livez', 'readyz'], check: ok },
    { name: 'shutdown', endpoints: ['readyz'], check: shutdownProblem },
  ];
}

/** What it needs to know of signatures is loaded where somebody else's tokens count. */
async function readForeignIdentities(path: string, clock: Clock, log: Logger): Promise<ForeignIdentities | undefined> {
  if (path === '') return undefined;
  const { followAuthenticationFile } = await import('./authentication-file.ts');
  return followAuthenticationFile({ path, clock, log });
}

function openLineLog(file: AuditFileOptions, clock: Clock, log: Logger): AuditBuffer | undefined {
  return file.path === '' ? undefined : createAuditBuffer({ append: createAuditFile(file), clock, log });
}

function openAuditLog(config: ControllerConfig, clock: Clock, log: Logger): AuditBuffer | undefined {
  return openLineLog(
    {
      path: config.auditLogPath,
      maxBytes: config.auditLogMaxsize * 1024 * 1024,
      maxBackups: config.auditLogMaxbackup,
      maxAgeMs: config.auditLogMaxage * 24 * 3_600_000,
    },
    clock,
    log,
  );
}

function renderAuditMetrics({ counts }: AuditBuffer): string {
  const count = (name: string, help: string, value: number) => renderSamples('counter', { name, help }, [[[], value]]);
  return (
    count('apiserver_audit_event_total', 'Audit events that were made.', counts.lines) +
    count('apiserver_audit_error_total', 'Audit events that were lost: the log was too slow.', counts.dropped)
  );
}

/** Throws ConfigError where the file is missing or wrong: a server that audits less than its administrator believes must not come up. */
async function readAuditPolicy(path: string): Promise<AuditPolicy | undefined> {
  if (path === '') return undefined;
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (err) {
    throw new ConfigError(`auditPolicyFile: ${describeError(err)}`);
  }
  try {
    return parseAuditPolicy(parse(text), path);
  } catch (err) {
    throw err instanceof ConfigError ? err : new ConfigError(`${path}: ${describeError(err)}`);
  }
}

const DIRECT_DIAL_TIMEOUT_MS = 5_000;

const directDial: DirectDial = (host, port, signal) =>
  new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port,
      timeout: DIRECT_DIAL_TIMEOUT_MS,
      ...(signal === undefined ? {} : { signal }),
    });
    socket.once('connect', () => {
      socket.setTimeout(0);
      socket.removeListener('error', reject);
      resolve(socket);
    });
    socket.once('timeout', () =>
      socket.destroy(new Error(`no answer from ${host}:${port} within ${DIRECT_DIAL_TIMEOUT_MS} ms`)),
    );
    socket.once('error', reject);
  });

function parsePortRange(text: string): { from: number; to: number } {
  const match = /^(\d+)-(\d+)$/.exec(text);
  const [from, to] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || from < 1 || to > 65_535 || from > to)
    throw new ConfigError(`nodePorts: "${text}" is no range such as 30000-32767`);
  return { from, to };
}
