import type { KubeClient } from '#api/client/client.ts';
import { createEventRecorder } from '#api/client/event-recorder.ts';
import { createInformerFactory, type InformerFactoryOptions } from '#api/client/informer-factory.ts';
import { type ElectionTimes, runLeaderElection } from '#api/client/leader-election.ts';
import { ObjectSharing } from '#api/client/object-sharing.ts';
import type { Transport } from '#api/client/transport.ts';
import { type Lease, resources } from '#api/object/kinds.ts';
import { type Clock, systemClock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { compileDeviceSelector } from '../apiserver/cel/device-selector.ts';
import { ClientMetrics } from '../apiserver/metrics/client-metrics.ts';
import { QueueMetrics } from '../apiserver/metrics/queue-metrics.ts';
import type { CertificateSigner } from '../controllers/certificates/certificate-signer.ts';
import { DEFAULT_CONTROLLERS_CONFIG, type PodCidr } from '../controllers/controller-context.ts';
import { startControllers } from '../controllers/start-controllers.ts';
import { removeTemporaryFolder } from '../remove-temporary-folder.ts';
import { startScheduler } from '../scheduler/start-scheduler.ts';
import { trimPod } from '../trim-pod.ts';
import { type ApiComponent, COMPONENT_USERS } from './components.ts';

/** What the components tell of their work. */
export interface ComponentMetrics {
  readonly queues: QueueMetrics;
  readonly clients: ClientMetrics;
}

export const createComponentMetrics = (): ComponentMetrics => ({
  queues: new QueueMetrics(),
  clients: new ClientMetrics(systemClock),
});

/** Text for `/metrics`. */
export const renderComponentMetrics = ({ queues, clients }: ComponentMetrics): string =>
  queues.render() + clients.render();

/** Plain data, so that it can cross to another thread. */
export interface ComponentSettings {
  readonly components: readonly ApiComponent[];
  /** Holder name in the leader leases: no two live processes may have the same. */
  readonly identity: string;
  readonly election: ElectionTimes;
  readonly podCidrs: readonly PodCidr[];
  readonly nodeMonitorGraceMs: number;
}

export interface ComponentParts {
  readonly settings: ComponentSettings;
  /** A client that acts as this user, over whatever leads to an API server. */
  readonly clientFor: (user: string) => KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  /** PEM, for kube-root-ca.crt. */
  readonly rootCa: string;
  /** Undefined where this process does not hold the CA's key. */
  readonly signer: CertificateSigner | undefined;
  readonly metrics: ComponentMetrics | undefined;
}

type Lead = (leading: AbortSignal) => Promise<void>;

/**
 * Scheduler and controller manager, each under its own identity and its own leader lease. Whoever loses its lease stops its work and
 * stands again; resolves when aborted.
 */
export async function runComponents(parts: ComponentParts, signal: AbortSignal): Promise<void> {
  const caching: Caching = { sharing: new ObjectSharing(), trimPod };
  const leads: Readonly<Record<ApiComponent, Lead | undefined>> = {
    scheduler: (leading) => leadScheduler(parts, caching, leading),
    'controller-manager': (leading) => leadControllers(parts, caching, leading),
    // Out-of-tree cloud controllers do this work, as for any cluster.
    'cloud-controller-manager': undefined,
  };
  await Promise.all(
    parts.settings.components.map((component) => {
      const lead = leads[component];
      return lead === undefined ? undefined : elect(component, parts, lead, signal);
    }),
  );
}

/** One client per user, made when it is first asked for. */
export function clientsByUser(
  createTransport: (user: string) => Transport,
  metrics: ComponentMetrics | undefined,
  createClient: (transport: Transport) => KubeClient,
): (user: string) => KubeClient {
  const clients = new Map<string, KubeClient>();
  return (user) => {
    let client = clients.get(user);
    if (client === undefined) {
      const transport = createTransport(user);
      client = createClient(metrics?.clients.measure(transport) ?? transport);
      clients.set(user, client);
    }
    return client;
  };
}

function elect(component: ApiComponent, parts: ComponentParts, lead: Lead, signal: AbortSignal): Promise<void> {
  const { settings, clientFor, clock, log } = parts;
  const name = component === 'cloud-controller-manager' ? component : `kube-${component}`;
  return runLeaderElection(
    {
      leases: clientFor(COMPONENT_USERS[component]).resource<Lease>(resources.leases),
      namespace: 'kube-system',
      name,
      identity: settings.identity,
      times: settings.election,
      clock,
      log: log.child({ component: name }),
      lead,
    },
    signal,
  );
}

function leadControllers(parts: ComponentParts, caching: Caching, leading: AbortSignal): Promise<void> {
  const { settings, clientFor, clock, log, rootCa, signer, metrics } = parts;
  return startControllers(
    {
      clientFor,
      caching,
      clock,
      log: log.child({ component: 'controllers' }),
      random: Math.random,
      config: {
        ...DEFAULT_CONTROLLERS_CONFIG,
        podCidrs: settings.podCidrs,
        rootCa,
        nodeMonitorGraceMs: settings.nodeMonitorGraceMs,
        removeFolder: (path) => removeTemporaryFolder(path),
      },
      signer,
      ...(metrics === undefined ? {} : { queueHooks: metrics.queues }),
    },
    leading,
  );
}

/** Common to both, so that this thread keeps each object once. */
type Caching = Pick<InformerFactoryOptions, 'sharing' | 'trimPod'>;

async function leadScheduler(parts: ComponentParts, caching: Caching, leading: AbortSignal): Promise<void> {
  const client = parts.clientFor(COMPONENT_USERS.scheduler);
  const log = parts.log.child({ component: 'scheduler' });
  const shared = { client, clock: parts.clock, log, random: Math.random };
  try {
    // Handlers cannot be taken off an informer, so each term of leadership has informers of its own.
    await startScheduler(
      {
        ...shared,
        compileDeviceSelector,
        informers: createInformerFactory({ ...shared, ...caching }),
        events: createEventRecorder({ ...shared, component: 'default-scheduler' }),
      },
      leading,
    );
  } catch (err) {
    if (!leading.aborted) log.error('the scheduler stopped', { err: describeError(err) });
    throw err;
  }
}
