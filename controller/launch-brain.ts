import { totalmem } from 'node:os';
import { type MessagePort, Worker } from 'node:worker_threads';
import { describeError } from '#base/errors.ts';
import type { Logger, LogLevel } from '#base/logger.ts';
import type { FlooredClock } from '#base/time-floor.ts';
import { readAddressRanges } from './address-ranges.ts';
import { type ApiComponent, COMPONENT_USERS, parseElectionTimes } from './components/components.ts';
import { createComponentMetrics, renderComponentMetrics } from './components/run-components.ts';
import type { ControllerConfig } from './config.ts';
import { controllerUsers } from './controllers/start-controllers.ts';
import type { ClusterPki, ClusterPkiOptions } from './pki/cluster-pki.ts';
import { createCsrSigner } from './pki/csr-signer.ts';
import { type BrainSettings, startBrain } from './start-brain.ts';
import { brainThread } from './worker-sources.ts';

/** Below this a second V8 heap costs more than it gives. */
const ONE_THREAD_BELOW_BYTES = 1024 ** 3;
/** The process's own limit is made for the load on the API server. */
const BRAIN_YOUNG_MB = 12;
/** So long may the thread take to end its work and give up its leases. */
const STOP_GRACE_MS = 2_000;

export interface BrainLaunch {
  readonly config: ControllerConfig;
  readonly components: readonly ApiComponent[];
  /** Holder name in the leader leases. */
  readonly identity: string;
  /** A port to the API server of this process whose far end may act as these users. */
  readonly openPort: (users: readonly string[]) => MessagePort;
  readonly pki: ClusterPki;
  readonly pkiOptions: Omit<ClusterPkiOptions, 'clock' | 'log'>;
  readonly clock: FlooredClock;
  readonly log: Logger;
}

/** Scheduler and controllers at work. */
export interface Brain {
  stop(): Promise<void>;
  /** Text for `/metrics`; '' when the thread does not answer. */
  renderMetrics(): Promise<string>;
}

/** Scheduler and controllers, in a thread of their own where the machine has the memory. */
export function launchBrain(launch: BrainLaunch): Brain {
  const { config, components, identity, openPort, pki, pkiOptions, clock, log } = launch;
  if (components.length === 0) return { renderMetrics: async () => '', stop: async () => {} };
  const settings: BrainSettings = {
    logLevel: config.logLevel as LogLevel,
    knownTimeMs: clock.floor(),
    components,
    identity,
    election: parseElectionTimes(config),
    podCidrs: readAddressRanges(config).pods,
    nodeMonitorGraceMs: config.nodeMonitorGraceSeconds * 1000,
    pki: pkiOptions,
  };
  const port = openPort([COMPONENT_USERS.scheduler, ...controllerUsers(createCsrSigner(pki))]);
  const inOneThread = config.threads === 'one' || (config.threads === 'auto' && totalmem() < ONE_THREAD_BELOW_BYTES);
  if (inOneThread) {
    const stop = new AbortController();
    const metrics = createComponentMetrics();
    const ended = startBrain(port, settings, stop.signal, metrics).catch((err: unknown) =>
      onBrainLost(log, stop.signal.aborted, err),
    );
    return {
      renderMetrics: async () => renderComponentMetrics(metrics),
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
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, STOP_GRACE_MS))]);
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
