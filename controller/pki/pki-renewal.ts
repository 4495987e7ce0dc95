import type { Clock } from '#base/clock.ts';
import { watchClockJumps } from '#base/clock-jumps.ts';
import type { Logger } from '#base/logger.ts';
import type { ClusterPki, OwnCertificate, PkiNames } from './cluster-pki.ts';

export interface PkiRenewalOptions {
  readonly pki: Pick<ClusterPki, 'renew'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Host names and addresses as they are now: a changed address gets into the serving certificate. */
  readonly names: () => PkiNames;
  /** Puts new certificates to use: the server's secure context, the administrator's kubeconfig. */
  readonly onRenewed: (renewed: readonly OwnCertificate[]) => void | Promise<void>;
}

/** Names may change at any time (DHCP), so they are looked at this often; nothing is written while they stay. Jumps of the clock are told. */
const CHECK_MS = 20_000;

/** Keeps the controller's own certificates fresh until the returned function is called. */
export function startPkiRenewal({ pki, clock, log, names, onRenewed }: PkiRenewalOptions): () => void {
  let cancel: (() => void) | undefined;
  let stopped = false;
  const check = async (): Promise<void> => {
    try {
      const renewed = await pki.renew(names());
      if (renewed.length > 0) await onRenewed(renewed);
    } catch (err) {
      log.error('renewing the certificates of the controller failed', { err });
    }
  };
  // One at a time: a jump within a check is looked at after it.
  let last = Promise.resolve();
  const checkNext = (): void => {
    cancel?.();
    last = last.then(check).then(() => {
      cancel?.();
      if (!stopped) cancel = clock.after(CHECK_MS, checkNext);
    });
  };
  cancel = clock.after(CHECK_MS, checkNext);
  const stopWatching = watchClockJumps(clock, checkNext);
  return () => {
    stopped = true;
    stopWatching();
    cancel?.();
  };
}
