import type { IpFamily } from '#api/meta/ip-address.ts';

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
  // Before KUBE-FORWARD, which lets pods pass wherever they go.
  ...(['INPUT', 'FORWARD', 'OUTPUT'] as const).map(
    (from): ChainJump => ({
      table: 'filter',
      from,
      to: 'KUBE-PROXY-FIREWALL',
      comment: 'kubernetes load balancer firewall',
      match: '-m conntrack --ctstate NEW',
    }),
  ),
  // Of OUTPUT too, where kube-proxy has none: an external address without endpoints would leave the node and come back in circles.
  ...(['INPUT', 'FORWARD', 'OUTPUT'] as const).map(
    (from): ChainJump => ({
      table: 'filter',
      from,
      to: 'KUBE-EXTERNAL-SERVICES',
      comment: 'kubernetes externally-visible service portals',
      match: '-m conntrack --ctstate NEW',
    }),
  ),
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
  { table: 'filter', from: 'INPUT', to: 'KUBE-FIREWALL', comment: '', match: '' },
  { table: 'filter', from: 'OUTPUT', to: 'KUBE-FIREWALL', comment: '', match: '' },
];

export const NAT_CHAINS = ['KUBE-SERVICES', 'KUBE-NODEPORTS', 'KUBE-POSTROUTING', 'KUBE-MARK-MASQ'] as const;
export const FILTER_CHAINS = [
  'KUBE-SERVICES',
  'KUBE-EXTERNAL-SERVICES',
  'KUBE-FORWARD',
  'KUBE-PROXY-FIREWALL',
  'KUBE-FIREWALL',
] as const;

export interface BaseRuleOptions {
  readonly family: IpFamily;
  /** Of the rules' family. */
  readonly clusterCidr: string;
  /** Of this node, of the rules' family. */
  readonly nodeIps?: readonly string[];
  /** Ranges of node addresses on which node ports answer; undefined: every address of the node. */
  readonly nodePortRanges?: readonly string[] | undefined;
  /** Node ports answer on 127.0.0.1 too (IPv4; needs `route_localnet`). */
  readonly localhostNodePorts: boolean;
  /** The kernel's MASQUERADE knows --random-fully (iptables 1.6.2, kernel 3.13). */
  readonly randomFully: boolean;
}

export const MARK_MASQUERADE_RULE = `-A KUBE-MARK-MASQ -j MARK --or-mark ${MASQUERADE_MARK}`;

/** Rules of the fixed nat chains, KUBE-SERVICES and KUBE-NODEPORTS aside. */
export function natBaseRules({ randomFully }: BaseRuleOptions): string[] {
  return [
    MARK_MASQUERADE_RULE,
    `-A KUBE-POSTROUTING -m mark ! --mark ${MASQUERADE_MARK}/${MASQUERADE_MARK} -j RETURN`,
    // The mark is cleared, or a packet that passes the stack twice (encapsulation) would be masqueraded twice.
    `-A KUBE-POSTROUTING -j MARK --xor-mark ${MASQUERADE_MARK}`,
    `-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE${randomFully ? ' --random-fully' : ''}`,
  ];
}

const NODE_PORT_COMMENT =
  '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain"';

/** The last rules of KUBE-SERVICES. */
export function nodePortRules({ family, nodePortRanges, localhostNodePorts }: BaseRuleOptions): string[] {
  // The kernel routes nothing from ::1 to elsewhere, and 127.0.0.1 only where route_localnet says so.
  const notLoopback = family === 'IPv6' ? '! -d ::1/128 ' : localhostNodePorts ? '' : '! -d 127.0.0.0/8 ';
  const isLocal = '-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS';
  if (nodePortRanges === undefined) return [`${NODE_PORT_COMMENT} ${notLoopback}${isLocal}`];
  return nodePortRanges
    .filter((range) => localhostNodePorts || !range.startsWith('127.'))
    .map((range) => `${NODE_PORT_COMMENT} -d ${range} ${isLocal}`);
}

export function filterBaseRules({ family, clusterCidr }: BaseRuleOptions): string[] {
  return [
    // With route_localnet, hosts of the same link could send to what listens on 127.0.0.1 (CVE-2020-8558).
    ...(family === 'IPv6'
      ? []
      : [
          '-A KUBE-FIREWALL -m comment --comment "block incoming localnet connections" ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP',
        ]),
    // A packet that conntrack cannot place would leave with the endpoint's own address and reset the client's connection.
    '-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP',
    `-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark ${MASQUERADE_MARK}/${MASQUERADE_MARK} -j ACCEPT`,
    '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    // Hosts with Docker have a FORWARD policy of DROP: pods must pass.
    `-A KUBE-FORWARD -m comment --comment "kubernetes pod traffic" -s ${clusterCidr} -j ACCEPT`,
    `-A KUBE-FORWARD -m comment --comment "kubernetes pod traffic" -d ${clusterCidr} -j ACCEPT`,
  ];
}
