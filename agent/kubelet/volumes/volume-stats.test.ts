import { expect, test } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { volumeMetrics } from '../stats/volume-metrics.ts';
import { podWith } from '../testing/pod-fixtures.ts';
import type { CsiUsage } from './csi/csi-driver.ts';
import { type CsiVolume, stagingFolder } from './csi/csi-volume.ts';
import { type Measure, VolumeStats } from './volume-stats.ts';

const csi = { driver: 'd.test', handle: 'h', lifecycle: 'Persistent' } as CsiVolume;
const pod = podWith({
  volumes: [
    { name: 'data', persistentVolumeClaim: { claimName: 'claim' } },
    { name: 'scratch', ephemeral: {} },
    { name: 'settings', configMap: { name: 's' } },
  ],
});

function setUp(measures: Readonly<Record<string, Measure>>) {
  const host = new FakeHost();
  const clock = new FakeClock();
  const asked: object[] = [];
  const answers: { usage: Promise<readonly CsiUsage[]> } = { usage: Promise.resolve([]) };
  const driver = {
    capabilities: new Set(['GET_VOLUME_STATS', 'STAGE_UNSTAGE_VOLUME']),
    stats: (request: object) => {
      asked.push(request);
      return answers.usage;
    },
  };
  const stats = new VolumeStats({
    ...{ host, root: '/root', clock },
    drivers: { find: () => driver as never },
    volumes: { measures: () => new Map(Object.entries(measures)) },
    usages: { disk: async () => ({ bytes: 5, inodes: 2 }) },
  });
  return { host, clock, asked, answers, stats };
}

/** All that does not wait for the clock or a driver has been done. */
const settled = async () => {
  for (let turn = 0; turn < 20; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
};
const bytes: CsiUsage = { unit: 'BYTES', total: 100, available: 60, used: 40 };
const inodes: CsiUsage = { unit: 'INODES', total: 10, available: 6, used: 4 };

test('a driver is asked under its paths, once a minute, and its claim is told', async () => {
  const { stats, answers, asked, clock } = setUp({ data: { by: 'driver', path: '/mount', volume: csi } });
  answers.usage = Promise.resolve([bytes, inodes]);
  const uses = (await stats.read([pod])).get('uid-1') ?? [];
  expect(uses).toEqual([
    {
      ...{ name: 'data', isEphemeral: false, claim: { namespace: 'default', name: 'claim' } },
      ...{ bytes: { total: 100, free: 60, used: 40 }, inodes: { total: 10, free: 6, used: 4 } },
    },
  ]);
  const staging_target_path = `${stagingFolder('/root', csi)}/globalmount`;
  expect(asked).toEqual([{ volume_id: 'h', volume_path: '/mount', staging_target_path }]);
  await clock.advance(59_000);
  await stats.read([pod]);
  expect(asked).toHaveLength(1);
  await clock.advance(1_000);
  await stats.read([pod]);
  expect(asked).toHaveLength(2);
});

test('nobody waits long for a driver that hangs, and it is not asked again meanwhile', async () => {
  const { stats, answers, asked, clock } = setUp({
    data: { by: 'driver', path: '/mount', volume: csi },
    settings: { by: 'walk', path: '/s' },
  });
  let answer: (usage: readonly CsiUsage[]) => void = () => undefined;
  answers.usage = new Promise((resolve) => {
    answer = resolve;
  });
  for (const round of [1, 2]) {
    const reading = stats.read([pod]);
    await settled();
    await clock.advance(5_000);
    expect([round, ...((await reading).get('uid-1') ?? []).map(({ name }) => name)]).toEqual([round, 'settings']);
  }
  expect(asked).toHaveLength(1);
  answer([bytes]);
  await answers.usage;
  expect(((await stats.read([pod])).get('uid-1') ?? []).map(({ name }) => name)).toEqual(['data', 'settings']);
});

test('a server that may be away is asked by another process', async () => {
  const { stats, host } = setUp({ scratch: { by: 'server', path: '/nfs' } });
  host.exec.respond(([program]) => (program === 'stat' ? '4096 100 50 40 10 4\n' : undefined));
  expect((await stats.read([pod])).get('uid-1')).toMatchObject([
    {
      name: 'scratch',
      claim: { name: 'web-scratch' },
      bytes: { total: 409_600, free: 163_840, used: 204_800 },
      inodes: { total: 10, free: 4, used: 6 },
    },
  ]);
});

test('metrics name each claim once, and nothing else', async () => {
  const { stats, answers } = setUp({
    data: { by: 'driver', path: '/mount', volume: csi },
    settings: { by: 'walk', path: '/s' },
  });
  answers.usage = Promise.resolve([bytes]);
  const uses = (await stats.read([pod])).get('uid-1') ?? [];
  const labels = { namespace: 'default', persistentvolumeclaim: 'claim' };
  expect(volumeMetrics([...uses, ...uses]).map(({ name, lines }) => [name, lines])).toEqual([
    ['kubelet_volume_stats_capacity_bytes', [{ labels, value: 100 }]],
    ['kubelet_volume_stats_available_bytes', [{ labels, value: 60 }]],
    ['kubelet_volume_stats_used_bytes', [{ labels, value: 40 }]],
    ...['inodes', 'inodes_free', 'inodes_used'].map((name) => [`kubelet_volume_stats_${name}`, []]),
  ]);
});
