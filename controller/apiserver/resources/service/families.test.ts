import { expect, test } from 'vitest';
import type { IpFamily } from '#api/meta/ip-address.ts';
import type { ServiceSpec } from './defaults.ts';
import { chooseFamilies } from './families.ts';

const V4: IpFamily[] = ['IPv4'];
const V6: IpFamily[] = ['IPv6'];
const DUAL: IpFamily[] = ['IPv4', 'IPv6'];
const DUAL_6_FIRST: IpFamily[] = ['IPv6', 'IPv4'];
const selector = { app: 'x' };

test.each<[name: string, spec: ServiceSpec, cluster: IpFamily[], policy: string, families: IpFamily[]]>([
  ['nothing said', { selector }, V4, 'SingleStack', ['IPv4']],
  ['nothing said in a dual-stack cluster', { selector }, DUAL, 'SingleStack', ['IPv4']],
  ['nothing said where there is IPv6 alone', { selector }, V6, 'SingleStack', ['IPv6']],
  ['nothing said where IPv6 comes first', { selector }, DUAL_6_FIRST, 'SingleStack', ['IPv6']],
  [
    'both preferred where IPv6 comes first',
    { selector, ipFamilyPolicy: 'PreferDualStack' },
    DUAL_6_FIRST,
    'PreferDualStack',
    ['IPv6', 'IPv4'],
  ],
  [
    'headless, both preferred',
    { selector, clusterIP: 'None', ipFamilyPolicy: 'PreferDualStack' },
    DUAL,
    'PreferDualStack',
    ['IPv4', 'IPv6'],
  ],
  ['IPv6 named', { selector, ipFamilies: ['IPv6'] }, DUAL, 'SingleStack', ['IPv6']],
  ['an IPv6 address given', { selector, clusterIPs: ['fd00::5'] }, DUAL, 'SingleStack', ['IPv6']],
  ['both preferred', { selector, ipFamilyPolicy: 'PreferDualStack' }, DUAL, 'PreferDualStack', ['IPv4', 'IPv6']],
  ['both preferred, one to have', { selector, ipFamilyPolicy: 'PreferDualStack' }, V4, 'PreferDualStack', ['IPv4']],
  [
    'both required, IPv6 first',
    { selector, ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv6'] },
    DUAL,
    'RequireDualStack',
    ['IPv6', 'IPv4'],
  ],
  [
    'two addresses given',
    { selector, clusterIPs: ['10.96.0.5', 'fd00::5'] },
    DUAL,
    'RequireDualStack',
    ['IPv4', 'IPv6'],
  ],
  ['headless without selector', { clusterIP: 'None' }, V4, 'RequireDualStack', ['IPv4', 'IPv6']],
  ['headless with selector', { selector, clusterIP: 'None' }, V4, 'SingleStack', ['IPv4']],
])('%s', (_name, spec, cluster, policy, families) => {
  expect(chooseFamilies(spec, cluster)).toEqual({ policy, families });
});

test.each<[name: string, spec: ServiceSpec, field: string]>([
  ['a family the cluster lacks', { selector, ipFamilies: ['IPv6'] }, 'spec.ipFamilies[0]'],
  ['both where there is one', { selector, ipFamilyPolicy: 'RequireDualStack' }, 'spec.ipFamilyPolicy'],
])('refuses %s', (_name, spec, field) => {
  expect(chooseFamilies(spec, V4).error?.field).toBe(field);
});
