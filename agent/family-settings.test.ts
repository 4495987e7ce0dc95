import { describe, expect, it } from 'vitest';
import type { IpFamily } from '#api/meta/ip-address.ts';
import type { AgentConfig } from './config.ts';
import { checkFamilies, configuredNodeIps, podRanges } from './family-settings.ts';
import { addressesMeanwhile, findNodeAddresses } from './node-address.ts';

const config = (over: Partial<AgentConfig>) =>
  ({ clusterCidr: '10.244.0.0/16', clusterDns: ['10.96.0.10'], nodeIp: '', ...over }) as AgentConfig;

describe('families of a node', () => {
  it('come in the order of the ranges', () => {
    expect(Object.entries(podRanges('fd42::/48, 10.244.0.0/16'))).toEqual([
      ['IPv6', 'fd42::/48'],
      ['IPv4', '10.244.0.0/16'],
    ]);
  });

  it.each([
    [{}],
    [{ clusterCidr: '10.244.0.0/16,fd42::/48', clusterDns: ['10.96.0.10', 'fd43::a'], nodeIp: 'fd00::7,192.0.2.7' }],
    [{ clusterCidr: 'fd42::/48', clusterDns: [] }],
  ])('may be %j', (over) => {
    expect(() => checkFamilies(config(over))).not.toThrow();
  });

  it.each([
    [
      { clusterCidr: '10.244.0.0/16,10.245.0.0/16' },
      'clusterCidr: "10.244.0.0/16,10.245.0.0/16" is two ranges of IPv4',
    ],
    [{ clusterCidr: 'fd42::/48' }, 'clusterDns: 10.96.0.10 is of IPv4, and clusterCidr has IPv6 alone'],
    [{ clusterDns: ['dns.example'] }, 'clusterDns: "dns.example" is no address'],
    [{ nodeIp: '192.0.2.7,192.0.2.8' }, 'nodeIp: "192.0.2.7,192.0.2.8" has more than one address of a family'],
    [{ nodeIp: 'eth0' }, 'nodeIp: "eth0" is no address'],
  ])('may not be %j', (over, message) => {
    expect(() => checkFamilies(config(over))).toThrow(message);
  });

  it('node addresses are canonical', () => {
    expect(configuredNodeIps('FD00:0::7, 192.0.2.7')).toEqual(['fd00::7', '192.0.2.7']);
  });
});

describe('addresses of a node that is told none', () => {
  const hostWith = (own: { IPv4?: string; IPv6?: string }) =>
    ({ sourceAddressTo: async (to: string) => own[to.includes(':') ? 'IPv6' : 'IPv4'] }) as never;
  const both = { IPv4: '192.0.2.7', IPv6: 'fd00::7' };
  it.each([
    { name: 'that towards the servers', server: '192.0.2.1', families: ['IPv4'], own: both, want: ['192.0.2.7'] },
    {
      name: 'of both families',
      server: '192.0.2.1',
      families: ['IPv4', 'IPv6'],
      own: both,
      want: ['192.0.2.7', 'fd00::7'],
    },
    {
      name: 'in the order of pods',
      server: '192.0.2.1',
      families: ['IPv6', 'IPv4'],
      own: both,
      want: ['fd00::7', '192.0.2.7'],
    },
    {
      name: 'none that its link alone knows',
      server: '192.0.2.1',
      families: ['IPv4', 'IPv6'],
      own: { IPv4: '192.0.2.7', IPv6: 'fe80::7' },
      want: ['192.0.2.7'],
    },
    {
      name: 'one that pods have no range for, where servers are reached by no other',
      server: '192.0.2.1',
      families: ['IPv6'],
      own: { IPv4: '192.0.2.7' },
      want: ['192.0.2.7'],
    },
    { name: 'that of IPv6', server: '[fd00::1]', families: ['IPv6'], own: both, want: ['fd00::7'] },
    { name: 'none without a route', server: '192.0.2.1', families: ['IPv4'], own: {}, want: undefined },
  ] as const)('$name', async ({ server, families, own, want }) => {
    expect(await findNodeAddresses([`https://${server}:6443`], families, hostWith(own))).toEqual(want);
  });
});

it.each([
  { name: 'any that the host has', own: ['169.254.1.1', '192.0.2.7', 'fd00::7'], want: ['192.0.2.7', 'fd00::7'] },
  { name: 'one that pods have no range for', own: ['192.0.2.7'], families: ['IPv6'], want: ['192.0.2.7'] },
  { name: 'that of the loopback', own: ['fe80::1'], want: ['127.0.0.1'] },
] as const)('without a way to the servers a node starts with $name', async ({ own, want, ...rest }) => {
  const ours = [
    { interfaceName: 'lo', address: 'fd63::53' },
    { interfaceName: 'coracle0', address: '10.244.0.1' },
  ];
  const theirs = own.map((address) => ({ interfaceName: 'eth0', address }));
  const host = { addresses: async () => [...ours, ...theirs] } as never;
  const families: readonly IpFamily[] = ('families' in rest ? rest.families : undefined) ?? ['IPv4', 'IPv6'];
  expect(await addressesMeanwhile(families, host)).toEqual(want);
});
