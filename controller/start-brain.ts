import type { MessagePort } from 'node:worker_threads';
import type { KubeClient } from '#api/client/client.ts';
import { createEventRecorder } from '#api/client/event-recorder.ts';
import { createInformerFactory, type InformerFactoryOptions } from '#api/client/informer-factory.ts';
import { createKubeClient } from '#api/client/kube-client.ts';
import { runLeaderElection } from '#api/client/leader-election.ts';
import { ObjectSharing } from '#api/client/object-sharing.ts';
import { createPortConnection } from '#api/client/port-transport.ts';
import { type Lease, resources } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import { createLogger, type Logger, type LogLevel } from '#base/logger.ts';
import { ClientMetrics } from './apiserver/metrics/client-metrics.ts';
import { QueueMetrics } from './apiserver/metrics/queue-metrics.ts';
import { DEFAULT_CONTROLLERS_CONFIG } from './controllers/controller-context.ts';
import { CONTROLLER_MANAGER_USER, startControllers } from './controllers/start-controllers.ts';
import { type ClusterPkiOptions, openClusterPki } from './pki/cluster-pki.ts';
import { createCsrSigner } from './pki/csr-signer.ts';
import { startScheduler } from './scheduler/start-scheduler.ts';
import { trimPod } from './trim-pod.ts';

export const SCHEDULER_USER = 'system:kube-scheduler';

/** Plain data, so that it can cross to another thread. */
export interface BrainSettings {
  readonly logLevel: LogLevel;
  /**
   * Holder name in the leader leases. The same over restarts, as only one process can hold this machine's store: after a crash it takes
   * its own lease back at once.
   */
  readonly identity: string;
  readonly clusterCidr: string;
  readonly nodeCidrMaskSize: number;
  readonly nodeMonitorGraceMs: number;
  /** The CA that the API server's thread has opened (and made) before. */
  readonly pki: Omit<ClusterPkiOptions, 'clock' | 'log'>;
}

/** What the components tell of their work. */
export interface BrainMetrics {
  readonly queues: QueueMetrics;
  readonly clients: ClientMetrics;
}

export const createBrainMetrics = (): BrainMetrics => ({
  queues: new QueueMetrics(),
  clients: new ClientMetrics(systemClock),
});

/** Text for `/metrics`. */
export const renderBrainMetrics = ({ queues, clients }: BrainMetrics): string => queues.render() + clients.render();

/**
 * Scheduler and controllers over one port to the API server, each under its own identity and its own leader lease. Resolves when aborted.
 */
export async function startBrain(
  port: MessagePort,
  settings: BrainSettings,
  signal: AbortSignal,
  metrics?: BrainMetrics,
): Promise<void> {
  const log = createLogger('brain', settings.logLevel);
  const connection = createPortConnection(port);
  const clients = new Map<string, KubeClient>();
  const clientFor = (user: string): KubeClient => {
    let client = clients.get(user);
    if (client === undefined) {
      const transport = connection.transportFor(user);
      client = createKubeClient(metrics?.clients.measure(transport) ?? transport);
      clients.set(user, client);
    }
    return client;
  };
  const caching: Caching = { sharing: new ObjectSharing(), trimPod };
  const pki = await openClusterPki({ ...settings.pki, clock: systemClock, log });
  await Promise.all([
    elect(
      { name: 'kube-scheduler', user: SCHEDULER_USER, clientFor, settings, log },
      (leading) => lead({ clientFor, log, caching }, leading),
      signal,
    ),
    elect(
      { name: 'kube-controller-manager', user: CONTROLLER_MANAGER_USER, clientFor, settings, log },
      (leading) =>
        startControllers(
          {
            clientFor,
            caching,
            clock: systemClock,
            log: log.child({ component: 'controllers' }),
            random: Math.random,
            config: {
              ...DEFAULT_CONTROLLERS_CONFIG,
              podCidrs: [{ cidr: settings.clusterCidr, nodeMaskSize: settings.nodeCidrMaskSize }],
              rootCa: pki.caPem,
              nodeMonitorGraceMs: settings.nodeMonitorGraceMs,
            },
            signer: createCsrSigner(pki),
            ...(metrics === undefined ? {} : { queueHooks: metrics.queues }),
          },
          leading,
        ),
      signal,
    ),
  ]);
  connection.close();
}

interface Candidate {
  readonly name: string;
  readonly user: string;
  readonly clientFor: (user: string) => KubeClient;
  readonly settings: BrainSettings;
  readonly log: Logger;
}

function elect(
  { name, user, clientFor, settings, log }: Candidate,
  run: (leading: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  return runLeaderElection(
    {
      leases: clientFor(user).resource<Lease>(resources.leases),
      namespace: 'kube-system',
      name,
      identity: settings.identity,
      clock: systemClock,
      log: log.child({ component: name }),
      lead: run,
    },
    signal,
  );
}

/** Common to both, so that this thread keeps each object once. */
type Caching = Pick<InformerFactoryOptions, 'sharing' | 'trimPod'>;

interface SchedulerParts {
  readonly clientFor: (user: string) => KubeClient;
  readonly log: Logger;
  readonly caching: Caching;
}

async function lead({ clientFor, log, caching }: SchedulerParts, leading: AbortSignal): Promise<void> {
  const client = clientFor(SCHEDULER_USER);
  const ownLog = log.child({ component: 'scheduler' });
  const shared = { client, clock: systemClock, log: ownLog, random: Math.random };
  try {
    // Handlers cannot be taken off an informer, so each term of leadership has informers of its own.
    await startScheduler(
      {
        ...shared,
        informers: createInformerFactory({ ...shared, ...caching }),
        events: createEventRecorder({ ...shared, component: 'default-scheduler' }),
      },
      leading,
    );
  } catch (err) {
    if (!leading.aborted) ownLog.error('the scheduler stopped', { err: describeError(err) });
    throw err;
  }
}
