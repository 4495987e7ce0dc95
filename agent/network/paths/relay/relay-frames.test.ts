import { describe, expect, it } from 'vitest';
import { parseLinkTable } from '../link-table.ts';
import { renderGuard } from '../overlay-guard.ts';
import type { PodPath } from '../pod-paths.ts';
import {
  addressedStraight,
  decodeHello,
  destinationMac,
  encodeHello,
  isRelayFrame,
  probeAddressOf,
  relayMacOf,
  sourceMac,
} from './relay-frames.ts';
import { relayPeers, relayRoutes } from './relay-paths.ts';

/** VXLAN 177 from the node of 10.244.0.0/24 to that of 10.244.1.0/24, as the kernel sent it in a trial. */
const FRAME = Uint8Array.from(Buffer.from('080000000000b1000ec10af401000ec00af400000800', 'hex'));

it('a frame of the kernel tells who is meant', () => {
  expect(isRelayFrame(FRAME)).toBe(true);
  expect(destinationMac(FRAME)).toBe(relayMacOf('10.244.1.0/24'));
  expect(sourceMac(FRAME)).toBe('0e:c0:0a:f4:00:00');
  const straight = addressedStraight(FRAME);
  expect(destinationMac(straight)).toBe('0e:c0:0a:f4:01:00');
  expect([...straight.slice(14)]).toEqual([...FRAME.slice(14)]);
  expect(decodeHello(FRAME)).toBeUndefined();
});

it.each([
  { name: 'cut off', bytes: FRAME.slice(0, 20) },
  { name: 'of another network', bytes: FRAME.with(6, 1) },
  { name: 'a hello', bytes: encodeHello({ isBroken: true, wantsAnswer: true }) },
])('is no frame of ours: $name', ({ bytes }) => {
  expect(isRelayFrame(bytes)).toBe(false);
});

it.each([
  { isBroken: true, wantsAnswer: false },
  { isBroken: false, wantsAnswer: true },
])('a hello survives the wire', (hello) => {
  expect(decodeHello(encodeHello(hello))).toEqual(hello);
});

it.each([
  ['10.244.0.0/24', '10.244.0.0/16', '169.254.64.0'],
  ['10.244.255.0/24', '10.244.0.0/16', '169.254.64.255'],
  ['10.63.255.0/24', '10.0.0.0/8', '169.254.127.255'],
  ['10.64.0.0/24', '10.0.0.0/8', undefined],
  ['10.1.0.0/24', '10.244.0.0/16', undefined],
  ['fd00::/64', '10.244.0.0/16', undefined],
])('nodes probe %s of %s at %s', (podCidr, clusterCidr, want) => {
  expect(probeAddressOf(podCidr, { IPv4: clusterCidr })).toBe(want);
});

describe('paths', () => {
  const links = parseLinkTable({ IPv4: '[{"dst":"default","gateway":"192.0.2.1","dev":"eth0"}]', IPv6: '' }, '[]');
  const scope = { ownCidr: '10.244.0.0/24', clusterCidrs: { IPv4: '10.244.0.0/16' }, links };
  const path = { node: 'b', podCidr: '10.244.1.0/24', nodeCidr: '10.244.1.0/24', nodeAddress: '192.0.2.2' };
  const mac = '0e:c0:0a:f4:01:00';
  it.each<{ name: string; path: PodPath; peers: object[]; routes: string[] }>([
    {
      name: 'straight',
      path: { ...path, directDevice: 'eth0', isRelayed: false },
      peers: [],
      routes: ['169.254.64.1/32 192.0.2.2 eth0'],
    },
    {
      name: 'in a tunnel',
      path: { ...path, directDevice: undefined, isRelayed: false },
      peers: [{ address: '169.254.64.1', mac, nodeAddress: '192.0.2.2' }],
      routes: ['169.254.64.1/32 169.254.64.1 coracle-vx'],
    },
    {
      name: 'relayed instead of straight: probes stay on the link',
      path: { ...path, directDevice: 'eth0', isRelayed: true },
      peers: [{ address: '10.244.1.0', mac: '0e:c1:0a:f4:01:00', nodeAddress: '169.254.10.54' }],
      routes: ['169.254.64.1/32 192.0.2.2 eth0', '169.254.10.54/32 undefined eth0'],
    },
    {
      name: 'relayed instead of in a tunnel: probes stay in it',
      path: { ...path, directDevice: undefined, isRelayed: true },
      peers: [
        { address: '10.244.1.0', mac: '0e:c1:0a:f4:01:00', nodeAddress: '169.254.10.54' },
        { address: '169.254.64.1', mac, nodeAddress: '192.0.2.2' },
      ],
      routes: ['169.254.64.1/32 169.254.64.1 coracle-vx', '169.254.10.54/32 undefined eth0'],
    },
  ])('$name', ({ path, peers, routes }) => {
    expect(relayPeers([path], scope)).toEqual(peers);
    expect(relayRoutes([path], scope).map(({ podCidr, gateway, device }) => `${podCidr} ${gateway} ${device}`)).toEqual(
      routes,
    );
  });
});

it('the pods of IPv6 of a node are relayed with the others, and probed by them', () => {
  const links = parseLinkTable({ IPv4: '', IPv6: '' }, '');
  const scope = { ownCidr: '10.244.0.0/24', clusterCidrs: { IPv4: '10.244.0.0/16', IPv6: 'fd42::/48' }, links };
  const shared = { node: 'b', nodeCidr: '10.244.1.0/24', directDevice: undefined, isRelayed: true };
  const path = { ...shared, podCidr: 'fd42:0:0:1::/64', nodeAddress: '192.0.2.2' };
  expect(relayPeers([path], scope)).toEqual([
    { address: 'fd42:0:0:1::', mac: '0e:c1:0a:f4:01:00', nodeAddress: '169.254.10.54' },
  ]);
  expect(relayRoutes([path], scope)).toEqual([]);
});

it('only the socket of the relay may hand frames over on the loopback', () => {
  const guard = { port: 8472, underlay: 'IPv4', nodeAddresses: ['192.0.2.2'] } as const;
  expect(renderGuard(guard)).not.toContain('127.0.0.1');
  expect(renderGuard({ ...guard, relayPort: 4000 })).toMatch(
    /iif "lo" ip saddr 127\.0\.0\.1 udp sport 4000 udp dport 8472 accept\n.*counter drop/,
  );
});
