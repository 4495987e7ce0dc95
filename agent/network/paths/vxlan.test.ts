import { describe, expect, it } from 'vitest';
import { diffPeers, parsePeerTables, parseVxlanDevice, planDevice, tunnelOf, type VxlanDevice } from './vxlan.ts';

const { address, mac } = tunnelOf('10.244.3.0/24');
const own = { mac, addresses: [address], underlay: 'IPv4', port: 8472, mtu: 1450 } as const;
const device: VxlanDevice = {
  id: 177,
  port: 8472,
  mac: '0e:c0:0a:f4:03:00',
  isLearning: false,
  mtu: 1450,
  isUp: true,
  underlay: 'IPv4',
  addresses: ['10.244.3.0/32'],
};
const CREATE = 'link add coracle-vx address 0e:c0:0a:f4:03:00 type vxlan id 177 dstport 8472 nolearning';

it('address and MAC of a tunnel follow from the pod range', () => {
  expect(tunnelOf('10.244.3.0/24')).toEqual({ address: '10.244.3.0', mac: '0e:c0:0a:f4:03:00' });
  // A range that is written with an address inside it is the same one.
  expect(tunnelOf('10.244.3.9/24')).toEqual(tunnelOf('10.244.3.0/24'));
  expect(tunnelOf('fd42:0:0:103::/64')).toEqual({ address: 'fd42:0:0:103::', mac: '0e:c0:00:00:01:03' });
});

describe('planDevice', () => {
  const rest = ['link set coracle-vx mtu 1450', 'address add 10.244.3.0/32 dev coracle-vx', 'link set coracle-vx up'];
  it.each([
    { name: 'makes it', actual: undefined, want: [CREATE, ...rest] },
    { name: 'leaves it', actual: device, want: [] },
    { name: 'changes the MTU in place', actual: { ...device, mtu: 1500 }, want: ['link set coracle-vx mtu 1450'] },
    { name: 'brings it up', actual: { ...device, isUp: false }, want: ['link set coracle-vx up'] },
    {
      name: 'makes it anew on another port',
      actual: { ...device, port: 4789 },
      want: ['link delete coracle-vx', CREATE, ...rest],
    },
    {
      name: 'makes it anew for another pod range',
      actual: { ...device, mac: '0e:c0:0a:f4:04:00', addresses: ['10.244.4.0/32'] },
      want: ['link delete coracle-vx', CREATE, ...rest],
    },
    {
      name: 'takes an address away that is not its own',
      actual: { ...device, addresses: ['10.0.0.1/24', '10.244.3.0/32'] },
      want: ['address delete 10.0.0.1/24 dev coracle-vx'],
    },
  ])('$name', ({ actual, want }) => {
    expect(planDevice(actual, own)).toEqual(want);
  });

  const both = { ...own, addresses: [address, 'fd42:0:0:3::'] };
  const ADD_6 = 'address add fd42:0:0:3::/128 dev coracle-vx nodad';

  it('gives it an address of each family', () => {
    expect(planDevice(device, both)).toEqual([ADD_6]);
    expect(planDevice({ ...device, addresses: ['10.244.3.0/32', 'fd42:0:0:3::/128'] }, both)).toEqual([]);
    expect(planDevice({ ...device, addresses: ['10.244.3.0/32', 'fd42:0:0:3::/128'] }, own)).toEqual([
      'address delete fd42:0:0:3::/128 dev coracle-vx',
    ]);
  });

  it('makes it anew when frames are to go by IPv6', () => {
    const over6 = [`${CREATE} local ::`, 'link set coracle-vx alias "coracle over IPv6"'];
    expect(planDevice(device, { ...own, underlay: 'IPv6' })).toEqual(['link delete coracle-vx', ...over6, ...rest]);
    expect(planDevice({ ...device, underlay: 'IPv6' }, { ...own, underlay: 'IPv6' })).toEqual([]);
  });
});

describe('diffPeers', () => {
  const peer = { ...tunnelOf('10.244.1.0/24'), nodeAddress: '192.0.2.2' };
  const tables = { forwarding: new Map([[peer.mac, '192.0.2.2']]), neighbours: new Map([[peer.address, peer.mac]]) };
  it.each([
    {
      name: 'adds a peer',
      tables: { forwarding: new Map(), neighbours: new Map() },
      peers: [peer],
      bridge: ['fdb replace 0e:c0:0a:f4:01:00 dev coracle-vx dst 192.0.2.2 self permanent'],
      ip: ['neighbour replace 10.244.1.0 lladdr 0e:c0:0a:f4:01:00 dev coracle-vx nud permanent'],
    },
    { name: 'leaves a peer', tables, peers: [peer], bridge: [], ip: [] },
    {
      name: 'follows a peer to its new address, in one step',
      tables,
      peers: [{ ...peer, nodeAddress: '203.0.113.9' }],
      bridge: ['fdb replace 0e:c0:0a:f4:01:00 dev coracle-vx dst 203.0.113.9 self permanent'],
      ip: [],
    },
    {
      name: 'removes a peer that is gone',
      tables,
      peers: [],
      bridge: ['fdb delete 0e:c0:0a:f4:01:00 dev coracle-vx dst 192.0.2.2 self'],
      ip: ['neighbour delete 10.244.1.0 dev coracle-vx'],
    },
  ])('$name', ({ tables, peers, bridge, ip }) => {
    expect(diffPeers(tables, peers)).toEqual({ bridge, ip });
  });
});

it('reads what iproute2 prints of the device and its peers', () => {
  expect(parseVxlanDevice('')).toBeUndefined();
  expect(
    parseVxlanDevice(
      '[{},{"flags":["BROADCAST","UP"],"mtu":1450,"address":"0e:c0:0a:f4:03:00","linkinfo":{"info_data":{"id":177,"port":8472,"learning":false}},"addr_info":[{"family":"inet","local":"10.244.3.0","prefixlen":32},{"family":"inet6","local":"fe80::1","prefixlen":64}]}]',
    ),
  ).toEqual(device);
  const tables = parsePeerTables(
    '[{"mac":"0e:c0:0a:f4:01:00","dst":"192.0.2.2","flags":["self"],"state":"permanent"}]',
    '[{"dst":"10.244.1.0","lladdr":"0e:c0:0a:f4:01:00","state":["PERMANENT"]},{"dst":"10.244.9.0","state":["FAILED"]}]',
  );
  expect(tables.forwarding).toEqual(new Map([['0e:c0:0a:f4:01:00', '192.0.2.2']]));
  expect(tables.neighbours).toEqual(new Map([['10.244.1.0', '0e:c0:0a:f4:01:00']]));
});
