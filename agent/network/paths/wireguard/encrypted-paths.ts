import type { RangesByFamily } from '#api/meta/ip-ranges.ts';
import type { Node } from '#api/object/kinds.ts';
import { describeError } from '#base/errors.ts';
import type { NetworkProblem } from '../../network-problem.ts';
import type { LinkTable } from '../link-table.ts';
import type { PodPath } from '../pod-paths.ts';
import { probeAddressOf } from '../relay/relay-frames.ts';
import { wireguardKeyOf } from './node-key.ts';
import type { WireguardPeer } from './wireguard.ts';

/** What this node was asked for and can do. */
export interface EncryptionScope {
  readonly isAsked: boolean;
  /** Its device stands. */
  readonly isReady: boolean;
}

/**
 * How packets to a node have to go: in WireGuard where both sides were asked to encrypt; not at all where one of them was and the other does
 * not; as they are where neither was.
 */
export function encryptionTo(
  node: Node,
  { isAsked, isReady }: EncryptionScope,
  owners: ReadonlyMap<string, string>,
): Pick<PodPath, 'wireguardKey' | 'isBarred'> {
  const key = wireguardKeyOf(node);
  if (isAsked && isReady && key !== undefined && owners.get(key) === node.metadata.name) return { wireguardKey: key };
  return isAsked || key !== undefined ? { isBarred: true } : {};
}

export interface PeerScope {
  readonly clusterCidrs: RangesByFamily;
  readonly links: LinkTable;
  readonly port: number;
}

/** Relayed nodes too: their probes tell when the path works again. */
export function wireguardPeersOf(paths: readonly PodPath[], { clusterCidrs, links, port }: PeerScope): WireguardPeer[] {
  const encrypted = paths.filter(({ wireguardKey }) => wireguardKey !== undefined);
  return [...Map.groupBy(encrypted, ({ node }) => node).values()].map((ways) => {
    const {
      wireguardKey = '',
      nodeCidr,
      nodeAddress,
    } = ways.find(({ podCidr }) => podCidr === ways[0]?.nodeCidr) ?? ways[0]!;
    const probe = probeAddressOf(nodeCidr, clusterCidrs);
    return {
      publicKey: wireguardKey,
      endpoint: `${nodeAddress.includes(':') ? `[${nodeAddress}]` : nodeAddress}:${port}`,
      allowedIps: [...ways.map(({ podCidr }) => podCidr), ...(probe === undefined ? [] : [`${probe}/32`])],
      isKeptAlive: links.nextHopTo(nodeAddress)?.isOnLink !== true,
    };
  });
}

/** `isRelaying`: whoever cannot be reached is, slowly, through the controller's tunnel, which is encrypted too. */
export function encryptionUnavailable(err: unknown, isRelaying: boolean): NetworkProblem {
  const meanwhile = isRelaying ? 'go through the controller, slowly' : 'do not go at all';
  return {
    reason: 'EncryptionUnavailable',
    cause: `packets between pods of this node and of others shall be encrypted (podEncryption), which this host cannot do, and ${meanwhile}: ${describeError(err)}`,
    cure: CURE,
    isDegraded: isRelaying,
  };
}

const CURE =
  'install wireguard-tools, and use a kernel with WireGuard (Linux 5.6 or later, module wireguard) or install wireguard-go; or set podEncryption: none on every node';

export function notEncrypted(nodes: readonly string[], isAsked: boolean, isRelaying: boolean): NetworkProblem {
  const meanwhile = isRelaying ? 'packets go through the controller, slowly' : 'no packets go there';
  return {
    reason: 'NotEncrypted',
    cause: isAsked
      ? `node(s) ${nodes.join(', ')} have told no key of WireGuard of their own, and this node sends nothing unencrypted (podEncryption): ${meanwhile}`
      : `node(s) ${nodes.join(', ')} take encrypted packets alone (podEncryption), and this node was not asked to encrypt: ${meanwhile}`,
    cure: 'set podEncryption to the same on every node, and look at the conditions of these nodes',
    isDegraded: isRelaying,
  };
}
