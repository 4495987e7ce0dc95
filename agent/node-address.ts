import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { Host } from './host/host.ts';
import { watchLinks } from './network/paths/link-monitor.ts';

/** The address that this host is reached at from where the servers are: the first of them that there is a route to says it. */
export async function addressTowards(servers: readonly string[], host: Host): Promise<string | undefined> {
  for (const server of servers) {
    const address = await host.sourceAddressTo(new URL(server).hostname.replace(/^\[|\]$/g, ''));
    if (address !== undefined) return address;
  }
  return undefined;
}

export interface AddressFollowing {
  readonly host: Host;
  readonly clock: Clock;
  readonly log: Logger;
  readonly servers: () => readonly string[];
  /** The one that is known so far. */
  readonly address: string;
  readonly onChange: (address: string) => void;
}

/** DHCP gives another address, a cable goes into another socket: tells each new one. A host that has none keeps the last. */
export async function followAddress(options: AddressFollowing, signal: AbortSignal): Promise<void> {
  const { host, clock, log } = options;
  let { address } = options;
  const look = async () => {
    const now = await addressTowards(options.servers(), host);
    if (now === undefined || now === address || signal.aborted) return;
    log.info('the address of this node changed', { from: address, to: now });
    address = now;
    options.onChange(now);
  };
  await watchLinks(
    { exec: host.exec, clock, log, hasIpv6: options.address.includes(':'), onChange: () => void look() },
    signal,
  );
}
