/**
 * The fixed part of the rules: our chains in each table, and the jumps that tie them into the kernel's own chains. Names and marks are
 * kube-proxy's, so that tools and people that know them find what they expect.
 */

/** Packets with this mark leave masqueraded. */
export const MASQUERADE_MARK = '0x4000';

export interface ChainJump {
  readonly table: 'nat' | 'filter' | 'mangle';
  readonly from: string;
  readonly to: string;
  readonly comment: string;
  /** Further matches before the jump. */
  readonly match: string;
}

/** Prepended, so that they see a packet before a firewall of the host drops it. */
export const CHAIN_JUMPS: readonly ChainJump[] = [
  { table: 'nat', from: 'PREROUTING', to: 'KUBE-SERVICES', comment: 'kubernetes service portals', match: '' },
  { table: 'nat', from: 'OUTPUT', to: 'KUBE-SERVICES', comment: 'kubernetes service portals', match: '' },
  { table: 'nat', from: 'POSTROUTING', to: 'KUBE-POSTROUTING', comment: 'kubernetes postrouting rules', match: '' },
  {
    table: 'filter',
    from: 'INPUT',
    to: 'KUBE-EXTERNAL-SERVICES',
    comment: 'kubernetes externally-visible service portals',
    match: '-m conntrack --ctstate NEW',
  },
  {
    table: 'filter',
    from: 'FORWARD',
    to: 'KUBE-EXTERNAL-SERVICES',
    comment: 'kubernetes externally-visible service portals',
    match: '-m conntrack --ctstate NEW',
  },
  {
    table: 'filter',
    from: 'FORWARD',
    to: 'KUBE-SERVICES',
    comment: 'kubernetes service portals',
    match: '-m conntrack --ctstate NEW',
  },
  {
    table: 'filter',
    from: 'OUTPUT',
    to: 'KUBE-SERVICES',
    comment: 'kubernetes service portals',
    match: '-m conntrack --ctstate NEW',
  },
  { table: 'filter', from: 'FORWARD', to: 'KUBE-FORWARD', comment: 'kubernetes forwarding rules', match: '' },
];

export const NAT_CHAINS = ['KUBE-SERVICES', 'KUBE-NODEPORTS', 'KUBE-POSTROUTING', 'KUBE-MARK-MASQ'] as const;
export const FILTER_CHAINS = ['KUBE-SERVICES', 'KUBE-EXTERNAL-SERVICES', 'KUBE-FORWARD'] as const;

export interface BaseRuleOptions {
  readonly clusterCidr: string;
  /** The kernel's MASQUERADE knows --random-fully (iptables 1.6.2, kernel 3.13). */
  readonly randomFully: boolean;
}

/** Rules of the fixed nat chains, KUBE-SERVICES and KUBE-NODEPORTS aside. */
export function natBaseRules({ randomFully }: BaseRuleOptions): string[] {
  return [
    `-A KUBE-MARK-MASQ -j MARK --or-mark ${MASQUERADE_MARK}`,
    `-A KUBE-POSTROUTING -m mark ! --mark ${MASQUERADE_MARK}/${MASQUERADE_MARK} -j RETURN`,
    // The mark is cleared, or a packet that passes the stack twice (encapsulation) would be masqueraded twice.
    `-A KUBE-POSTROUTING -j MARK --xor-mark ${MASQUERADE_MARK}`,
    `-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE${randomFully ? ' --random-fully' : ''}`,
  ];
}

/** The last rule of KUBE-SERVICES. */
export const NODE_PORT_RULE =
  '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS';

export function filterBaseRules({ clusterCidr }: BaseRuleOptions): string[] {
  return [
    // A packet that conntrack cannot place would leave with the endpoint's own address and reset the client's connection.
    '-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP',
    `-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark ${MASQUERADE_MARK}/${MASQUERADE_MARK} -j ACCEPT`,
    '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    // Hosts with Docker have a FORWARD policy of DROP: pods must pass.
    `-A KUBE-FORWARD -m comment --comment "kubernetes pod traffic" -s ${clusterCidr} -j ACCEPT`,
    `-A KUBE-FORWARD -m comment --comment "kubernetes pod traffic" -d ${clusterCidr} -j ACCEPT`,
  ];
}
