import type { IpFamily } from '#api/meta/ip-address.ts';
import type { RangesByFamily } from '#api/meta/ip-ranges.ts';
import type { NetworkProblem } from '../network-problem.ts';
import { type ForeignChain, type HostNetworkFacts, KERNEL_KEYS as KEYS } from './host-facts.ts';

export interface ExamineOptions {
  /** Pod addresses of the whole cluster. */
  readonly clusterCidrs: RangesByFamily;
}

/** What on this host is in the way of pods, and what helps. Pure; both the agent's conditions and `coracle doctor network` show it. */
export function examineHost(facts: HostNetworkFacts, { clusterCidrs }: ExamineOptions): NetworkProblem[] {
  const ranges = Object.entries(clusterCidrs) as [IpFamily, string][];
  return [
    ...kernelProblems(
      facts,
      ranges.map(([family]) => family),
    ),
    ...ranges.flatMap(([family, range]) => foreignProblems(facts.foreignChains, family, range)),
    ...leftoverProblem(facts),
  ];
}

function kernelProblems(facts: HostNetworkFacts, families: readonly IpFamily[]): NetworkProblem[] {
  const { nftProblem, hasConntrack } = facts;
  const problems: NetworkProblem[] = [];
  for (const family of families) {
    const [forwarding, bridgeNetfilter] = [facts.forwarding[family], facts.bridgeNetfilter[family]];
    const key = KEYS[family];
    const of = family === 'IPv6' ? ' of IPv6' : '';
    if (forwarding !== '1')
      problems.push({
        reason: 'NoForwarding',
        cause: `${key.forwarding} is ${forwarding ?? 'not there'}, so no packet${of} reaches a pod from outside or leaves it`,
        cure:
          forwarding === undefined && family === 'IPv6'
            ? 'start this host with IPv6 (without ipv6.disable=1 on the command line of its kernel), or leave it out of clusterCidr'
            : `look for what resets it in /etc/sysctl.d and set ${key.forwarding}=1`,
        isDegraded: false,
      });
    if (bridgeNetfilter !== '1')
      problems.push({
        reason: 'NoBridgeNetfilter',
        cause: `packets${of} between two pods of this node pass no rules, so Services whose endpoint is on the same node do not answer`,
        cure:
          bridgeNetfilter === undefined
            ? 'load the kernel module br_netfilter, or use a kernel that has it'
            : `set ${key.bridgeNetfilter}=1`,
        isDegraded: false,
      });
  }
  if (nftProblem !== undefined)
    problems.push({
      reason: 'NoNfTables',
      cause: `rules of nftables cannot be set, so NetworkPolicies are not enforced on this node, and its tunnel takes packets of everybody: ${nftProblem}`,
      cure: 'install the package nftables and use a kernel with nf_tables (CONFIG_NF_TABLES)',
      isDegraded: true,
    });
  if (!hasConntrack)
    problems.push({
      reason: 'NoConntrack',
      cause:
        'the program conntrack is not installed, so UDP clients that go on sending keep to endpoints of Services that are gone',
      cure: 'install the package conntrack',
      isDegraded: true,
    });
  return problems;
}

/** A verdict of another table cannot be undone: whatever ours accept, theirs may still drop. One problem for each table. */
function foreignProblems(chains: readonly ForeignChain[], family: IpFamily, clusterCidr: string): NetworkProblem[] {
  const own = family === 'IPv6' ? 'ip6' : 'ip';
  const sees = ({ table }: ForeignChain) => table.startsWith('inet ') || table.startsWith(`${own} `);
  const byTable = Map.groupBy(
    chains.filter((chain) => sees(chain) && isInTheWay(chain, clusterCidr)),
    ({ table }) => table,
  );
  return [...byTable].map(([table, refusing]) => {
    const whats = refusing.map(({ chain, hook }) => `${chain} refuses ${REFUSED[hook]}`);
    const cause = `in the table ${table} of nftables, ${whats.join(', and ')}`;
    if (isFirewalld(table))
      return {
        ...{ reason: 'FirewalldRefusesPods', cause, isDegraded: false },
        cure: `firewall-cmd --permanent --zone=trusted --add-source=${clusterCidr} && firewall-cmd --reload`,
      };
    const insert = (chain: string, end: 'saddr' | 'daddr') =>
      `nft insert rule ${table} ${chain} ${own} ${end} ${clusterCidr} accept`;
    const rules = refusing.flatMap(({ chain, hook }) => [
      insert(chain, 'saddr'),
      ...(hook === 'forward' ? [insert(chain, 'daddr')] : []),
    ]);
    return {
      ...{ reason: 'FirewallRefusesPods', cause, isDegraded: false },
      cure: `${rules.join(' && ')}, and the same in the file that makes this table`,
    };
  });
}

const REFUSED = {
  forward: 'packets to and from pods',
  input: 'what pods ask of this node, names first of all',
} as const;

const isFirewalld = (table: string): boolean => table.endsWith(' firewalld');

function isInTheWay({ table, policy, rules }: ForeignChain, clusterCidr: string): boolean {
  const refuses = policy === 'drop' || (isFirewalld(table) && rules.some((rule) => rule.includes('"reject"')));
  return refuses && !rules.some((rule) => letsIn(rule, clusterCidr));
}

/** A rule that speaks of the pods' range and drops nothing: an exception that somebody made. */
function letsIn(rule: string, clusterCidr: string): boolean {
  const [address = '', length = ''] = clusterCidr.split('/');
  return rule.includes(`"addr":"${address}","len":${length}`) && !/"(drop|reject)"/.test(rule);
}

/** Packets pass the tables of both variants. */
function leftoverProblem({ otherIptables: { program, rules } }: HostNetworkFacts): NetworkProblem[] {
  const drops = /^:FORWARD DROP/m.test(rules) || /^-A FORWARD\b.*-j (DROP|REJECT)/m.test(rules);
  if (!drops) return [];
  return [
    {
      reason: 'IptablesLeftovers',
      cause: `rules that ${program} has left drop forwarded packets; this host uses the other variant of iptables, and packets pass both`,
      cure: `${program} -P FORWARD ACCEPT && ${program} -F FORWARD`,
      isDegraded: false,
    },
  ];
}
