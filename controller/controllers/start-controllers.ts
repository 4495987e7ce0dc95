import type { KubeClient } from '#api/client/client.ts';
import { createEventRecorder } from '#api/client/event-recorder.ts';
import { createInformerFactory, type InformerFactoryOptions } from '#api/client/informer-factory.ts';
import type { WorkQueueHooks } from '#api/client/work-queue.ts';
import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { CertificateSigner } from './certificates/certificate-signer.ts';
import type { ControllersConfig } from './controller-context.ts';
import { type ControllerDescriptor, controllerDescriptors } from './controller-descriptors.ts';

/** Reads for all of them: one cache per kind, however many controllers look at it. */
const CONTROLLER_MANAGER_USER = 'system:kube-controller-manager';

export function controllerUser(serviceAccount: string): string {
  return `system:serviceaccount:kube-system:${serviceAccount}`;
}

export interface ControllersDeps {
  /** A client that acts as this user. */
  readonly clientFor: (user: string) => KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly config: ControllersConfig;
  /** Undefined where this process does not hold the CA's key. */
  readonly signer: CertificateSigner | undefined;
  readonly queueHooks?: WorkQueueHooks;
  /** How objects are kept in memory. */
  readonly caching?: Pick<InformerFactoryOptions, 'sharing' | 'trimPod'>;
}

/** The users whose requests the API server must accept from this component. */
export function controllerUsers(signer: CertificateSigner | undefined): readonly string[] {
  const users = controllerDescriptors(signer).map(({ serviceAccount }) => controllerUser(serviceAccount));
  return [CONTROLLER_MANAGER_USER, ...new Set(users)];
}

/**
 * Runs every controller of the table until aborted: the `lead` of a leader election. Rejects when one of them cannot go on, so that the
 * whole set is started afresh.
 */
export async function startControllers(deps: ControllersDeps, signal: AbortSignal): Promise<void> {
  const { clock, log, random, caching } = deps;
  const client = deps.clientFor(CONTROLLER_MANAGER_USER);
  const informers = createInformerFactory({ client, clock, log, random, ...caching });
  // Whatever ends this run ends all of it: no controller may go on alone.
  const ending = new AbortController();
  const running = AbortSignal.any([signal, ending.signal]);
  informers.start(running);
  const start = ({ name, serviceAccount, reportsAs, start: run }: ControllerDescriptor) => {
    const own = deps.clientFor(controllerUser(serviceAccount));
    const ownLog = log.child({ controller: name });
    const events = createEventRecorder({ client: own, component: reportsAs ?? serviceAccount, clock, log: ownLog });
    const { config, queueHooks } = deps;
    return run({ client: own, informers, events, clock, log: ownLog, random, config, queueHooks }, running);
  };
  try {
    await Promise.all([...controllerDescriptors(deps.signer).map(start), untilAborted(running)]);
  } catch (err) {
    if (!signal.aborted) throw err;
  } finally {
    ending.abort();
  }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
