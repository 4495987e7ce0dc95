import { type IpFamily, type IpRange, parseCidr, parseIp, rangeContains } from '#api/meta/ip-address.ts';
import { hostRange } from './vxlan.ts';

/** What the kernel would do with a packet to a host, as far as its main table says. */
export interface NextHop {
  readonly device: string;
  /** No router in between: the host can be a gateway itself. */
  readonly isOnLink: boolean;
}

export interface LinkTable {
  /** undefined: there is no route, not even a default one. */
  nextHopTo(address: string): NextHop | undefined;
  /** undefined: there is no such device, or it says nothing of its MTU. */
  mtuOf(device: string): number | undefined;
}

interface Entry extends NextHop {
  readonly range: IpRange;
  readonly metric: number;
}

interface RouteLine {
  /** Of what is no way at all: `unreachable`, `blackhole`, `prohibit`. */
  readonly type?: string;
  readonly dst?: string;
  readonly gateway?: string;
  readonly via?: unknown;
  readonly dev?: string;
  readonly metric?: number;
  readonly flags?: readonly string[];
  readonly nexthops?: readonly { readonly gateway?: string; readonly via?: unknown; readonly dev?: string }[];
}

/**
 * Reads `ip -j route show`, one text for each family, and `ip -j link show`. Routes of our own are in them too: they lead to pods, where no
 * node is. Rules of policy routing are not looked at: where they send nodes elsewhere, `podTransport: vxlan` is right whatever they say.
 */
export function parseLinkTable(routesJson: Readonly<Record<IpFamily, string>>, linksJson: string): LinkTable {
  const entries = (['IPv4', 'IPv6'] as const).flatMap((family) =>
    readJson<RouteLine>(routesJson[family]).flatMap((line) => entryOf(line, family)),
  );
  // The narrowest range wins, then the lowest metric, as in the kernel.
  entries.sort((a, b) => b.range.prefixLength - a.range.prefixLength || a.metric - b.metric);
  const mtus = new Map(
    readJson<{ ifname?: string; mtu?: number }>(linksJson).flatMap(({ ifname, mtu }) =>
      ifname === undefined || mtu === undefined ? [] : [[ifname, mtu] as const],
    ),
  );
  return {
    nextHopTo(address) {
      const ip = parseIp(address);
      return ip === undefined ? undefined : entries.find(({ range }) => rangeContains(range, ip));
    },
    mtuOf: (device) => mtus.get(device),
  };
}

function entryOf(
  { type = 'unicast', dst, gateway, via, dev, metric, flags, nexthops }: RouteLine,
  family: IpFamily,
): Entry[] {
  // Of IPv6 it has the loopback for a device.
  if (type !== 'unicast') return [];
  const hop = nexthops?.[0] ?? { gateway, via, dev };
  const range = dst === undefined ? undefined : parseCidr(rangeText(dst, family));
  if (range === undefined || hop.dev === undefined || (flags ?? []).includes('linkdown')) return [];
  const isOnLink = hop.gateway === undefined && hop.via === undefined;
  return [{ range, device: hop.dev, isOnLink, metric: metric ?? 0 }];
}

function rangeText(dst: string, family: IpFamily): string {
  if (dst === 'default') return family === 'IPv6' ? '::/0' : '0.0.0.0/0';
  return dst.includes('/') ? dst : hostRange(dst);
}

/** iproute2 prints nothing at all where there is nothing to list, and empty objects for what a filter left out. */
function readJson<T>(text: string): T[] {
  return text.trim() === '' ? [] : (JSON.parse(text) as T[]);
}
