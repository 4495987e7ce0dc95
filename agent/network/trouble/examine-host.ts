import type { NetworkProblem } from '../network-problem.ts';
import type { ForeignChain, HostNetworkFacts } from './host-facts.ts';

export interface ExamineOptions {
  /** Pod addresses of the whole cluster. */
  readonly clusterCidr: string;
}

/** What on this host is in the way of pods, and what helps. Pure; both the agent's conditions and `coracle doctor network` show it. */
export function examineHost(facts: HostNetworkFacts, { clusterCidr }: ExamineOptions): NetworkProblem[] {
  return [
    ...kernelProblems(facts),
    ...facts.foreignChains.flatMap((chain) => foreignProblem(chain, clusterCidr)),
    ...leftoverProblem(facts),
  ];
}

function kernelProblems({ forwarding, bridgeNetfilter, nftProblem }: HostNetworkFacts): NetworkProblem[] {
  const problems: NetworkProblem[] = [];
  if (forwarding !== '1')
    problems.push({
      reason: 'NoForwarding',
      cause: `net.ipv4.ip_forward is ${forwarding ?? 'not there'}, so no packet reaches a pod from outside or leaves it`,
      cure: 'look for what resets it in /etc/sysctl.d and set net.ipv4.ip_forward=1',
      isDegraded: false,
    });
  if (bridgeNetfilter !== '1')
    problems.push({
      reason: 'NoBridgeNetfilter',
      cause:
        'packets between two pods of this node pass no rules, so Services whose endpoint is on the same node do not answer',
      cure:
        bridgeNetfilter === undefined
          ? 'load the kernel module br_netfilter, or use a kernel that has it'
          : 'set net.bridge.bridge-nf-call-iptables=1',
      isDegraded: false,
    });
  if (nftProblem !== undefined)
    problems.push({
      reason: 'NoNfTables',
      cause: `rules of nftables cannot be set, so NetworkPolicies are not enforced on this node: ${nftProblem}`,
      cure: 'install the package nftables and use a kernel with nf_tables (CONFIG_NF_TABLES)',
      isDegraded: true,
    });
  return problems;
}

/** A verdict of another table cannot be undone: whatever ours accept, theirs may still drop. */
function foreignProblem({ table, chain, hook, policy, rules }: ForeignChain, clusterCidr: string): NetworkProblem[] {
  const isFirewalld = table.endsWith(' firewalld');
  const refuses = policy === 'drop' || (isFirewalld && rules.some((rule) => rule.includes('"reject"')));
  if (!refuses || rules.some((rule) => letsIn(rule, clusterCidr))) return [];
  const what = hook === 'forward' ? 'packets to and from pods' : 'what pods ask of this node, names first of all';
  return [
    {
      reason: isFirewalld ? 'FirewalldRefusesPods' : 'FirewallRefusesPods',
      cause: `the chain ${chain} of the table ${table} refuses ${what}`,
      cure: isFirewalld
        ? `firewall-cmd --permanent --zone=trusted --add-source=${clusterCidr} && firewall-cmd --reload`
        : `accept ${clusterCidr} there: nft insert rule ${table} ${chain} ip saddr ${clusterCidr} accept${hook === 'forward' ? `, and the same with daddr` : ''}`,
      isDegraded: false,
    },
  ];
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
