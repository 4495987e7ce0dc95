import { describe, expect, it } from 'vitest';
import type { Node } from '#api/object/kinds.ts';
import { parseLinkTable } from './link-table.ts';
import { linkMtu, podMtu } from './pod-mtu.ts';
import { computePodPaths } from './pod-paths.ts';
import { diffRoutes, parseRoutes, routesOf } from './pod-routes.ts';

/** Ranges and addresses of both families are separated by commas. */
const node = (name: string, podCidrs?: string, addresses?: string): Node =>
  ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, uid: name, resourceVersion: '1', creationTimestamp: '' },
    spec: podCidrs === undefined ? {} : { podCIDR: podCidrs.split(',')[0], podCIDRs: podCidrs.split(',') },
    status:
      addresses === undefined
        ? {}
        : {
            addresses: [
              { type: 'Hostname', address: name },
              ...addresses.split(',').map((address) => ({ type: 'InternalIP', address })),
            ],
          },
  }) as Node;

const routes = {
  IPv4: JSON.stringify([
    { dst: 'default', gateway: '192.0.2.254', dev: 'eth0' },
    { dst: '192.0.2.0/24', dev: 'eth0', metric: 600 },
    { dst: '192.0.2.0/24', dev: 'wlan0', metric: 100 },
    { dst: '203.0.113.0/24', via: { family: 'inet6', host: 'fe80::1' }, dev: 'eth1' },
    { dst: '198.51.100.7', gateway: '192.0.2.254', dev: 'eth0' },
    { dst: '198.51.100.0/24', dev: 'eth2', flags: ['linkdown'] },
  ]),
  IPv6: JSON.stringify([
    { dst: 'default', gateway: 'fe80::1', dev: 'eth0', metric: 1024 },
    { dst: '2001:db8:1::/64', dev: 'eth0', metric: 256 },
    { dst: '2001:db8:9::7', gateway: 'fe80::1', dev: 'wlan0', metric: 1024 },
  ]),
};
const links = parseLinkTable(
  routes,
  JSON.stringify([{ ifname: 'eth0', mtu: 1500 }, { ifname: 'wlan0', mtu: 1492 }, {}]),
);
const scope = { ownName: 'me', clusterCidrs: { IPv4: '10.244.0.0/16' }, transport: 'auto', links } as const;
const dual = { ...scope, clusterCidrs: { ...scope.clusterCidrs, IPv6: 'fd42::/48' } };
const [B4, B6] = ['10.244.1.0/24', 'fd42:0:0:1::/64'];
const b = {
  node: 'b',
  podCidr: B4,
  nodeCidr: B4,
  nodeAddress: '192.0.2.2',
  directDevice: 'wlan0',
  isRelayed: false,
};
const b6 = { ...b, podCidr: B6, nodeAddress: '2001:db8:1::2', directDevice: 'eth0' };

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

  it.each([
    {
      name: 'straight by both families',
      nodes: [node('b', `${B4},${B6}`, '192.0.2.2,2001:db8:1::2')],
      want: [b, b6],
    },
    {
      name: 'whichever family comes first',
      nodes: [node('b', `${B6},${B4}`, '2001:db8:1::2,192.0.2.2')],
      want: [b, b6],
    },
    {
      name: 'IPv6 in a tunnel over IPv4 where the node has no address of IPv6',
      nodes: [node('b', `${B4},${B6}`, '192.0.2.2')],
      want: [b, { ...b6, nodeAddress: '192.0.2.2', directDevice: undefined }],
    },
    {
      name: 'all in one tunnel over IPv4 beyond a router',
      nodes: [node('b', `${B4},${B6}`, '198.51.100.7,2001:db8:9::7')],
      want: [b, b6].map((path) => ({ ...path, nodeAddress: '198.51.100.7', directDevice: undefined })),
    },
    {
      name: 'in a tunnel over IPv6 where nodes have nothing else',
      nodes: [node('me', undefined, '2001:db8:1::1'), node('b', B6, '2001:db8:9::7')],
      want: [{ ...b6, nodeCidr: B6, nodeAddress: '2001:db8:9::7', directDevice: undefined }],
    },
    {
      name: 'IPv4 in a tunnel over IPv6 likewise',
      nodes: [node('b', `${B4},${B6}`, '2001:db8:1::2')],
      want: [{ ...b, nodeAddress: '2001:db8:1::2', directDevice: undefined }, b6],
    },
    {
      name: 'none to where no tunnel leads: the nodes have no family in common',
      nodes: [node('me', undefined, '192.0.2.1'), node('b', B6, '2001:db8:9::7')],
      want: [],
    },
    { name: 'none for the whole world', nodes: [node('b', '::/0', '2001:db8:1::2')], want: [] },
    { name: 'none for a range of the link', nodes: [node('b', '2001:db8:1::/64', '2001:db8:1::2')], want: [] },
  ])('two families: $name', ({ nodes, want }) => {
    expect(computePodPaths(nodes, dual)).toEqual(want);
  });

  it('takes no route for a way that leads nowhere', () => {
    const none = [{ type: 'unreachable', dst: 'default', dev: 'lo', metric: 4_294_967_295 }];
    expect(parseLinkTable({ IPv4: '', IPv6: JSON.stringify(none) }, '[]').nextHopTo('2001:db8::2')).toBeUndefined();
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

  it('of IPv6 look the same', () => {
    const routes6 = routesOf([b6, { ...b6, nodeCidr: B6, directDevice: undefined }]);
    expect(diffRoutes([], routes6)).toEqual([
      'route replace fd42:0:0:1::/64 via 2001:db8:1::2 dev eth0 proto 177',
      'route replace fd42:0:0:1::/64 via fd42:0:0:1:: dev coracle-vx onlink proto 177',
    ]);
    expect(
      parseRoutes('[{"dst":"fd42:0:0:1::/64","gateway":"2001:db8:1::2","dev":"eth0","metric":1024,"pref":"medium"}]'),
    ).toEqual(routes6.slice(0, 1));
    expect(parseRoutes('[{"dst":"fd42::7","dev":"eth0"}]')[0]?.podCidr).toBe('fd42::7/128');
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
    { name: 'room for WireGuard', addresses: [], transport: 'direct', isEncrypted: true, want: 1420 },
    { name: 'as configured', addresses: [], transport: 'auto', configured: 1400, want: 1400 },
  ] as const)('$name', ({ addresses, transport, want, ...rest }) => {
    const isEncrypted = 'isEncrypted' in rest;
    const configured = ('configured' in rest ? rest.configured : undefined) ?? 0;
    expect(podMtu(configured, { transport, isEncrypted }, { links, nodeAddresses: addresses, underlay: 'IPv4' })).toBe(
      want,
    );
  });

  it('of Ethernet where the kernel says nothing', () => {
    const nothing = parseLinkTable({ IPv4: '', IPv6: '' }, '');
    expect(linkMtu({ links: nothing, nodeAddresses: [], underlay: 'IPv4' })).toBe(1500);
  });

  it('leaves room for the larger header where frames go by IPv6', () => {
    expect(
      podMtu(
        0,
        { transport: 'auto', isEncrypted: false },
        { links, nodeAddresses: ['2001:db8:1::2'], underlay: 'IPv6' },
      ),
    ).toBe(1430);
  });
});
