import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Store } from './store/store.ts';

export interface BootstrapOptions {
  /** Writes what is missing; may be run again at any time. */
  readonly ensure: () => Promise<void>;
  readonly store: Pick<Store, 'snapshot'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Told while the system's own objects are not all there, and `undefined` once they are. */
  readonly onProblem: (problem: string | undefined) => void;
}

const RETRY_MS = 5_000;

/** Where objects lie that let others refuse our writes. */
const GATEKEEPERS = [
  '/registry/mutatingwebhookconfigurations/',
  '/registry/validatingwebhookconfigurations/',
  '/registry/validatingadmissionpolicybindings/',
  '/registry/mutatingadmissionpolicybindings/',
];

/**
 * Runs `ensure`. Where users' webhooks or policies may be what refuses it, it is tried again in the background rather than given up: the
 * pods behind a webhook come up only after everything else has, and whoever broke a policy needs the API to repair it. Without any, a
 * failure is a mistake of ours or of the configuration, and rejects.
 */
export async function bootstrap(options: BootstrapOptions): Promise<void> {
  const { ensure, store, log, onProblem } = options;
  try {
    await ensure();
    onProblem(undefined);
  } catch (err) {
    const snapshot = store.snapshot();
    if (GATEKEEPERS.every((prefix) => snapshot.count(prefix) === 0)) throw err;
    onProblem(`the system objects could not be written: ${describeError(err)}`);
    log.error('the system objects could not be written, trying on', { err });
    void retry(options);
  }
}

async function retry({ ensure, clock, log, signal, onProblem }: BootstrapOptions): Promise<void> {
  for (;;) {
    try {
      await delay(clock, RETRY_MS, signal);
    } catch {
      // The controller ends.
      return;
    }
    try {
      await ensure();
      onProblem(undefined);
      log.info('the system objects are there now');
      return;
    } catch (err) {
      onProblem(`the system objects could not be written: ${describeError(err)}`);
      log.warn('the system objects could not be written, trying on', { err });
    }
  }
}
