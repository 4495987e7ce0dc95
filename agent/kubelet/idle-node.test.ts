import { afterEach, beforeEach, expect, test } from 'vitest';
import { KubeletRig } from './testing/kubelet-rig.ts';

let rig: KubeletRig;
beforeEach(async () => {
  rig = new KubeletRig();
  await rig.start();
});
afterEach(() => rig.stop());

const IDLE_MINUTES = 10;

/** Calls of the runtime in ten minutes in which nothing happens, by method. */
async function idleCalls(): Promise<Record<string, number>> {
  await rig.advance(60_000);
  const before = rig.runtime.calls.length;
  for (let second = 0; second < IDLE_MINUTES * 60; second++) await rig.clock.advance(1_000);
  await rig.settle();
  const counts: Record<string, number> = {};
  for (const { method } of rig.runtime.calls.slice(before)) counts[method] = (counts[method] ?? 0) + 1;
  return counts;
}

/** A relist of two calls and a look at the conditions every 10 s, images once a minute, the version now and then. */
const MOST_PER_MINUTE = 20;

test('asks the runtime little while nothing happens, and no more of it with 30 pods than with none', async () => {
  const empty = await idleCalls();
  for (let i = 0; i < 30; i++) await rig.createPod({}, `web-${i}`);
  expect(rig.runtime.callsOf('startContainer')).toHaveLength(30);
  const full = await idleCalls();
  const total = Object.values(full).reduce((sum, count) => sum + count, 0);
  expect(total / IDLE_MINUTES).toBeLessThanOrEqual(MOST_PER_MINUTE);
  expect(full).toEqual(empty);
});

test('writes nothing to the API but its Lease while nothing happens', async () => {
  for (let i = 0; i < 30; i++) await rig.createPod({}, `web-${i}`);
  await rig.advance(60_000);
  const before = rig.cluster.actions.length;
  for (let second = 0; second < 240; second++) await rig.clock.advance(1_000);
  await rig.settle();
  const resources = rig.cluster.actions.slice(before).map(({ resource }) => resource);
  // One every 10 s, and the status of the node every five minutes.
  expect(resources.filter((resource) => resource === 'leases').length).toBeLessThanOrEqual(24);
  expect(resources.filter((resource) => resource !== 'leases').length).toBeLessThanOrEqual(1);
});
