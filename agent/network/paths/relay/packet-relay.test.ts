import { expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { tunnelOf, VXLAN_ID } from '../vxlan.ts';
import { PacketRelay } from './packet-relay.ts';
import { encodeHello } from './relay-frames.ts';

const POD_CIDR = '10.244.1.0/24';

/** A frame of the kernel's from the node of that range. */
function frameFrom(podCidr: string): Uint8Array {
  const bytes = (mac: string) => mac.split(':').map((byte) => Number.parseInt(byte, 16));
  const id = [VXLAN_ID >> 16, (VXLAN_ID >> 8) & 0xff, VXLAN_ID & 0xff];
  const macs = [...bytes(tunnelOf('10.244.0.0/24').mac), ...bytes(tunnelOf(podCidr).mac)];
  return new Uint8Array([0x08, 0, 0, 0, ...id, 0, ...macs, 0x08, 0x00]);
}

it.each([
  { name: 'its traffic arrives where hellos are lost', from: POD_CIDR, want: ['b'] },
  { name: 'what arrives is not its own', from: '10.244.2.0/24', want: [] },
])('a node is relayed for long: $name', async ({ from, want }) => {
  const clock = new FakeClock();
  const stop = new AbortController();
  let receive: (from: string, bytes: Uint8Array) => void = () => {};
  const relay = new PacketRelay({
    clock,
    log: silentLogger,
    clusterCidrs: { IPv4: '10.244.0.0/16' },
    vxlanPort: 1,
    probePort: 2,
    onChange() {},
    carrier: {
      send() {},
      onPacket(listener) {
        receive = listener;
      },
    },
    host: {
      openDatagrams: async () => ({ port: 3, send() {}, close() {} }),
      dialer: { tcp: () => Promise.reject(new Error('nobody answers')) } as never,
    },
  });
  await relay.start(stop.signal);
  const range = { podCidr: POD_CIDR, nodeCidr: POD_CIDR };
  relay.look([{ node: 'b', ...range, nodeAddress: '192.0.2.2', directDevice: undefined, isRelayed: false }]);
  await clock.advance(10_000);
  receive('b', encodeHello({ isBroken: true, wantsAnswer: false }));
  expect([...relay.relayed]).toEqual(['b']);
  for (let i = 0; i < 40; i++) {
    receive('b', frameFrom(from));
    await clock.advance(1_000);
  }
  expect([...relay.relayed]).toEqual(want);
  stop.abort();
});
