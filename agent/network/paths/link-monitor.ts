import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Executor } from '../../host/host.ts';
import { ROUTE_PROTOCOL } from './pod-routes.ts';

export interface LinkMonitorOptions {
  readonly exec: Executor;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether changes of IPv6 matter too. */
  readonly hasIpv6: boolean;
  /** Addresses or routes of this host changed. */
  readonly onChange: () => void;
}

const RESTART_MS = 1_000;
/** A cable or DHCP makes a dozen lines at once. */
const GATHER_MS = 200;

/** What every link has by itself, those of pods included, and no path depends on. */
const OF_EVERY_LINK = /\bfe80:|\bff00::\/8/;

/** On the host's side pods' interfaces have no address or route but these, so their coming and going is silent. */
export async function watchLinks(options: LinkMonitorOptions, signal: AbortSignal): Promise<void> {
  const { exec, clock, log, hasIpv6 } = options;
  const family = hasIpv6 ? [] : ['-4'];
  let isGathering = false;
  const onLine = (line: string) => {
    if (isGathering || line.includes(`proto ${ROUTE_PROTOCOL}`) || OF_EVERY_LINK.test(line)) return;
    isGathering = true;
    clock.after(GATHER_MS, () => {
      isGathering = false;
      if (!signal.aborted) options.onChange();
    });
  };
  while (!signal.aborted) {
    try {
      await exec.stream(['ip', ...family, '-o', 'monitor', 'address', 'route'], onLine, signal);
    } catch (err) {
      log.debug('changes of addresses are not told', { err: describeError(err) });
    }
    if (signal.aborted) return;
    await delay(clock, RESTART_MS, signal).catch(() => {});
    options.onChange();
  }
}
