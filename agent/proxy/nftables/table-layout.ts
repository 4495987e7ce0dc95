import type { IpFamily } from '#api/meta/ip-address.ts';

/**
 * The fixed part of our table, which no other program writes to: hooks, chains and maps. Names follow kube-proxy's nftables mode where the
 * thing is the same. The README of this folder says how a packet passes.
 */
export const TABLE = 'kube-proxy';

/** Packets with this mark leave masqueraded. */
const MASQUERADE_MARK = '0x4000';

export interface NftOptions {
  readonly family: IpFamily;
  /** Of the same family. Traffic from elsewhere to a cluster IP is masqueraded so that answers find their way back. */
  readonly clusterCidr: string;
  /** Of this node, of the same family. */
  readonly nodeIps?: readonly string[];
  /** Ranges of node addresses on which node ports answer; undefined: every address of the node but loopback. */
  readonly nodePortRanges?: readonly string[] | undefined;
}

/** `ip` or `ip6`: the family of our table, and the protocol whose header fields are matched. */
export type NftFamily = 'ip' | 'ip6';

export const nftFamily = (family: IpFamily): NftFamily => (family === 'IPv6' ? 'ip6' : 'ip');

/** What a packet to a Service address is looked up by. */
const addressKey = (f: NftFamily): string => `${f} daddr . meta l4proto . th dport`;
const PORT_KEY = 'meta l4proto . th dport';

export type SpreadKind = 'cluster' | 'external' | 'nodeport';

/** Traffic of `kind` is spread over `count` endpoints: one chain for all Services of that many. */
export interface Spread {
  readonly kind: SpreadKind;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly count: number;
}

export const spreadChain = ({ kind, protocol, count }: Spread): string => `${kind}-${protocol}-${count}`;
/** Cluster and external spreads of as many endpoints share a map. */
export const endpointMap = ({ kind, protocol, count }: Spread): string =>
  `${kind === 'nodeport' ? 'nodeport-' : ''}endpoints-${protocol}-${count}`;

/** Name -> definition. Sets of the fixed part are flushed and filled at each full sync. */
export function fixedSets(f: NftFamily): ReadonlyMap<string, string> {
  const set = (key: string) => `{ typeof ${key} ; }`;
  const map = (key: string) => `{ typeof ${key} : verdict ; }`;
  return new Map([
    ['hairpin-connections', set(`${f} saddr . ${f} daddr`)],
    ['cluster-ips', set(`${f} daddr`)],
    ['service-ips', map(addressKey(f))],
    ['service-nodeports', map(PORT_KEY)],
    ['no-endpoint-services', map(addressKey(f))],
    ['no-endpoint-nodeports', map(PORT_KEY)],
    ['firewall-ips', map(addressKey(f))],
  ]);
}

export const isMapDefinition = (definition: string): boolean => definition.includes(' : ');

/** Name -> hook of the chain (empty: only jumped to) and its rules. */
export function fixedChains(options: NftOptions): ReadonlyMap<string, { hook: string; rules: readonly string[] }> {
  const f = nftFamily(options.family);
  const hook = (type: string, point: string, priority: number) =>
    `{ type ${type} hook ${point} priority ${priority} ; }`;
  const chain = (at: string, ...rules: string[]) => ({ hook: at, rules });
  const local = nodePortMatch(f, options.nodePortRanges);
  const isNew = 'ct state new';
  return new Map([
    ['mark-for-masquerade', chain('', `meta mark set meta mark or ${MASQUERADE_MARK}`)],
    ['reject-chain', chain('', 'reject')],
    [
      'services',
      chain(
        '',
        ...twice(`${addressKey(f)} vmap @service-ips`),
        ...local.flatMap((match) => twice(`${match} ${PORT_KEY} vmap @service-nodeports`)),
      ),
    ],
    ['service-endpoints-check', chain('', `${addressKey(f)} vmap @no-endpoint-services`)],
    [
      'nodeport-endpoints-check',
      chain('', ...local.map((match) => `${match} ${PORT_KEY} vmap @no-endpoint-nodeports`)),
    ],
    // What is still for a cluster IP here is for a port that no Service has: without this it would wander off to the default route.
    ['cluster-ips-check', chain('', `${f} daddr @cluster-ips reject`)],
    ['firewall-check', chain('', `${addressKey(f)} vmap @firewall-ips`)],
    [
      'masquerading',
      chain(
        '',
        // The mark is cleared, or a packet that passes the stack twice (encapsulation) would be masqueraded twice.
        `meta mark and ${MASQUERADE_MARK} != 0 meta mark set meta mark xor ${MASQUERADE_MARK} masquerade fully-random`,
        // A pod that reaches itself through its Service must see another source address, or it answers itself directly.
        `ct status dnat ${f} saddr . ${f} daddr @hairpin-connections masquerade fully-random`,
      ),
    ],
    // Before translation: the source ranges speak of load-balancer addresses.
    ['filter-prerouting', chain(hook('filter', 'prerouting', -110), `${isNew} jump firewall-check`)],
    ['filter-output-pre-dnat', chain(hook('filter', 'output', -110), `${isNew} jump firewall-check`)],
    [
      'filter-input',
      chain(
        hook('filter', 'input', 0),
        `${isNew} jump nodeport-endpoints-check`,
        `${isNew} jump service-endpoints-check`,
      ),
    ],
    [
      'filter-forward',
      // A packet that conntrack cannot place would leave with the endpoint's own address and reset the client's connection.
      chain(
        hook('filter', 'forward', 0),
        'ct state invalid drop',
        `${isNew} jump service-endpoints-check`,
        `${isNew} jump cluster-ips-check`,
      ),
    ],
    [
      'filter-output',
      chain(hook('filter', 'output', 0), `${isNew} jump service-endpoints-check`, `${isNew} jump cluster-ips-check`),
    ],
    ['nat-prerouting', chain(hook('nat', 'prerouting', -100), 'jump services')],
    ['nat-output', chain(hook('nat', 'output', -100), 'jump services')],
    ['nat-postrouting', chain(hook('nat', 'postrouting', 100), 'jump masquerading')],
  ]);
}

/**
 * A packet looks up where it goes and then, in another map, the endpoint. A transaction that is committed between the two leaves the second
 * without what the first spoke of, and the packet would go on untranslated; kernels before 6.17 may even miss an element whose value
 * changes. Translation ends the hook, so that only such a packet, and one that belongs to no Service, asks again.
 */
const twice = (lookUp: string): string[] => [lookUp, lookUp];

/** Rules of the chain that serves all Services with `count` endpoints. */
export function spreadRules(spread: Spread, { family, clusterCidr }: NftOptions): string[] {
  const f = nftFamily(family);
  const choice = `${endpointKey(spread, f)} . numgen random mod ${spread.count}`;
  return [
    spread.kind === 'cluster' ? `${f} saddr != ${clusterCidr} jump mark-for-masquerade` : 'jump mark-for-masquerade',
    `dnat ${f} to ${choice} map @${endpointMap(spread)}`,
  ];
}

/**
 * Fields and modulus only give the types. A map per protocol, because nft 1.0.6 has no type for a port of any: with `th dport` in the data
 * it refuses later rules that use the map ("conflicting protocols specified: ip vs. th").
 */
export function endpointMapDefinition(spread: Spread, f: NftFamily): string {
  return `{ typeof ${endpointKey(spread, f)} . numgen random mod 65536 : ${f} daddr . ${spread.protocol} dport ; }`;
}

const endpointKey = ({ kind, protocol }: Spread, f: NftFamily): string =>
  kind === 'nodeport' ? `${protocol} dport` : `${f} daddr . ${protocol} dport`;

/** 127.0.0.1 never: unlike iptables mode nothing here switches route_localnet on. */
function nodePortMatch(f: NftFamily, ranges: readonly string[] | undefined): string[] {
  const isLocal = 'fib daddr type local';
  if (ranges === undefined) return [`${f} daddr != ${f === 'ip6' ? '::1' : '127.0.0.0/8'} ${isLocal}`];
  const usable = ranges.filter((range) => !range.startsWith('127.') && !range.startsWith('::1'));
  return usable.length === 0 ? [] : [`${f} daddr { ${usable.join(', ')} } ${isLocal}`];
}
