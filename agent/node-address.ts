import { type IpFamily, parseIp } from '#api/meta/ip-address.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Host } from './host/host.ts';
import { watchLinks } from './network/paths/link-monitor.ts';

/** The address that this host is reached at from where the servers are: the first of them that there is a route to says it. */
async function addressTowards(servers: readonly string[], host: Host): Promise<string | undefined> {
  for (const server of servers) {
    const address = await host.sourceAddressTo(new URL(server).hostname.replace(/^\[|\]$/g, ''));
    if (address !== undefined) return address;
  }
  return undefined;
}

/** Only default routes lead there: documentation is nobody's network. */
const SOMEWHERE: Readonly<Record<IpFamily, string>> = { IPv4: '192.0.2.1', IPv6: '2001:db8::1' };

/**
 * Addresses of this node: that towards the servers, and of the other family, where pods have one too, that towards the world. In the order
 * of `families`, as pods have theirs. undefined: there is none towards the servers.
 */
export async function findNodeAddresses(
  servers: readonly string[],
  families: readonly IpFamily[],
  host: Host,
): Promise<readonly string[] | undefined> {
  const towards = await addressTowards(servers, host);
  if (towards === undefined) return undefined;
  const found = await Promise.all(
    families.map(async (family) => {
      if (parseIp(towards)?.family === family) return towards;
      const address = await host.sourceAddressTo(SOMEWHERE[family]);
      return address === undefined || parseIp(address)?.family !== family || isOwnLink(address) ? [] : address;
    }),
  );
  const addresses = found.flat();
  return addresses.includes(towards) ? addresses : [...addresses, towards];
}

/**
 * Addresses to start with where there is no way to the servers yet (a router that starts later than this host): any that the host has, or else
 * its loopback's. Pods of this node need no server; `followAddress` tells the true ones.
 */
export async function addressesMeanwhile(families: readonly IpFamily[], host: Host): Promise<readonly string[]> {
  const own = (await host.addresses()).flatMap(({ interfaceName, address }) =>
    OWN_DEVICES.test(interfaceName) || isOwnLink(address) ? [] : address,
  );
  const found = families.flatMap((family) => own.find((address) => parseIp(address)?.family === family) ?? []);
  if (found.length > 0) return found;
  return own.length > 0 ? own.slice(0, 1) : [families[0] === 'IPv6' ? '::1' : '127.0.0.1'];
}

/** The loopback has addresses of ours, as have the devices of pods. */
const OWN_DEVICES = /^(lo$|coracle)/;

/** Reached by nobody beyond it. */
const isOwnLink = (address: string): boolean => /^(fe80:|169\.254\.|127\.)|^::1$/.test(address);

export interface AddressFollowing {
  readonly host: Host;
  readonly clock: Clock;
  readonly log: Logger;
  readonly servers: () => readonly string[];
  readonly families: readonly IpFamily[];
  /** Those that are known so far. */
  readonly addresses: readonly string[];
  readonly onChange: (addresses: readonly string[]) => void;
}

/** DHCP gives another address, a cable goes into another socket: tells each new one. A host that has none keeps the last. */
export async function followAddress(options: AddressFollowing, signal: AbortSignal): Promise<void> {
  const { host, clock, log } = options;
  let { addresses } = options;
  const look = async () => {
    const now = await findNodeAddresses(options.servers(), options.families, host);
    if (now === undefined || now.join() === addresses.join() || signal.aborted) return;
    log.info('the address of this node changed', { from: addresses, to: now });
    addresses = now;
    options.onChange(now);
  };
  await watchLinks(
    {
      exec: host.exec,
      clock,
      log,
      hasIpv6: options.families.includes('IPv6') || addresses.some((address) => address.includes(':')),
      onChange: () =>
        void look().catch((err: unknown) => log.warn('addresses cannot be read', { err: describeError(err) })),
    },
    signal,
  );
}
