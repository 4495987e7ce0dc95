import { expect, it } from 'vitest';
import { FakeHost } from '#test/kit/fake-host.ts';
import { HostChanges } from './host-changes.ts';

it('what is changed at the same time is put back all the same', async () => {
  const host = new FakeHost();
  await host.fs.makeDirectory('/state');
  await host.fs.write('/state/changes.json', '{"sysctls":{"c":"7"}}');
  host.sysctls.set('a', '0').set('b', '1').set('c', '8');
  const changes = new HostChanges(host, '/state/changes.json');
  expect(await Promise.all([changes.setSysctl('a', '1'), changes.setSysctl('b', '2')])).toEqual([true, true]);
  // By another process, which knows of them what is on the disk.
  await new HostChanges(host, '/state/changes.json').restore();
  expect(Object.fromEntries(host.sysctls)).toEqual({ a: '0', b: '1', c: '7' });
});
