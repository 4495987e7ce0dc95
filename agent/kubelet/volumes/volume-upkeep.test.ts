import { expect, test } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { podWith } from '../testing/pod-fixtures.ts';
import { VolumeUpkeep } from './volume-upkeep.ts';

test('volumes of an earlier agent that cannot be read again wake their pod only while it runs', async () => {
  const clock = new FakeClock();
  let asked = 0;
  const refresh = async () => {
    asked++;
    throw new Error('configmap "gone" not found');
  };
  const volumes = { isPrepared: () => false, prepare: refresh, refresh };
  const upkeep = new VolumeUpkeep({ volumes, clock, log: silentLogger });
  const pod = podWith({});
  await upkeep.refreshIfDue(pod, true);
  expect([asked, upkeep.dueMs]).toEqual([1, clock.now() + 10_000]);
  await clock.advance(10_000);
  // It crashed meanwhile and waits to be started: a time in the past would be waited for again and again.
  await upkeep.refreshIfDue(pod, false);
  expect([asked, upkeep.dueMs]).toEqual([1, undefined]);
  await upkeep.refreshIfDue(pod, true);
  expect([asked, upkeep.dueMs]).toEqual([2, clock.now() + 10_000]);
});
