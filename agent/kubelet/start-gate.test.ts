import { expect, test } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { StartGate } from './start-gate.ts';
import { KubeletRig, TEST_IMAGE } from './testing/kubelet-rig.ts';

test('a gate is idle once the last pod has left it', async () => {
  const gate = new StartGate(2, new FakeClock());
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

test('a gate is calm when nobody has come or left for a while', async () => {
  const clock = new FakeClock();
  const gate = new StartGate(1, clock);
  const inside = await gate.acquire('fresh');
  await clock.advance(300);
  inside.release();
  const order: string[] = [];
  const never = new AbortController().signal;
  const calm = gate.calm(100, never).then(() => order.push('calm'));
  await clock.advance(60);
  order.push('one has just left');
  (await gate.acquire('fresh')).release();
  await clock.advance(60);
  order.push('another one came');
  await clock.advance(100);
  await calm;
  await gate.calm(100, never);
  expect(order).toEqual(['one has just left', 'another one came', 'calm']);
});

test('whoever has waited for calm long enough leaves no timer behind', async () => {
  const clock = new FakeClock();
  const gate = new StartGate(1, clock);
  (await gate.acquire('fresh')).release();
  const patience = new AbortController();
  const calm = gate.calm(100, patience.signal);
  await clock.advance(60);
  patience.abort();
  await expect(calm).rejects.toThrow();
});

test('a gate lets pods that have begun go before fresh ones, and never more than its width', async () => {
  const gate = new StartGate(1, new FakeClock());
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
