import { expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import type { DnsListenOptions, HostAddress } from '../../host/host.ts';
import { encodeQuery } from './dns-message.ts';
import { startResolver } from './resolver.ts';

/** A resolver that answers names of the cluster alone, and the addresses that its node has. */
async function rig() {
  const clock = new FakeClock();
  const own: string[] = [];
  let reads = 0;
  let handle: DnsListenOptions['handle'] = async () => undefined;
  await startResolver({
    addresses: ['169.254.10.53'],
    port: 53,
    clusterDomain: 'cluster.local',
    clusterDns: ['10.96.0.10'],
    clusterCidrs: ['10.244.0.0/16'],
    upstreams: [],
    stubDomains: [],
    clock,
    log: silentLogger,
    random: () => 0.5,
    host: {
      dns: {
        listen: async (options) => {
          handle = options.handle;
          return { port: 53, close: async () => {} };
        },
        exchange: () => Promise.reject(new Error('nobody is to be asked')),
      },
      addresses: async () => {
        reads += 1;
        return own.map((address) => ({ address }) as HostAddress);
      },
      resolvConf: async () => ({ servers: [], searches: [], options: [] }),
    },
  });
  const query = encodeQuery('ns.svc.cluster.local', 'A', 1);
  const isAnswered = async (address: string) => (await handle(query, { address, transport: 'udp' })) !== undefined;
  return { clock, own, isAnswered, reads: () => reads };
}

it('answers an address that was a stranger before it became the own of the node', async () => {
  const { clock, own, isAnswered } = await rig();
  expect(await isAnswered('192.0.2.7')).toBe(false);
  own.push('192.0.2.7');
  await clock.advance(10_000);
  expect(await isAnswered('192.0.2.7')).toBe(true);
});

it('reads the addresses of the node once a second, however many strangers ask', async () => {
  const { clock, own, isAnswered, reads } = await rig();
  own.push('192.0.2.7');
  const strangers = Array.from({ length: 200 }, (_, i) => isAnswered(`198.51.100.${i}`));
  // At the same time, so it waits for the read that the first of them began.
  expect(await isAnswered('192.0.2.7')).toBe(true);
  expect(await Promise.all(strangers)).not.toContain(true);
  expect(reads()).toBe(1);
  await clock.advance(1_000);
  await isAnswered('198.51.100.1');
  expect(reads()).toBe(2);
});
