import { describe, expect, it } from 'vitest';
import type { Node } from '#api/object/kinds.ts';
import { parseLinkTable } from './link-table.ts';
import { linkMtu, podMtu } from './pod-mtu.ts';
import { computePodPaths } from './pod-paths.ts';
import { diffRoutes, parseRoutes, routesOf } from './pod-routes.ts';

const node = (name: string, podCIDR?: string, address?: string): Node =>
  ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, uid: name, resourceVersion: '1', creationTimestamp: '' },
    spec: { podCIDR },
    status:
      address === undefined
        ? {}
        : {
            addresses: [
              { type: 'Hostname', address: name },
              { type: 'InternalIP', address },
            ],
          },
  }) as Node;

const links = parseLinkTable(
  JSON.stringify([
    { dst: 'default', gateway: '192.0.2.254', dev: 'eth0' },
    { dst: '192.0.2.0/24', dev: 'eth0', metric: 600 },
    { dst: '192.0.2.0/24', dev: 'wlan0', metric: 100 },
    { dst: '203.0.113.0/24', via: { family: 'inet6', host: 'fe80::1' }, dev: 'eth1' },
    { dst: '198.51.100.7', gateway: '192.0.2.254', dev: 'eth0' },
    { dst: '198.51.100.0/24', dev: 'eth2', flags: ['linkdown'] },
  ]),
  JSON.stringify([{ ifname: 'eth0', mtu: 1500 }, { ifname: 'wlan0', mtu: 1492 }, {}]),
);
const scope = { ownName: 'me', clusterCidr: '10.244.0.0/16', transport: 'auto', links } as const;
const b = { node: 'b', podCidr: '10.244.1.0/24', nodeAddress: '192.0.2.2', directDevice: 'wlan0', isRelayed: false };

describe('computePodPaths', () => {
  it.each([
    {
      name: 'straight on a shared link, over the better device',
      nodes: [node('b', '10.244.1.0/24', '192.0.2.2')],
      want: [b],
    },
    {
      name: 'in a tunnel beyond a router',
      nodes: [node('b', '10.244.1.0/24', '198.51.100.7')],
      want: [{ ...b, nodeAddress: '198.51.100.7', directDevice: undefined, isRelayed: false }],
    },
    {
      name: 'in a tunnel over a link without carrier',
      nodes: [node('b', '10.244.1.0/24', '198.51.100.8')],
      want: [{ ...b, nodeAddress: '198.51.100.8', directDevice: undefined, isRelayed: false }],
    },
    {
      name: 'in a tunnel where the router is one of IPv6',
      nodes: [node('b', '10.244.1.0/24', '203.0.113.9')],
      want: [{ ...b, nodeAddress: '203.0.113.9', directDevice: undefined, isRelayed: false }],
    },
    { name: 'none to itself', nodes: [node('me', '10.244.0.0/24', '192.0.2.1')], want: [] },
    { name: 'none without an address', nodes: [node('b', '10.244.1.0/24')], want: [] },
    { name: 'none for the whole world', nodes: [node('b', '0.0.0.0/0', '192.0.2.2')], want: [] },
    { name: 'none for more than the cluster', nodes: [node('b', '10.0.0.0/8', '192.0.2.2')], want: [] },
    { name: "none for a neighbour's LAN", nodes: [node('b', '192.0.2.0/24', '192.0.2.2')], want: [] },
    { name: 'none through what is no address', nodes: [node('b', '10.244.1.0/24', 'dev')], want: [] },
    { name: 'none without a pod range', nodes: [node('b', undefined, '192.0.2.2')], want: [] },
  ])('$name', ({ nodes, want }) => {
    expect(computePodPaths(nodes, scope)).toEqual(want);
  });

  it('takes the tunnel everywhere when told so', () => {
    const [path] = computePodPaths([node('b', '10.244.1.0/24', '192.0.2.2')], { ...scope, transport: 'vxlan' });
    expect(path?.directDevice).toBeUndefined();
  });
});

describe('routes', () => {
  const direct = { podCidr: '10.244.1.0/24', gateway: '192.0.2.2', device: 'eth0' };
  const tunnel = { podCidr: '10.244.1.0/24', gateway: '10.244.1.0', device: 'coracle-vx' };
  it.each([
    {
      name: 'adds what is missing',
      actual: [],
      desired: [direct],
      want: ['route replace 10.244.1.0/24 via 192.0.2.2 dev eth0 proto 177'],
    },
    { name: 'leaves what stands', actual: [direct], desired: [direct], want: [] },
    {
      name: 'removes the route of a gone node',
      actual: [direct],
      desired: [],
      want: ['route delete 10.244.1.0/24 proto 177'],
    },
    {
      name: 'replaces in place when a node moved beyond a router, without a gap',
      actual: [direct],
      desired: [tunnel],
      want: ['route replace 10.244.1.0/24 via 10.244.1.0 dev coracle-vx onlink proto 177'],
    },
    {
      name: 'follows the cable into another device',
      actual: [direct],
      desired: [{ ...direct, device: 'eth1' }],
      want: ['route replace 10.244.1.0/24 via 192.0.2.2 dev eth1 proto 177'],
    },
  ])('$name', ({ actual, desired, want }) => {
    expect(diffRoutes(actual, desired)).toEqual(want);
  });

  it('reads what iproute2 prints, an empty answer included', () => {
    expect(parseRoutes('')).toEqual([]);
    expect(parseRoutes('[{"dst":"10.244.1.0/24","gateway":"192.0.2.2","dev":"eth0","flags":[]}]')).toEqual([direct]);
  });

  it('lead to the device of the peer in a tunnel, to the node on a link', () => {
    expect(
      routesOf([
        { ...b, directDevice: 'eth0', isRelayed: false },
        { ...b, directDevice: undefined, isRelayed: false },
      ]),
    ).toEqual([direct, tunnel]);
  });
});

describe('MTU', () => {
  it.each([
    { name: 'room for a tunnel on the link of the default route', addresses: [], transport: 'auto', want: 1450 },
    {
      name: 'of the smallest device towards a node',
      addresses: ['192.0.2.2', '198.51.100.7'],
      transport: 'auto',
      want: 1442,
    },
    { name: 'all of the link without tunnels', addresses: ['192.0.2.2'], transport: 'direct', want: 1492 },
    { name: 'as configured', addresses: [], transport: 'auto', configured: 1400, want: 1400 },
  ] as const)('$name', ({ addresses, transport, want, ...rest }) => {
    const configured = ('configured' in rest ? rest.configured : undefined) ?? 0;
    expect(podMtu(configured, transport, { links, nodeAddresses: addresses })).toBe(want);
  });

  it('of Ethernet where the kernel says nothing', () => {
    expect(linkMtu({ links: parseLinkTable('', ''), nodeAddresses: [] })).toBe(1500);
  });
});
