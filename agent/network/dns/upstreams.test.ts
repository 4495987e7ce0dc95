import { expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { Upstreams } from './upstreams.ts';

function rig() {
  const clock = new FakeClock();
  const host = new FakeHost();
  let isReadable = true;
  host.resolvConf = async () => {
    await new Promise((resolve) => setImmediate(resolve));
    if (!isReadable) throw new Error('EACCES: permission denied');
    return { servers: ['192.0.2.53', '10.96.0.10'], searches: [], options: [] };
  };
  const upstreams = new Upstreams({
    ...{ host, clock, log: silentLogger, random: Math.random },
    ...{ own: ['10.96.0.10'], upstreams: [], stubDomains: [] },
  });
  const addresses = async () => (await upstreams.serversFor('a.example')).map(({ address }) => address);
  return { clock, addresses, refuse: () => (isReadable = false) };
}

it('questions that come at once all find the resolvers of the host', async () => {
  const { addresses } = rig();
  expect(await Promise.all([addresses(), addresses()])).toEqual([['192.0.2.53'], ['192.0.2.53']]);
});

it('those of before serve while they cannot be read', async () => {
  const { addresses, clock, refuse } = rig();
  await addresses();
  refuse();
  await clock.advance(6_000);
  expect(await addresses()).toEqual(['192.0.2.53']);
});
