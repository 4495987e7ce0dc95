import { expect, it } from 'vitest';
import { examineHost } from './examine-host.ts';
import type { ForeignChain, HostNetworkFacts } from './host-facts.ts';

const sound: HostNetworkFacts = {
  forwarding: '1',
  bridgeNetfilter: '1',
  nftProblem: undefined,
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
  { name: 'no forwarding', facts: { ...sound, forwarding: '0' }, want: ['NoForwarding'] },
  { name: 'no br_netfilter', facts: { ...sound, bridgeNetfilter: undefined }, want: ['NoBridgeNetfilter'] },
  { name: 'no nf_tables', facts: { ...sound, nftProblem: 'Protocol not supported' }, want: ['NoNfTables'] },
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
  const problems = examineHost(facts, { clusterCidr: '10.244.0.0/16' });
  expect(problems.map(({ reason }) => reason)).toEqual(want);
  for (const { cause, cure } of problems) {
    expect(cause).not.toBe('');
    expect(cure).not.toBe('');
  }
});
