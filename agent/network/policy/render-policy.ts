import { createHash } from 'node:crypto';
import { type IpFamily, parseCidr, parseIp, rangeContains } from '#api/meta/ip-address.ts';
import { CLUSTER_DNS_PEER, type NodePolicy, type PolicyPorts, type PolicyRule } from '#api/network/node-policy.ts';

export const POLICY_TABLE = 'coracle-policy';

export interface PolicyOptions {
  readonly family: IpFamily;
  /** Where the cluster DNS answers on this node, after translation; undefined: it does not. */
  readonly dns?: { readonly address: string; readonly port: number } | undefined;
  /** Addresses of the cluster DNS as pods see them. */
  readonly clusterDns: readonly string[];
}

/** What our table holds, comparable with what it held. */
export interface PolicyTable {
  readonly sets: ReadonlyMap<string, ReadonlySet<string>>;
  /** Named after what is in them: a chain is there or not, and never changes. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  /** Pod -> its chain, by direction. */
  readonly maps: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

type Direction = 'ingress' | 'egress';

const DNS_PORT = 53;
const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 12);
const nft = (family: IpFamily): 'ip' | 'ip6' => (family === 'IPv6' ? 'ip6' : 'ip');

/** Nothing but drops of what policies do not allow: who let a packet pass here has not yet let it pass elsewhere. */
export function computePolicyTable(policy: NodePolicy, options: PolicyOptions): PolicyTable {
  const isOfFamily = (address: string) => parseIp(address)?.family === options.family;
  const sets = new Map(
    Object.entries(policy.sets).map(([key, addresses]) => [setName(key), new Set(addresses.filter(isOfFamily))]),
  );
  const chains = new Map<string, readonly string[]>();
  const maps = { ingress: new Map<string, string>(), egress: new Map<string, string>() };
  const self = new Set<string>();
  for (const { pods, ...rules } of policy.groups) {
    for (const direction of ['ingress', 'egress'] as const) {
      const own = rules[direction];
      if (own === undefined) continue;
      const body = [...new Set(own.flatMap((rule) => renderRule(rule, direction, policy, options))), 'drop'];
      const name = `${direction}-${hash(body.join('\n'))}`;
      chains.set(name, body);
      for (const pod of pods.filter(isOfFamily)) {
        maps[direction].set(pod, `jump ${name}`);
        self.add(`${pod} . ${pod}`);
      }
    }
  }
  return {
    sets: new Map([...sets, ['self', self]]),
    chains,
    maps: new Map([
      ['ingress-pods', maps.ingress],
      ['egress-pods', maps.egress],
    ]),
  };
}

const setName = (key: string): string => `pods-${hash(key)}`;

function renderRule(rule: PolicyRule, direction: Direction, policy: NodePolicy, options: PolicyOptions): string[] {
  const peers = peerMatches(rule, direction, options.family);
  const ports = rule.ports === undefined ? [''] : rule.ports.map(portMatch);
  const matches = peers.flatMap((peer) => ports.map((port) => `${peer} ${port} return`.replace(/\s+/g, ' ').trim()));
  return direction === 'egress' ? [...matches, ...dnsMatches(rule, policy, options)] : matches;
}

/** One match for each kind of peer; `''` matches everybody, no match at all nobody. */
function peerMatches({ sets, blocks }: PolicyRule, direction: Direction, family: IpFamily): string[] {
  if (sets === undefined && blocks === undefined) return [''];
  const field = `${nft(family)} ${direction === 'ingress' ? 'saddr' : 'daddr'}`;
  const isOfFamily = (cidr: string) => parseCidr(cidr)?.family === family;
  return [
    ...(sets ?? []).map((key) => `${field} @${setName(key)}`),
    ...(blocks ?? [])
      .filter(({ cidr }) => isOfFamily(cidr))
      .map(({ cidr, except }) => {
        const not = except.filter(isOfFamily).map((range) => `${field} != ${range}`);
        // The whole world is no range to nft 1.0.
        return [parseCidr(cidr)?.prefixLength === 0 ? '' : `${field} ${cidr}`, ...not].join(' ');
      }),
  ];
}

function portMatch({ protocol, port, endPort }: PolicyPorts): string {
  const name = protocol.toLowerCase();
  if (port === undefined) return `meta l4proto ${name}`;
  return `${name} dport ${endPort === undefined || endPort === port ? port : `${port}-${endPort}`}`;
}

/** What is sent to the cluster DNS arrives at this node's own resolver, under another address and port. */
function dnsMatches({ sets, blocks, ports }: PolicyRule, policy: NodePolicy, options: PolicyOptions): string[] {
  const { dns, clusterDns, family } = options;
  if (dns === undefined || parseIp(dns.address)?.family !== family) return [];
  const isEverybody = sets === undefined && blocks === undefined;
  const isPeer = (sets ?? []).some((key) => policy.sets[key]?.includes(CLUSTER_DNS_PEER));
  const isInBlock = (blocks ?? []).some(({ cidr, except }) =>
    clusterDns.some((address) => isWithin(address, cidr) && !except.some((range) => isWithin(address, range))),
  );
  if (!isEverybody && !isPeer && !isInBlock) return [];
  const allowed = (protocol: 'TCP' | 'UDP') =>
    ports === undefined ||
    ports.some(
      (one) =>
        one.protocol === protocol &&
        (one.port === undefined || (one.port <= DNS_PORT && DNS_PORT <= (one.endPort ?? one.port))),
    );
  return (['UDP', 'TCP'] as const)
    .filter(allowed)
    .map((protocol) => `${nft(family)} daddr ${dns.address} ${protocol.toLowerCase()} dport ${dns.port} return`);
}

function isWithin(address: string, cidr: string): boolean {
  const ip = parseIp(address);
  const range = parseCidr(cidr);
  return ip !== undefined && range !== undefined && rangeContains(range, ip);
}

/**
 * Input for `nft -f -`, one transaction: from `before` (undefined: whatever is there) to `after`. Pods that reach the node itself pass INPUT,
 * all others FORWARD; what the node sends to its own pods (probes) is never judged.
 */
export function renderPolicyChange(before: PolicyTable | undefined, after: PolicyTable, family: IpFamily): string {
  const f = nft(family);
  const t = `${f} ${POLICY_TABLE}`;
  const old = before ?? { sets: new Map(), chains: new Map(), maps: new Map() };
  const newSets = [...after.sets.keys()].filter((name) => !old.sets.has(name));
  const newChains = [...after.chains].filter(([name]) => !old.chains.has(name));
  const lines = [
    ...(before === undefined ? freshTable(t, f) : []),
    ...newSets.map(
      (name) => `add set ${t} ${name} { typeof ${name === 'self' ? `${f} saddr . ${f} daddr` : `${f} saddr`} ; }`,
    ),
    ...newChains.flatMap(([name, rules]) => [
      `add chain ${t} ${name}`,
      ...rules.map((rule) => `add rule ${t} ${name} ${rule}`),
    ]),
    ...(before === undefined ? freshHooks(t, f) : []),
    ...[...after.sets].flatMap(([name, elements]) => {
      const known = old.sets.get(name) ?? new Set<string>();
      return [
        ...elementLines(
          'delete',
          t,
          name,
          [...known].filter((element) => !elements.has(element)),
        ),
        ...elementLines(
          'add',
          t,
          name,
          [...elements].filter((element) => !known.has(element)),
        ),
      ];
    }),
    ...[...after.maps].flatMap(([name, entries]) => {
      const known = old.maps.get(name) ?? new Map<string, string>();
      const gone = [...known].filter(([key, value]) => entries.get(key) !== value).map(([key]) => key);
      const added = [...entries].filter(([key, value]) => known.get(key) !== value);
      return [
        ...elementLines('delete', t, name, gone),
        ...elementLines(
          'add',
          t,
          name,
          added.map(([key, value]) => `${key} : ${value}`),
        ),
      ];
    }),
  ];
  const goneChains = [...old.chains.keys()].filter((name) => !after.chains.has(name));
  const goneSets = [...old.sets.keys()].filter((name) => !after.sets.has(name));
  lines.push(...goneChains.flatMap((name) => [`flush chain ${t} ${name}`, `delete chain ${t} ${name}`]));
  lines.push(...goneSets.map((name) => `delete set ${t} ${name}`));
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

function freshTable(t: string, f: 'ip' | 'ip6'): string[] {
  return [
    `add table ${t}`,
    `delete table ${t}`,
    `add table ${t}`,
    `add map ${t} ingress-pods { typeof ${f} daddr : verdict ; }`,
    `add map ${t} egress-pods { typeof ${f} saddr : verdict ; }`,
  ];
}

function freshHooks(t: string, f: 'ip' | 'ip6'): string[] {
  const known = 'ct state established,related accept';
  // Without their neighbours' answers pods reach nobody at all: not the node, and, on its bridge, not each other (IPv6).
  const neighbours = (chain: string, types: string) =>
    f === 'ip6' ? [`add rule ${t} ${chain} icmpv6 type { ${types} } accept`] : [];
  return [
    // Before other filters, so that they see only what policies allow.
    `add chain ${t} forward { type filter hook forward priority -5 ; }`,
    `add rule ${t} forward ${known}`,
    ...neighbours('forward', 'nd-neighbor-solicit, nd-neighbor-advert'),
    `add rule ${t} forward ${f} saddr . ${f} daddr @self accept`,
    `add rule ${t} forward ${f} saddr vmap @egress-pods`,
    `add rule ${t} forward ${f} daddr vmap @ingress-pods`,
    `add chain ${t} input { type filter hook input priority -5 ; }`,
    `add rule ${t} input ${known}`,
    ...neighbours('input', 'nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit'),
    `add rule ${t} input ${f} saddr vmap @egress-pods`,
  ];
}

function elementLines(operation: 'add' | 'delete', t: string, name: string, elements: readonly string[]): string[] {
  return elements.length === 0 ? [] : [`${operation} element ${t} ${name} { ${elements.join(', ')} }`];
}
