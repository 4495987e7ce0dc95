import type { Clock } from '#base/clock.ts';
import { listenForChanges } from '#base/listen-for-changes.ts';
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

/** A cable or DHCP makes a dozen lines at once. */
const GATHER_MS = 200;

/** What every link has by itself, those of pods included, and no path depends on. */
const OF_EVERY_LINK = /\bfe80:|\bff00::\/8/;

/** On the host's side pods' interfaces have no address or route but these, so their coming and going is silent. */
export function watchLinks({ exec, hasIpv6, ...options }: LinkMonitorOptions, signal: AbortSignal): Promise<void> {
  const family = hasIpv6 ? [] : ['-4'];
  const isChange = (line: string) => !line.includes(`proto ${ROUTE_PROTOCOL}`) && !OF_EVERY_LINK.test(line);
  const argv = ['ip', ...family, '-o', 'monitor', 'address', 'route'] as const;
  const listen = exec.stream.bind(exec, argv);
  return listenForChanges({ ...options, listen, isChange, gatherMs: GATHER_MS }, signal);
}
