import { expect, it } from 'vitest';
import { examineHost } from './examine-host.ts';
import type { ForeignChain, HostNetworkFacts } from './host-facts.ts';

const sound: HostNetworkFacts = {
  forwarding: { IPv4: '1', IPv6: '0' },
  bridgeNetfilter: { IPv4: '1', IPv6: '0' },
  nftProblem: undefined,
  hasConntrack: true,
  foreignChains: [],
  otherIptables: { program: 'iptables-legacy', rules: '' },
};
const ACCEPTS_PODS =
  '[{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":{"prefix":{"addr":"10.244.0.0","len":16}}}},{"accept":null}]';
const DROPS_PODS = ACCEPTS_PODS.replace('accept', 'drop');
const firewalld: ForeignChain = {
  table: 'inet firewalld',
  chain: 'filter_FORWARD',
  hook: 'forward',
  policy: 'accept',
  rules: ['[{"reject":{"type":"icmpx"}}]'],
};
const own: ForeignChain = { ...firewalld, table: 'inet filter', chain: 'forward', policy: 'drop', rules: [] };
const legacy = (rules: string) => ({ program: 'iptables-legacy', rules });

it.each([
  { name: 'a sound host', facts: sound, want: [] },
  { name: 'no forwarding', facts: { ...sound, forwarding: { IPv4: '0', IPv6: '1' } }, want: ['NoForwarding'] },
  {
    name: 'no br_netfilter',
    facts: { ...sound, bridgeNetfilter: { IPv4: undefined, IPv6: '1' } },
    want: ['NoBridgeNetfilter'],
  },
  { name: 'no nf_tables', facts: { ...sound, nftProblem: 'Protocol not supported' }, want: ['NoNfTables'] },
  { name: 'no conntrack', facts: { ...sound, hasConntrack: false }, want: ['NoConntrack'] },
  {
    name: 'firewalld as it is installed',
    facts: { ...sound, foreignChains: [firewalld] },
    want: ['FirewalldRefusesPods'],
  },
  {
    name: 'firewalld, both of whose chains refuse',
    facts: { ...sound, foreignChains: [firewalld, { ...firewalld, chain: 'filter_INPUT', hook: 'input' as const }] },
    want: ['FirewalldRefusesPods'],
  },
  {
    name: 'firewalld with pods in a zone',
    facts: { ...sound, foreignChains: [{ ...firewalld, rules: [...firewalld.rules, ACCEPTS_PODS] }] },
    want: [],
  },
  {
    name: 'a firewall in nftables of its own',
    facts: { ...sound, foreignChains: [own] },
    want: ['FirewallRefusesPods'],
  },
  {
    name: 'one that drops pods on purpose',
    facts: { ...sound, foreignChains: [{ ...own, rules: [DROPS_PODS] }] },
    want: ['FirewallRefusesPods'],
  },
  {
    name: 'one that lets pods pass',
    facts: { ...sound, foreignChains: [{ ...own, rules: [ACCEPTS_PODS] }] },
    want: [],
  },
  {
    name: 'a table that drops nothing by itself',
    facts: { ...sound, foreignChains: [{ ...own, policy: 'accept' as const }] },
    want: [],
  },
  {
    name: 'legacy leftovers that drop',
    facts: { ...sound, otherIptables: legacy(':FORWARD DROP [0:0]') },
    want: ['IptablesLeftovers'],
  },
  {
    name: 'legacy leftovers that do not',
    facts: { ...sound, otherIptables: legacy(':FORWARD ACCEPT [0:0]\n-A FORWARD -s 10.0.0.1 -j ACCEPT') },
    want: [],
  },
])('$name', ({ facts, want }) => {
  const problems = examineHost(facts, { clusterCidrs: { IPv4: '10.244.0.0/16' } });
  expect(problems.map(({ reason }) => reason)).toEqual(want);
  for (const { cause, cure } of problems) {
    expect(cause).not.toBe('');
    expect(cure).not.toBe('');
  }
});

it('looks at what pods of IPv6 need where there are such pods', () => {
  const inet6: ForeignChain = { ...own, table: 'ip6 filters' };
  const facts = { ...sound, forwarding: { IPv4: '1', IPv6: undefined }, foreignChains: [inet6] };
  const problems = examineHost(facts, { clusterCidrs: { IPv4: '10.244.0.0/16', IPv6: 'fd42::/48' } });
  expect(problems.map(({ reason }) => reason)).toEqual(['NoForwarding', 'NoBridgeNetfilter', 'FirewallRefusesPods']);
  expect(problems[0]?.cure).toContain('ipv6.disable=1');
  expect(problems[2]?.cure).toContain('nft insert rule ip6 filters forward ip6 saddr fd42::/48 accept');
});
