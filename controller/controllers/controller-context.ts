import type { KubeClient } from '#api/client/client.ts';
import type { EventRecorder } from '#api/client/event-recorder.ts';
import type { InformerFactory } from '#api/client/informer-factory.ts';
import { createWorkQueue, type WorkQueue, type WorkQueueHooks, type WorkQueueOptions } from '#api/client/work-queue.ts';
import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';

/** What the cluster's administrator decides about the controllers. */
export interface ControllersConfig {
  /** Pod networks, at most one per family; each node gets a block of 2^(bits - nodeMaskSize) addresses. Empty: nobody allocates. */
  readonly podCidrs: readonly PodCidr[];
  /** PEM of the CA that signed the API server's certificate; published as kube-root-ca.crt in every namespace. */
  readonly rootCa: string;
  /** A node whose Lease and heartbeat are older than this is Unknown. */
  readonly nodeMonitorGraceMs: number;
  /** How often silent nodes are looked for. */
  readonly nodeMonitorPeriodMs: number;
  /** Taints for eviction per second while most nodes are healthy. */
  readonly nodeEvictionRate: number;
  /** Finished pods beyond this many are deleted, the oldest first; 0 = never. */
  readonly terminatedPodThreshold: number;
  /** Takes a folder of the controller's own host away, if it is there: what hostPath volumes of policy Delete lead to. */
  readonly removeFolder: (path: string) => Promise<void>;
}

export interface PodCidr {
  readonly cidr: string;
  readonly nodeMaskSize: number;
}

/** Kubernetes' own defaults. */
export const DEFAULT_CONTROLLERS_CONFIG: ControllersConfig = {
  podCidrs: [{ cidr: '10.244.0.0/16', nodeMaskSize: 24 }],
  rootCa: '',
  nodeMonitorGraceMs: 50_000,
  nodeMonitorPeriodMs: 5_000,
  nodeEvictionRate: 0.1,
  terminatedPodThreshold: 12_500,
  removeFolder: (path) => Promise.reject(new Error(`nobody here removes folders: ${path}`)),
};

/** What every controller is handed. */
export interface ControllerContext {
  /** Acts under the controller's own identity. */
  readonly client: KubeClient;
  /** Shared by all controllers; reads as `system:kube-controller-manager`. */
  readonly informers: InformerFactory;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly log: Logger;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly config: ControllersConfig;
  readonly queueHooks?: WorkQueueHooks;
}

/** Registers its handlers, waits for its caches and works until aborted. Rejects only for reasons that a restart would not cure. */
export type StartController = (context: ControllerContext, signal: AbortSignal) => Promise<void>;

interface Syncable {
  waitForSync(signal?: AbortSignal): Promise<void>;
}

export function createControllerQueue<K extends string>(
  context: ControllerContext,
  options: Pick<WorkQueueOptions<K>, 'name' | 'sync' | 'concurrency'>,
): WorkQueue<K> {
  const { clock, log, random, queueHooks } = context;
  return createWorkQueue<K>({
    ...options,
    clock,
    log,
    random,
    ...(queueHooks === undefined ? {} : { hooks: queueHooks }),
  });
}

/** Starts the queue once the caches are complete: a sync that sees half the world would delete the other half. */
export async function runQueue(
  queue: WorkQueue<never>,
  caches: readonly Syncable[],
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(caches.map((cache) => cache.waitForSync(signal)));
  queue.start(signal);
}
