import { parseCidr, parseIp, rangeContains } from '#api/meta/ip-address.ts';
import type { Node } from '#api/object/kinds.ts';

/** Marks our routes in the kernel (`ip route show proto 177`), so that we remove only what is ours. Unassigned in iproute2's table. */
export const ROUTE_PROTOCOL = '177';

export interface PodRoute {
  readonly podCidr: string;
  readonly gateway: string;
}

export interface RouteScope {
  readonly ownName: string;
  /** Pod addresses of the whole cluster. */
  readonly clusterCidr: string;
}

/**
 * Routes to the pods of every other node that has told its address. Works where nodes share a link. A range outside the cluster's makes
 * none: a node that joins under 0.0.0.0/0 must not draw everybody's traffic to itself.
 */
export function computeRoutes(nodes: readonly Node[], { ownName, clusterCidr }: RouteScope): PodRoute[] {
  return nodes.flatMap((node) => {
    const podCidr = node.spec?.podCIDR;
    const gateway = node.status?.addresses?.find(
      ({ type, address }) => type === 'InternalIP' && parseIp(address)?.family === 'IPv4',
    )?.address;
    if (node.metadata.name === ownName || podCidr === undefined || gateway === undefined) return [];
    if (!isWithin(podCidr, clusterCidr)) return [];
    return [{ podCidr, gateway }];
  });
}

/** IPv4 only, as the routes are. */
function isWithin(cidr: string, outer: string): boolean {
  const inner = parseCidr(cidr);
  const range = parseCidr(outer);
  if (inner === undefined || range?.family !== 'IPv4' || inner.prefixLength < range.prefixLength) return false;
  return rangeContains(range, { family: inner.family, value: inner.base });
}

export interface RouteChanges {
  readonly replace: readonly PodRoute[];
  readonly remove: readonly PodRoute[];
}

export function diffRoutes(actual: readonly PodRoute[], desired: readonly PodRoute[]): RouteChanges {
  const same = (a: PodRoute, b: PodRoute) => a.podCidr === b.podCidr && a.gateway === b.gateway;
  return {
    replace: desired.filter((route) => !actual.some((other) => same(route, other))),
    remove: actual.filter((route) => !desired.some((other) => route.podCidr === other.podCidr)),
  };
}

/** Reads `ip -j route show proto N`. */
export function parseRoutes(json: string): PodRoute[] {
  const entries = JSON.parse(json === '' ? '[]' : json) as { dst?: string; gateway?: string }[];
  return entries.flatMap(({ dst, gateway }) =>
    dst === undefined || gateway === undefined ? [] : [{ podCidr: dst, gateway }],
  );
}
