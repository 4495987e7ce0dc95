import type { IpFamily } from '#api/meta/ip-address.ts';
import { RELAY_ADDRESS } from './relay/relay-frames.ts';
import { VXLAN_ID } from './vxlan.ts';

const GUARD_TABLE = 'coracle-overlay';

/** Also where there is none. */
export const DELETE_GUARD: string = ['ip', 'ip6']
  .map((family) => `table ${family} ${GUARD_TABLE}\ndelete table ${family} ${GUARD_TABLE}\n`)
  .join('');

const tableFamily = (underlay: IpFamily): 'ip' | 'ip6' => (underlay === 'IPv6' ? 'ip6' : 'ip');

/** As nft lists it. */
export const guardTable = (underlay: IpFamily): string => `${tableFamily(underlay)} ${GUARD_TABLE}`;

export interface GuardOptions {
  /** Of the tunnels. */
  readonly port: number;
  readonly underlay: IpFamily;
  /** Of the other nodes, of that family. */
  readonly nodeAddresses: readonly string[];
  /** Of the socket of the relay, which goes by IPv4 alone; undefined: there is none. */
  readonly relayPort?: number | undefined;
}

/**
 * Who may send us frames of our VXLAN: the other nodes. Without it, whoever can send a datagram to this host could talk to pods as a pod.
 * The packets of other VXLANs on the same port are not looked at. `relayPort`: of the agent's own socket, which takes what is to be relayed
 * and hands over what was; without connection tracking, which would hold on to the way that a flow took first. Input of `nft -f`; one
 * transaction. Its source is the loopback's too: kube-proxy's rules (KUBE-FIREWALL) let no other address talk to 127.0.0.1.
 * And it goes without a checksum, which may stand for the inner packet's by then (local checksum offload): changed with the addresses, it would
 * be wrong. Frames of the other family meet no device of ours, so its table goes.
 */
export function renderGuard({ port, underlay, nodeAddresses, relayPort }: GuardOptions): string {
  const family = tableFamily(underlay);
  const fromRelay =
    relayPort === undefined ? '' : `iif "lo" ip saddr 127.0.0.1 udp sport ${relayPort} udp dport ${port} accept`;
  const toRelay =
    relayPort === undefined
      ? ''
      : `chain output {
    type route hook output priority mangle; policy accept;
    ip daddr ${RELAY_ADDRESS} udp dport ${port} udp dport set ${relayPort} ip saddr set 127.0.0.1 ip daddr set 127.0.0.1 udp checksum set 0
  }`;
  const elements = nodeAddresses.length === 0 ? '' : `elements = { ${[...nodeAddresses].sort().join(', ')} }`;
  return `${DELETE_GUARD}table ${guardTable(underlay)} {
  set nodes {
    type ${underlay === 'IPv6' ? 'ipv6_addr' : 'ipv4_addr'}
    ${elements}
  }
  chain input {
    type filter hook input priority filter - 5; policy accept;
    ${fromRelay}
    udp dport ${port} @th,96,24 ${VXLAN_ID} ${family} saddr != @nodes counter drop
  }
  ${toRelay}
}
`;
}
