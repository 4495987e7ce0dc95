import type { IpFamily } from '#api/meta/ip-address.ts';
import type { LinkTable } from './link-table.ts';
import type { PodTransport } from './pod-paths.ts';
import { VXLAN_OVERHEAD_BYTES } from './vxlan.ts';
import { WIREGUARD_OVERHEAD_BYTES } from './wireguard/wireguard.ts';

const ETHERNET_MTU = 1500;
/** Less than this no IPv6 link may have, and no tunnel of ours is worth it. */
const SMALLEST_MTU = 1280;
/** Only default routes lead there; they stand for the world while no node has told an address yet. */
const SOMEWHERE = ['0.0.0.0', '::'];

export interface MtuFacts {
  readonly links: LinkTable;
  /** Addresses of the other nodes. */
  readonly nodeAddresses: readonly string[];
  /** By which family frames go between nodes. */
  readonly underlay: IpFamily;
}

/** MTU of what carries packets between nodes: the smallest of the devices that lead to them. */
export function linkMtu({ links, nodeAddresses }: MtuFacts): number {
  const devices = (nodeAddresses.length === 0 ? SOMEWHERE : nodeAddresses).flatMap(
    (address) => links.nextHopTo(address)?.device ?? [],
  );
  const mtus = devices.flatMap((device) => links.mtuOf(device) ?? []);
  return mtus.length === 0 ? ETHERNET_MTU : Math.min(...mtus);
}

export const vxlanMtu = (facts: MtuFacts): number =>
  Math.max(SMALLEST_MTU, linkMtu(facts) - VXLAN_OVERHEAD_BYTES[facts.underlay]);

export const wireguardMtu = (facts: MtuFacts): number =>
  Math.max(SMALLEST_MTU, linkMtu(facts) - WIREGUARD_OVERHEAD_BYTES);

/**
 * MTU of pods' interfaces. Room for VXLAN is left also while every node shares one link: a node that joins beyond a router later finds pods
 * whose packets fit. `configured`: 0 asks for this; anything else is taken as it is.
 */
export function podMtu(
  configured: number,
  { transport, isEncrypted }: { readonly transport: PodTransport; readonly isEncrypted: boolean },
  facts: MtuFacts,
): number {
  if (configured > 0) return configured;
  if (isEncrypted) return wireguardMtu(facts);
  return transport === 'direct' ? Math.max(SMALLEST_MTU, linkMtu(facts)) : vxlanMtu(facts);
}
