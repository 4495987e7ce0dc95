import { afterEach, expect, test } from 'vitest';
import { KubeletRig, TEST_IMAGE } from '#agent/kubelet/testing/kubelet-rig.ts';

let rig: KubeletRig;
afterEach(() => rig.stop());

const HOUR_MS = 3_600_000;
const STEP_MS = 15 * 60_000;

/** All that an agent could pile up while nobody hears it. */
async function holdings() {
  const files = rig.host.fs.paths('/');
  const sizes = await Promise.all(files.map(async (path) => (await rig.host.fs.info(path))?.sizeBytes ?? 0));
  return {
    timers: rig.clock.pendingTimers,
    containers: rig.runtime.containers.size,
    sandboxes: rig.runtime.sandboxes.size,
    files: files.length,
    bytes: sizes.reduce((sum, size) => sum + size, 0),
  };
}

/** Each quarter of an hour the container crashes, if it runs. */
async function crashFor(hours: number): Promise<number> {
  let crashes = 0;
  for (let passedMs = 0; passedMs < hours * HOUR_MS; passedMs += STEP_MS) {
    const app = rig.runtime.findContainer('app');
    if (app?.state === 'RUNNING') {
      rig.runtime.exitContainer(app.id, 1);
      crashes++;
    }
    await rig.advance(STEP_MS);
  }
  return crashes;
}

test('the API is away for 24 hours: what crashes starts again, nothing grows, and all is told afterwards', async () => {
  rig = new KubeletRig();
  await rig.start();
  const made = await rig.createPod({
    containers: [
      { name: 'app', image: TEST_IMAGE },
      { name: 'steady', image: TEST_IMAGE, livenessProbe: { tcpSocket: { port: 80 }, periodSeconds: 60 } },
    ],
  });
  await rig.advance(2000);
  const steady = rig.runtime.findContainer('steady')?.id;
  rig.isApiDown = true;

  const early = await crashFor(2);
  const before = await holdings();
  const late = await crashFor(22);
  const after = await holdings();
  // A crash every quarter of an hour: each is answered within the longest back-off.
  expect([early, late]).toEqual([8, 88]);
  expect(after).toEqual({ ...before, bytes: expect.closeTo(before.bytes, -3) });
  expect(rig.runtime.findContainer('steady')).toMatchObject({ id: steady, state: 'RUNNING' });

  rig.isApiDown = false;
  await rig.advance(2 * 60_000);
  const restartCount = early + late;
  expect(rig.pod()?.metadata.uid).toBe(made.metadata.uid);
  expect(rig.containerStatus('app')).toMatchObject({ restartCount, ready: true });
  expect(rig.containerStatus('steady')).toMatchObject({ restartCount: 0, ready: true });
}, 600_000);
