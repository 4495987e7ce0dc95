import { expect, test } from 'vitest';
import { StartGate } from './start-gate.ts';
import { KubeletRig, TEST_IMAGE } from './testing/kubelet-rig.ts';

test('a gate is idle once the last pod has left it', async () => {
  const gate = new StartGate(2);
  await gate.idle();
  const slots = [await gate.acquire('fresh'), await gate.acquire('fresh')];
  let isIdle = false;
  const idle = gate.idle().then(() => {
    isIdle = true;
  });
  slots[0]?.release();
  await new Promise(setImmediate);
  expect(isIdle).toBe(false);
  slots[1]?.release();
  await idle;
});

test('a gate lets pods that have begun go before fresh ones, and never more than its width', async () => {
  const gate = new StartGate(1);
  const order: string[] = [];
  const enter = async (name: string, kind: 'begun' | 'fresh') => {
    const slot = await gate.acquire(kind);
    order.push(name);
    await Promise.resolve();
    slot.release();
    slot.release();
  };
  const first = await gate.acquire('fresh');
  const waiting = [enter('fresh 1', 'fresh'), enter('fresh 2', 'fresh'), enter('begun', 'begun')];
  await Promise.resolve();
  expect(order).toEqual([]);
  first.release();
  await Promise.all(waiting);
  expect(order).toEqual(['begun', 'fresh 1', 'fresh 2']);
});

test('a pod whose postStart hook takes its time keeps no other one from starting', async () => {
  const rig = new KubeletRig({ startWidth: 1 });
  await rig.start();
  rig.onCall = async (method, proceed) => (method === 'execSync' ? new Promise<never>(() => undefined) : proceed());
  const postStart = { exec: { command: ['hello'] } };
  await rig.createPod({ containers: [{ name: 'app', image: TEST_IMAGE, lifecycle: { postStart } }] }, 'slow');
  await rig.createPod();
  // As in Kubernetes: it runs, and is shown to once its hook is over.
  expect([rig.pod()?.status?.phase, rig.pod('slow')?.status?.phase]).toEqual(['Running', 'Pending']);
  rig.stop();
});
