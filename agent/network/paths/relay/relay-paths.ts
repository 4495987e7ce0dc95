import type { RangesByFamily } from '#api/meta/ip-ranges.ts';
import type { LinkTable } from '../link-table.ts';
import type { PodPath } from '../pod-paths.ts';
import { barrier, type PodRoute } from '../pod-routes.ts';
import { isByVxlan, type Peer, tunnelOf, VXLAN_DEVICE } from '../vxlan.ts';
import { WIREGUARD_DEVICE } from '../wireguard/wireguard.ts';
import { probeAddressOf, RELAY_ADDRESS, relayMacOf } from './relay-frames.ts';

/** Only the default route leads there. */
const SOMEWHERE = '0.0.0.0';

export interface RelayScope {
  readonly ownCidr: string;
  readonly clusterCidrs: RangesByFamily;
  readonly links: LinkTable;
}

/** One path of each node stands for all of them. */
export const isProbed = ({ podCidr, nodeCidr }: PodPath): boolean => podCidr === nodeCidr;

/** Entries of the device for what is relayed, and for probes of the tunnels themselves, which are never relayed. */
export function relayPeers(paths: readonly PodPath[], { clusterCidrs }: RelayScope): Peer[] {
  return paths.flatMap((path) => {
    const { podCidr, nodeCidr, nodeAddress, isRelayed } = path;
    const { mac } = tunnelOf(nodeCidr);
    const probe = isProbed(path) ? probeAddressOf(nodeCidr, clusterCidrs) : undefined;
    const { address } = tunnelOf(podCidr);
    return [
      ...(isRelayed ? [{ address, mac: relayMacOf(nodeCidr), nodeAddress: RELAY_ADDRESS }] : []),
      ...(isByVxlan(path) && probe !== undefined ? [{ address: probe, mac, nodeAddress }] : []),
    ];
  });
}

/** Routes of probes, and that by which frames leave for the socket of the relay: any device will do that is not the host's own loopback. */
export function relayRoutes(paths: readonly PodPath[], { ownCidr, clusterCidrs, links }: RelayScope): PodRoute[] {
  const source = probeAddressOf(ownCidr, clusterCidrs);
  const exit = links.nextHopTo(SOMEWHERE) ?? paths.map(({ nodeAddress }) => links.nextHopTo(nodeAddress)).find(Boolean);
  const isNeeded = exit !== undefined && paths.some(({ isRelayed }) => isRelayed);
  return [
    ...paths.filter(isProbed).flatMap((path) => {
      const probe = probeAddressOf(path.nodeCidr, clusterCidrs);
      if (probe === undefined || source === undefined) return [];
      if (path.isBarred) return [barrier(`${probe}/32`)];
      return [{ podCidr: `${probe}/32`, ...wayOfProbe(path, probe), source }];
    }),
    ...(isNeeded ? [{ podCidr: `${RELAY_ADDRESS}/32`, gateway: undefined, device: exit.device }] : []),
  ];
}

function wayOfProbe(
  { nodeAddress, directDevice, wireguardKey }: PodPath,
  probe: string,
): Pick<PodRoute, 'gateway' | 'device'> {
  if (wireguardKey !== undefined) return { gateway: undefined, device: WIREGUARD_DEVICE };
  if (directDevice === undefined) return { gateway: probe, device: VXLAN_DEVICE };
  return { gateway: nodeAddress, device: directDevice };
}
