import { VXLAN_ID } from './vxlan.ts';

export const GUARD_TABLE = 'coracle-overlay';

/**
 * Who may send us frames of our VXLAN: the other nodes. Without it, whoever can send a datagram to this host could talk to pods as a pod.
 * The packets of other VXLANs on the same port are not looked at. Input of `nft -f`; one transaction.
 */
export function renderGuard(port: number, nodeAddresses: readonly string[]): string {
  const elements = nodeAddresses.length === 0 ? '' : `elements = { ${[...nodeAddresses].sort().join(', ')} }`;
  return `table ip ${GUARD_TABLE}
delete table ip ${GUARD_TABLE}
table ip ${GUARD_TABLE} {
  set nodes {
    type ipv4_addr
    ${elements}
  }
  chain input {
    type filter hook input priority filter - 5; policy accept;
    udp dport ${port} @th,96,24 ${VXLAN_ID} ip saddr != @nodes counter drop
  }
}
`;
}
