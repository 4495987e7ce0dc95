import { IP_FAMILIES, type RangesByFamily } from '#api/meta/ip-ranges.ts';
import { POD_BRIDGE } from '../../cni-config.ts';
import { VXLAN_DEVICE } from '../vxlan.ts';
import { WIREGUARD_DEVICE } from './wireguard.ts';

export const CLEAR_GUARD_TABLE = 'coracle-encryption';

export const DELETE_CLEAR_GUARD = `table inet ${CLEAR_GUARD_TABLE}\ndelete table inet ${CLEAR_GUARD_TABLE}\n`;

/** Of the VXLAN device only what is relayed goes in and out where packets are encrypted; the relay's tunnel is encrypted too. */
const OWN_DEVICES = ['lo', POD_BRIDGE, WIREGUARD_DEVICE, VXLAN_DEVICE];

/**
 * No packet to or from pods passes any other device, whatever routes say: those of a person's own making, or what a program has left. The rules
 * stay while the agent is down. Input of `nft -f`; one transaction.
 */
export function renderClearGuard(clusterCidrs: RangesByFamily): string {
  const devices = `{ ${OWN_DEVICES.map((device) => `"${device}"`).join(', ')} }`;
  const rules = (device: 'iifname' | 'oifname', address: 'saddr' | 'daddr') =>
    IP_FAMILIES.flatMap((family) => {
      const range = clusterCidrs[family];
      const word = family === 'IPv6' ? 'ip6' : 'ip';
      return range === undefined ? [] : [`    ${device} != ${devices} ${word} ${address} ${range} counter drop`];
    }).join('\n');
  return `${DELETE_CLEAR_GUARD}table inet ${CLEAR_GUARD_TABLE} {
  chain in {
    type filter hook prerouting priority raw; policy accept;
${rules('iifname', 'saddr')}
  }
  chain out {
    type filter hook postrouting priority srcnat + 10; policy accept;
${rules('oifname', 'daddr')}
  }
}
`;
}
