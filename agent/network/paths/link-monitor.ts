import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Executor } from '../../host/host.ts';
import { ROUTE_PROTOCOL } from './pod-routes.ts';

export interface LinkMonitorOptions {
  readonly exec: Executor;
  readonly clock: Clock;
  readonly log: Logger;
  /** Addresses or routes of this host changed. */
  readonly onChange: () => void;
}

const RESTART_MS = 1_000;
/** A cable or DHCP makes a dozen lines at once. */
const GATHER_MS = 200;

/** IPv4 only, as paths are; pods' interfaces have neither address nor route of it on the host's side, so their coming and going is silent. */
export async function watchLinks(options: LinkMonitorOptions, signal: AbortSignal): Promise<void> {
  const { exec, clock, log } = options;
  let isGathering = false;
  const onLine = (line: string) => {
    if (isGathering || line.includes(`proto ${ROUTE_PROTOCOL}`)) return;
    isGathering = true;
    clock.after(GATHER_MS, () => {
      isGathering = false;
      if (!signal.aborted) options.onChange();
    });
  };
  while (!signal.aborted) {
    try {
      await exec.stream(['ip', '-4', '-o', 'monitor', 'address', 'route'], onLine, signal);
    } catch (err) {
      log.debug('changes of addresses are not told', { err: describeError(err) });
    }
    if (signal.aborted) return;
    await delay(clock, RESTART_MS, signal).catch(() => {});
    options.onChange();
  }
}
