import { describe, expect, it } from 'vitest';
import { diffWireguardPeers, parseWireguard } from './wireguard.ts';
import { planLink } from './wireguard-device.ts';

const [A, B] = ['AAAA=', 'BBBB='];
const NOW = 10_000;

it('reads what wg prints', () => {
  const dump = [
    'PRIVATE=\tPUBLIC=\t51820\toff',
    `${A}\t(none)\t192.0.2.2:51820\t10.244.1.0/24,169.254.64.1/32\t9990\t148\t92\t25`,
    `${B}\t(none)\t(none)\t(none)\t0\t0\t0\toff`,
  ].join('\n');
  expect(parseWireguard(`${dump}\n`)).toEqual({
    privateKey: 'PRIVATE=',
    port: 51820,
    peers: new Map([
      [
        A,
        {
          endpoint: '192.0.2.2:51820',
          allowedIps: ['10.244.1.0/24', '169.254.64.1/32'],
          handshakeSeconds: 9990,
          isKeptAlive: true,
        },
      ],
      [B, { endpoint: undefined, allowedIps: [], handshakeSeconds: 0, isKeptAlive: false }],
    ]),
  });
});

describe('peers', () => {
  const told = '192.0.2.2:51820';
  const peer = { publicKey: A, endpoint: told, allowedIps: ['10.244.1.0/24'], isKeptAlive: false };
  const held = { endpoint: told, allowedIps: ['10.244.1.0/24'], handshakeSeconds: NOW - 10, isKeptAlive: false };
  it.each([
    {
      name: 'are set whole when they are new',
      actual: [],
      wanted: [peer],
      want: [['peer', A, 'endpoint', told, 'allowed-ips', '10.244.1.0/24']],
    },
    { name: 'are left alone when they are right', actual: [[A, held]], wanted: [peer], want: [] },
    { name: 'go with their node', actual: [[A, held]], wanted: [], want: [['peer', A, 'remove']] },
    {
      name: 'take another key without a gap: first the new one',
      actual: [[A, held]],
      wanted: [{ ...peer, publicKey: B }],
      want: [
        ['peer', B, 'endpoint', told, 'allowed-ips', '10.244.1.0/24'],
        ['peer', A, 'remove'],
      ],
    },
    {
      name: 'are kept alive beyond a router',
      actual: [[A, held]],
      wanted: [{ ...peer, isKeptAlive: true }],
      want: [['peer', A, 'persistent-keepalive', '25']],
    },
    {
      name: 'stay where their packets come from, behind a translator of addresses',
      actual: [[A, { ...held, endpoint: '203.0.113.9:1024' }]],
      wanted: [peer],
      want: [],
    },
    {
      name: 'are looked for where their node says once they are silent',
      actual: [[A, { ...held, endpoint: '203.0.113.9:1024', handshakeSeconds: NOW - 500 }]],
      wanted: [peer],
      want: [['peer', A, 'endpoint', told]],
    },
    {
      name: 'are followed when their node tells another address',
      actual: [[A, held]],
      wanted: [{ ...peer, endpoint: '192.0.2.77:51820' }],
      want: [['peer', A, 'endpoint', '192.0.2.77:51820']],
    },
    {
      name: 'are sent to from another address once this host has another one',
      actual: [[A, { ...held, endpoint: '203.0.113.9:1024' }]],
      wanted: [peer],
      hasOtherAddresses: true,
      want: [['peer', A, 'endpoint', '203.0.113.9:1024']],
    },
  ] as const)('$name', ({ actual, wanted, want, ...rest }) => {
    const hasOtherAddresses = 'hasOtherAddresses' in rest;
    const memory = { endpoints: new Map([[A, told]]), nowSeconds: NOW, hasOtherAddresses };
    expect(diffWireguardPeers(new Map(actual), wanted, memory)).toEqual(want);
  });
});

describe('the device', () => {
  const wish = { addresses: ['10.244.0.0/32', 'fd00::/128'], probeAddress: '169.254.64.0/32', mtu: 1420 };
  const address = (local: string, prefixlen: number) => ({ local, prefixlen });
  it.each([
    {
      name: 'is set up',
      actual: { mtu: 1500 },
      want: [
        'link set coracle-wg mtu 1420',
        'address add 10.244.0.0/32 dev coracle-wg',
        'address add fd00::/128 dev coracle-wg nodad',
        'address add 169.254.64.0/32 dev coracle-wg scope link',
        'link set coracle-wg up',
      ],
    },
    {
      name: 'is left alone when it is right',
      actual: {
        mtu: 1420,
        flags: ['UP'],
        addr_info: [
          address('10.244.0.0', 32),
          address('fd00::', 128),
          address('169.254.64.0', 32),
          address('fe80::1', 64),
        ],
      },
      want: [],
    },
    {
      name: 'loses the range of another life',
      actual: {
        mtu: 1420,
        flags: ['UP'],
        addr_info: [
          address('10.244.9.0', 32),
          address('10.244.0.0', 32),
          address('fd00::', 128),
          address('169.254.64.0', 32),
        ],
      },
      want: ['address delete 10.244.9.0/32 dev coracle-wg'],
    },
  ])('$name', ({ actual, want }) => {
    expect(planLink(actual, wish)).toEqual(want);
  });
});
