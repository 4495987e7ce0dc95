import { describe, expect, it } from 'vitest';
import { agentRanges, checkAdvertiseAddress, readAddressRanges } from './address-ranges.ts';

const config = (over: object = {}) => ({
  clusterCidr: '10.244.0.0/16',
  serviceCidr: '10.96.0.0/16',
  nodeCidrMaskSize: 24,
  nodeCidrMaskSizeIpv6: 64,
  ...over,
});

describe('address ranges', () => {
  it.each([
    { name: 'IPv4', over: {}, pods: ['10.244.0.0/16 24'], primary: 'IPv4' },
    {
      name: 'dual stack',
      over: { clusterCidr: '10.244.0.0/16, fd42::/48', serviceCidr: '10.96.0.0/16,fd43::/112' },
      pods: ['10.244.0.0/16 24', 'fd42::/48 64'],
      primary: 'IPv4',
    },
    {
      name: 'dual stack, IPv6 first, for Services alone',
      over: { clusterCidr: '10.244.0.0/16,fd42::/48', serviceCidr: 'fd43::/112,10.96.0.0/16' },
      pods: ['10.244.0.0/16 24', 'fd42::/48 64'],
      primary: 'IPv6',
    },
    {
      name: 'IPv6 alone',
      over: { clusterCidr: 'fd42::/48', serviceCidr: 'fd43::/108' },
      pods: ['fd42::/48 64'],
      primary: 'IPv6',
    },
    {
      name: 'pods of two families, Services of one',
      over: { clusterCidr: 'fd42::/48,10.244.0.0/16' },
      pods: ['fd42::/48 64', '10.244.0.0/16 24'],
      primary: 'IPv4',
    },
  ])('$name', ({ over, pods, primary }) => {
    const ranges = readAddressRanges(config(over));
    expect(ranges.pods.map(({ cidr, nodeMaskSize }) => `${cidr} ${nodeMaskSize}`)).toEqual(pods);
    expect(ranges.primary).toBe(primary);
  });

  it.each([
    [{ clusterCidr: '10.244.0.0' }, 'clusterCidr: "10.244.0.0" is no range of addresses such as'],
    [{ serviceCidr: 'fd43::/112,10.96.0.0/16,10.97.0.0/16' }, 'is more than two ranges'],
    [{ clusterCidr: '10.244.0.0/16,10.245.0.0/16' }, 'is two ranges of IPv4: there can be one of each family'],
    [{ clusterCidr: '10.244.0.0/25' }, '10.244.0.0/25 is smaller than the share of one node, a /24 (nodeCidrMaskSize)'],
    [{ clusterCidr: 'fd42::/80' }, 'smaller than the share of one node, a /64 (nodeCidrMaskSizeIpv6)'],
    [{ serviceCidr: 'fd43::/112' }, 'fd43::/112 is of IPv6, of which clusterCidr (10.244.0.0/16) has no range'],
    [{ serviceCidr: '10.244.255.0/24' }, 'serviceCidr: 10.244.255.0/24 overlaps with clusterCidr 10.244.0.0/16'],
    [{ serviceCidr: '10.96.0.0/30' }, 'serviceCidr: 10.96.0.0/30 must have a prefix from /8 to /28'],
    [{ clusterCidr: 'fd42::/48', serviceCidr: 'fd43::/56' }, 'fd43::/56 must have a prefix from /64 to /124'],
  ])('refuses %j', (over, message) => {
    expect(() => readAddressRanges(config(over))).toThrow(message);
  });

  it('are told to agents where they are not the default', () => {
    expect(agentRanges(config())).toEqual([]);
    const dual = { clusterCidr: '10.244.0.0/16, fd42::/48', serviceCidr: '10.96.0.0/16,fd43::/112' };
    expect(agentRanges(config(dual))).toEqual([
      ['clusterCidr', '10.244.0.0/16,fd42::/48'],
      ['clusterDns', '10.96.0.10,fd43::a'],
    ]);
  });

  it('wants the API servers at an address of the family that Services have', () => {
    const ranges = readAddressRanges(config({ clusterCidr: 'fd42::/48', serviceCidr: 'fd43::/112' }));
    expect(() => checkAdvertiseAddress('192.0.2.1', ranges)).toThrow(
      'advertiseAddress: 192.0.2.1 is not of IPv6, as the first range of serviceCidr (fd43::/112) is',
    );
    expect(() => checkAdvertiseAddress('db.example', ranges)).toThrow('advertiseAddress: "db.example" is no address');
    expect(() => checkAdvertiseAddress('2001:db8::1', ranges)).not.toThrow();
  });
});
