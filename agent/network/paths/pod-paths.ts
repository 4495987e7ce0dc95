import { parseCidr, parseIp, rangeContains } from '#api/meta/ip-address.ts';
import type { Node } from '#api/object/kinds.ts';
import type { LinkTable } from './link-table.ts';

/** `auto`: straight where nodes share a link, in VXLAN where a router lies between them. */
export type PodTransport = 'auto' | 'direct' | 'vxlan';

/** How packets reach the pods of another node. */
export interface PodPath {
  readonly node: string;
  readonly podCidr: string;
  readonly nodeAddress: string;
  /** Device of the direct route; undefined: in VXLAN. */
  readonly directDevice: string | undefined;
  /** By way of the controller, because nothing arrives by the path itself. */
  readonly isRelayed: boolean;
}

export interface PathScope {
  readonly ownName: string;
  /** Pod addresses of the whole cluster. */
  readonly clusterCidr: string;
  readonly transport: PodTransport;
  readonly links: LinkTable;
  /** Nodes that cannot be reached. */
  readonly relayed?: ReadonlySet<string>;
}

/**
 * Paths to the pods of every other node that has told its address. A range outside the cluster's makes none: a node that joins under
 * 0.0.0.0/0 must not draw everybody's traffic to itself.
 */
export function computePodPaths(nodes: readonly Node[], scope: PathScope): PodPath[] {
  return nodes.flatMap((node) => {
    const podCidr = podCidrOf(node, scope.clusterCidr);
    const nodeAddress = addressOf(node);
    if (node.metadata.name === scope.ownName || podCidr === undefined || nodeAddress === undefined) return [];
    const { name } = node.metadata;
    const isRelayed = scope.relayed?.has(name) === true;
    return [{ node: name, podCidr, nodeAddress, directDevice: directDevice(nodeAddress, scope), isRelayed }];
  });
}

function directDevice(nodeAddress: string, { transport, links }: PathScope): string | undefined {
  if (transport === 'vxlan') return undefined;
  const hop = links.nextHopTo(nodeAddress);
  return hop?.isOnLink ? hop.device : undefined;
}

/** The first IPv4 address that a node tells of itself. */
export function addressOf({ status }: Node): string | undefined {
  return status?.addresses?.find(({ type, address }) => type === 'InternalIP' && parseIp(address)?.family === 'IPv4')
    ?.address;
}

/** Pod addresses of a node, where they lie in the cluster's. IPv4 only, as the routes are. */
export function podCidrOf({ spec }: Node, clusterCidr: string): string | undefined {
  return spec?.podCIDR !== undefined && isWithin(spec.podCIDR, clusterCidr) ? spec.podCIDR : undefined;
}

function isWithin(cidr: string, outer: string): boolean {
  const inner = parseCidr(cidr);
  const range = parseCidr(outer);
  if (inner === undefined || range?.family !== 'IPv4' || inner.prefixLength < range.prefixLength) return false;
  return rangeContains(range, { family: inner.family, value: inner.base });
}
