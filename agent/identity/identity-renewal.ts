import type { KubeClient } from '#api/client/client.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import { watchClockJumps } from '#base/clock-jumps.ts';
import type { Logger } from '#base/logger.ts';
import type { IdentityPart, NodeIdentity } from './node-identity.ts';

export interface IdentityRenewalOptions {
  readonly identity: NodeIdentity;
  /** Acts as the node itself. */
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Puts a new key to use: the transports' updateCredentials, the node API's secure context. */
  readonly onRenewed: (part: IdentityPart) => void;
}

/** The wall clock may jump (NTP after boot, a machine that slept), so it is looked at this often where nobody tells of the jump. */
const MAX_WAIT_MS = 20_000;
const MIN_WAIT_MS = 1000;
const RETRY = { initialMs: 10_000, maxMs: 3_600_000, jitter: 0.5 };

/** Renews the identity in time until aborted. A failure is tried again: a third of the life is left. */
export async function runIdentityRenewal(options: IdentityRenewalOptions): Promise<void> {
  const { identity, client, clock, log, signal, onRenewed } = options;
  let failures = 0;
  let jump = new AbortController();
  const stopWatching = watchClockJumps(clock, () => {
    failures = 0;
    jump.abort();
  });
  signal.addEventListener('abort', stopWatching, { once: true });
  while (!signal.aborted) {
    const untilDueMs = Math.max(MIN_WAIT_MS, identity.nextRenewalMs() - clock.now());
    const waitMs = failures > 0 ? backoffDelayMs(failures, RETRY) : Math.min(untilDueMs, MAX_WAIT_MS);
    try {
      await delay(clock, waitMs, AbortSignal.any([signal, jump.signal])).catch(() => signal.throwIfAborted());
      jump = new AbortController();
      await identity.renew(client, onRenewed);
      failures = 0;
    } catch (err) {
      if (signal.aborted) return;
      failures++;
      log.warn('renewing the certificates of this node failed, trying again', { err, failures });
    }
  }
}
