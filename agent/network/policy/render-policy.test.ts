import { describe, expect, it } from 'vitest';
import { CLUSTER_DNS_PEER, type NodePolicy, type PolicyRule } from '#api/network/node-policy.ts';
import { computePolicyTable, renderPolicyChange } from './render-policy.ts';

const OPTIONS = {
  family: 'IPv4',
  dns: { address: '169.254.10.53', port: 10053 },
  clusterDns: ['10.96.0.10'],
} as const;

const table = (policy: NodePolicy) => computePolicyTable(policy, OPTIONS);
const change = (before: NodePolicy, after: NodePolicy) =>
  renderPolicyChange(table(before), table(after), 'IPv4').trimEnd().split('\n');

const ingress = (members: readonly string[], pods: readonly string[]): NodePolicy => ({
  sets: { friends: members },
  groups: [{ pods, ingress: [{ sets: ['friends'], ports: [{ protocol: 'TCP', port: 80 }] }] }],
});

describe('the change of a policy table', () => {
  it('is nothing when nothing changed', () => {
    expect(change(ingress(['10.0.0.2'], ['10.0.0.1']), ingress(['10.0.0.2'], ['10.0.0.1']))).toEqual(['']);
  });

  it('is one element when a peer comes', () => {
    expect(change(ingress(['10.0.0.2'], ['10.0.0.1']), ingress(['10.0.0.2', '10.0.0.3'], ['10.0.0.1']))).toEqual([
      expect.stringMatching(/^add element ip coracle-policy pods-\w+ \{ 10\.0\.0\.3 \}$/),
    ]);
  });

  it('is an entry when a pod goes, and its chain with the last one', () => {
    const one = change(ingress([], ['10.0.0.1', '10.0.0.2']), ingress([], ['10.0.0.1']));
    expect(one).toEqual([
      'delete element ip coracle-policy self { 10.0.0.2 . 10.0.0.2 }',
      'delete element ip coracle-policy ingress-pods { 10.0.0.2 }',
    ]);
    const last = change(ingress([], ['10.0.0.1']), { sets: {}, groups: [] });
    expect(last.filter((line) => line.startsWith('delete chain'))).toHaveLength(1);
    expect(last.indexOf('delete element ip coracle-policy ingress-pods { 10.0.0.1 }')).toBeLessThan(
      last.findIndex((line) => line.startsWith('delete chain')),
    );
  });
});

describe('egress to the cluster DNS, which this node answers itself', () => {
  const dnsRules = (rule: PolicyRule) => {
    const { chains } = table({
      sets: { dns: [CLUSTER_DNS_PEER], pods: ['10.0.0.9'] },
      groups: [{ pods: ['10.0.0.1'], egress: [rule] }],
    });
    return [...chains.values()].flat().flatMap((line) => /169\.254\.10\.53 (\w+)/.exec(line)?.[1] ?? []);
  };
  it.each<{ name: string; rule: PolicyRule; want: string[] }>([
    { name: 'everything', rule: {}, want: ['udp', 'tcp'] },
    { name: 'port 53 of everybody', rule: { ports: [{ protocol: 'UDP', port: 53 }] }, want: ['udp'] },
    { name: 'a range with 53 in it', rule: { ports: [{ protocol: 'TCP', port: 1, endPort: 99 }] }, want: ['tcp'] },
    { name: 'another port', rule: { ports: [{ protocol: 'UDP', port: 80 }] }, want: [] },
    { name: 'the pod that stands for it', rule: { sets: ['dns'], blocks: [] }, want: ['udp', 'tcp'] },
    { name: 'other pods', rule: { sets: ['pods'], blocks: [] }, want: [] },
    { name: 'its address', rule: { sets: [], blocks: [{ cidr: '10.96.0.0/16', except: [] }] }, want: ['udp', 'tcp'] },
    { name: 'its address excepted', rule: { blocks: [{ cidr: '10.0.0.0/8', except: ['10.96.0.10/32'] }] }, want: [] },
  ])('$name', ({ rule, want }) => {
    expect(dnsRules(rule)).toEqual(want);
  });
});
