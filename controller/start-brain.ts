import type { MessagePort } from 'node:worker_threads';
import { createKubeClient } from '#api/client/kube-client.ts';
import { createPortConnection } from '#api/client/port-transport.ts';
import { systemClock } from '#base/clock.ts';
import { createLogger, type LogLevel } from '#base/logger.ts';
import { createFlooredClock } from '#base/time-floor.ts';
import {
  type ComponentMetrics,
  type ComponentSettings,
  clientsByUser,
  runComponents,
} from './components/run-components.ts';
import { type ClusterPkiOptions, openClusterPki } from './pki/cluster-pki.ts';
import { createCsrSigner } from './pki/csr-signer.ts';

/** Plain data, so that it can cross to another thread. */
export interface BrainSettings extends ComponentSettings {
  readonly logLevel: LogLevel;
  /** A time that has certainly been, in ms since the epoch. */
  readonly knownTimeMs: number;
  /** The CA that the API server's thread has opened (and made) before. */
  readonly pki: Omit<ClusterPkiOptions, 'clock' | 'log'>;
}

/**
 * Scheduler and controllers over one port to the API server of their process, each under its own identity and its own leader lease.
 * Resolves when aborted.
 */
export async function startBrain(
  port: MessagePort,
  settings: BrainSettings,
  signal: AbortSignal,
  metrics?: ComponentMetrics,
): Promise<void> {
  const log = createLogger('brain', settings.logLevel);
  const connection = createPortConnection(port);
  const clock = createFlooredClock(systemClock, settings.knownTimeMs);
  const pki = await openClusterPki({ ...settings.pki, clock, log });
  await runComponents(
    {
      settings,
      clientFor: clientsByUser((user) => connection.transportFor(user), metrics, createKubeClient),
      clock,
      log,
      rootCa: pki.caPem,
      signer: createCsrSigner(pki),
      metrics,
    },
    signal,
  );
  connection.close();
}
