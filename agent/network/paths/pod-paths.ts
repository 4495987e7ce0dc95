import { type IpFamily, parseCidr, parseIp, rangeContains } from '#api/meta/ip-address.ts';
import { IP_FAMILIES, type RangesByFamily } from '#api/meta/ip-ranges.ts';
import type { Node } from '#api/object/kinds.ts';
import type { LinkTable } from './link-table.ts';
import { type EncryptionScope, encryptionTo } from './wireguard/encrypted-paths.ts';
import { keyOwners } from './wireguard/node-key.ts';

/** `auto`: straight where nodes share a link, in VXLAN where a router lies between them. */
export type PodTransport = 'auto' | 'direct' | 'vxlan';

/** How packets reach the pods of another node, by their addresses of one family. */
export interface PodPath {
  readonly node: string;
  readonly podCidr: string;
  /** What the node's end of the tunnel is known by: its range of IPv4, where it has one. The same in all paths to the node. */
  readonly nodeCidr: string;
  /** Of the direct route, then of the family of podCidr; else of the packets that carry the frames. */
  readonly nodeAddress: string;
  /** Device of the direct route; undefined: in VXLAN. */
  readonly directDevice: string | undefined;
  /** By way of the controller, because nothing arrives by the path itself. */
  readonly isRelayed: boolean;
  /** Public key of the node: packets go through WireGuard, whatever lies between. */
  readonly wireguardKey?: string | undefined;
  /** They would have to be encrypted and cannot be: nothing goes but what is relayed. */
  readonly isBarred?: boolean | undefined;
}

export interface PathScope {
  readonly ownName: string;
  /** Pod addresses of the whole cluster. */
  readonly clusterCidrs: RangesByFamily;
  readonly transport: PodTransport;
  readonly links: LinkTable;
  /** Nodes that cannot be reached. */
  readonly relayed?: ReadonlySet<string>;
  /** Absent: this node was not asked to encrypt. */
  readonly encryption?: EncryptionScope;
}

const CLEAR: EncryptionScope = { isAsked: false, isReady: false };

/**
 * Paths to the pods of every other node that has told its address. A range outside the cluster's makes none: a node that joins under
 * 0.0.0.0/0 must not draw everybody's traffic to itself.
 */
export function computePodPaths(nodes: readonly Node[], scope: PathScope): PodPath[] {
  const underlay = underlayOf(nodes);
  const owners = keyOwners(nodes);
  return nodes.flatMap((node) => {
    const { name } = node.metadata;
    const podCidrs = podCidrsOf(node, scope.clusterCidrs);
    const [nodeCidr] = podCidrs;
    if (name === scope.ownName || nodeCidr === undefined) return [];
    const tunnelAddress = addressOf(node, underlay);
    const isRelayed = scope.relayed?.has(name) === true;
    const encryption = encryptionTo(node, scope.encryption ?? CLEAR, owners);
    return podCidrs.flatMap((podCidr) => {
      const straight = addressOf(node, familyOf(podCidr));
      const device = straight === undefined ? undefined : directDevice(straight, scope);
      const nodeAddress = device === undefined ? tunnelAddress : straight;
      if (nodeAddress === undefined) return [];
      return [{ node: name, podCidr, nodeCidr, nodeAddress, directDevice: device, isRelayed, ...encryption }];
    });
  });
}

const familyOf = (text: string): IpFamily => (text.includes(':') ? 'IPv6' : 'IPv4');

/** By which family of addresses nodes send each other frames: IPv6 only where some node has no other. All of them must decide alike. */
export function underlayOf(nodes: readonly Node[]): IpFamily {
  const lacks = (family: IpFamily) =>
    nodes.some((node) => (node.status?.addresses ?? []).length > 0 && addressOf(node, family) === undefined);
  return lacks('IPv4') && !lacks('IPv6') ? 'IPv6' : 'IPv4';
}

function directDevice(nodeAddress: string, { transport, links }: PathScope): string | undefined {
  if (transport === 'vxlan') return undefined;
  const hop = links.nextHopTo(nodeAddress);
  return hop?.isOnLink ? hop.device : undefined;
}

/** The first address of the family that a node tells of itself. */
export function addressOf({ status }: Node, family: IpFamily): string | undefined {
  return status?.addresses?.find(({ type, address }) => type === 'InternalIP' && parseIp(address)?.family === family)
    ?.address;
}

/** Pod addresses of a node, one range for each family at most, where they lie in the cluster's; IPv4 first. */
export function podCidrsOf({ spec }: Node, clusterCidrs: RangesByFamily): string[] {
  const told = spec?.podCIDRs ?? (spec?.podCIDR === undefined ? [] : [spec.podCIDR]);
  return IP_FAMILIES.flatMap((family) => told.find((cidr) => isWithin(cidr, clusterCidrs[family])) ?? []);
}

function isWithin(cidr: string, outer: string | undefined): boolean {
  const inner = parseCidr(cidr);
  const range = outer === undefined ? undefined : parseCidr(outer);
  if (inner === undefined || range === undefined || inner.prefixLength < range.prefixLength) return false;
  return rangeContains(range, { family: inner.family, value: inner.base });
}
