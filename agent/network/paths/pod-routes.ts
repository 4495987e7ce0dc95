import type { PodPath } from './pod-paths.ts';
import { hostRange, tunnelOf, VXLAN_DEVICE } from './vxlan.ts';
import { WIREGUARD_DEVICE } from './wireguard/wireguard.ts';

/** Marks our routes in the kernel (`ip route show proto 177`), so that we remove only what is ours. Unassigned in iproute2's table. */
export const ROUTE_PROTOCOL = '177';

export interface PodRoute {
  readonly podCidr: string;
  /** undefined: what is meant is on the link itself. */
  readonly gateway: string | undefined;
  /** undefined: packets are refused, so that they take no other way. */
  readonly device: string | undefined;
  /** Of packets of this host; undefined: the kernel chooses. */
  readonly source?: string | undefined;
}

export const routesOf = (paths: readonly PodPath[]): PodRoute[] =>
  paths.map(({ podCidr, nodeAddress, directDevice, isRelayed, wireguardKey, isBarred }) => {
    const tunnel = { podCidr, gateway: tunnelOf(podCidr).address, device: VXLAN_DEVICE };
    if (isRelayed) return tunnel;
    if (isBarred) return barrier(podCidr);
    if (wireguardKey !== undefined) return { podCidr, gateway: undefined, device: WIREGUARD_DEVICE };
    return directDevice === undefined ? tunnel : { podCidr, gateway: nodeAddress, device: directDevice };
  });

/** What no narrower route leads elsewhere is refused: the default route would take it out as it is. */
export const barrier = (podCidr: string): PodRoute => ({ podCidr, gateway: undefined, device: undefined });

/** Reads `ip -j route show proto N` of either family. */
export function parseRoutes(json: string): PodRoute[] {
  const entries = JSON.parse(json.trim() === '' ? '[]' : json) as {
    type?: string;
    dst?: string;
    gateway?: string;
    dev?: string;
    prefsrc?: string;
    flags?: readonly string[];
  }[];
  return entries.flatMap(({ type, dst, gateway, dev, prefsrc }) => {
    if (dst === undefined) return [];
    const podCidr = dst.includes('/') ? dst : hostRange(dst);
    // Of IPv6 it has the loopback for a device.
    if (type === 'unreachable') return [barrier(podCidr)];
    return dev === undefined ? [] : [{ podCidr, gateway, device: dev, source: prefsrc }];
  });
}

/** Lines of `ip -batch`. A route that changes is replaced in place, without a gap. */
export function diffRoutes(actual: readonly PodRoute[], desired: readonly PodRoute[]): string[] {
  const same = (a: PodRoute, b: PodRoute) =>
    a.podCidr === b.podCidr && a.gateway === b.gateway && a.device === b.device && a.source === b.source;
  const replace = desired.filter((route) => !actual.some((other) => same(route, other)));
  const remove = actual.filter((route) => !desired.some((other) => route.podCidr === other.podCidr));
  return [
    ...replace.map(({ podCidr, gateway, device, source }) => {
      if (device === undefined) return `route replace unreachable ${podCidr} proto ${ROUTE_PROTOCOL}`;
      const via = gateway === undefined ? '' : ` via ${gateway}`;
      // The address of a peer's tunnel lies in no range that this host is on.
      const flag = device === VXLAN_DEVICE ? ' onlink' : '';
      const from = source === undefined ? '' : ` src ${source}`;
      return `route replace ${podCidr}${via} dev ${device}${flag}${from} proto ${ROUTE_PROTOCOL}`;
    }),
    ...remove.map(({ podCidr }) => `route delete ${podCidr} proto ${ROUTE_PROTOCOL}`),
  ];
}
