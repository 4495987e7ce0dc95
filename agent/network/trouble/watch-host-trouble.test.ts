import { expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { watchHostTrouble } from './watch-host-trouble.ts';

it('the host is looked at once a minute, and soon after rules of the kernel changed, however often they do', async () => {
  const clock = new FakeClock();
  const host = new FakeHost();
  const stop = new AbortController();
  const looks = () => host.exec.calls.filter(({ argv }) => argv.join(' ') === 'nft -j list tables').length;
  const watch = watchHostTrouble({
    ...{ host, clock, log: silentLogger, iptables: 'iptables' },
    clusterCidrs: { IPv4: '10.244.0.0/16' },
    onProblems() {},
  });
  void watch.run(stop.signal);
  watch.lookSoon();
  await clock.advance(0);
  expect(looks(), 'nothing is set up yet').toBe(0);
  watch.look();
  await expect.poll(looks).toBe(1);
  for (let event = 0; event < 100; event++) watch.lookSoon();
  await clock.advance(9_000);
  expect(looks()).toBe(1);
  await clock.advance(1_500);
  await expect.poll(looks).toBe(2);
  watch.lookSoon();
  await clock.advance(10_000);
  await expect.poll(looks).toBe(3);
  await clock.advance(59_000);
  expect(looks()).toBe(3);
  await clock.advance(2_000);
  await expect.poll(looks).toBe(4);
  stop.abort();
});
