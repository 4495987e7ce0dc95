import { afterEach, describe, expect, test } from 'vitest';
import { type Pod, resources } from '#api/object/kinds.ts';
import { KubeletRig, TEST_IMAGE } from './testing/kubelet-rig.ts';

let rig: KubeletRig;
afterEach(() => rig.stop());

/** Calls that change the runtime: between any two of them, and within each, the agent may die. */
const CHANGING = [
  'runSandbox',
  'createContainer',
  'startContainer',
  'stopContainer',
  'stopSandbox',
  'removeContainer',
  'removeSandbox',
] as const;
type Changing = (typeof CHANGING)[number];

const isChanging = (method: string): method is Changing => (CHANGING as readonly string[]).includes(method);
const count = (method: Changing) => rig.runtime.calls.filter((call) => call.method === method).length;
const spec = {
  terminationGracePeriodSeconds: 5,
  initContainers: [
    { name: 'first', image: TEST_IMAGE },
    { name: 'side', image: TEST_IMAGE, restartPolicy: 'Always' as const },
  ],
  containers: [
    { name: 'app', image: TEST_IMAGE },
    { name: 'other', image: TEST_IMAGE },
  ],
};

/** Lets a pod come up to where all of its containers run, its init container having ended well. */
async function bringUp(): Promise<void> {
  for (let second = 0; second < 60; second++) {
    const first = rig.runtime.findContainer('first');
    if (first?.state === 'RUNNING') rig.runtime.exitContainer(first.id, 0);
    await rig.advance(1000);
    if (rig.condition('Ready')?.status === 'True') return;
  }
}

const remove = async () => {
  await rig.client.resource<Pod>(resources.pods).delete({ name: 'web', namespace: 'default', gracePeriodSeconds: 5 });
  await rig.settle();
};

/** Dies at the nth changing call: either before the runtime has heard of it, or after it did it and before the agent was told. */
async function dieAt(call: number, isDone: boolean, act: () => Promise<void>): Promise<boolean> {
  let seen = 0;
  let hasDied = false;
  rig.onCall = async (method, proceed) => {
    if (!isChanging(method) || hasDied || ++seen !== call) return proceed();
    hasDied = true;
    if (isDone) await proceed();
    // The agent never hears of it.
    await new Promise<never>(() => undefined);
  };
  await act();
  await rig.settle();
  rig.onCall = undefined;
  if (hasDied) await rig.restart();
  return hasDied;
}

const points = Array.from({ length: 6 }, (_, index) => index + 1).flatMap((call) => [
  [call, false] as const,
  [call, true] as const,
]);

describe('an agent that is killed while a pod comes up', () => {
  test.each(points)('at call %i (done: %s) starts nothing twice and loses nothing', async (call, isDone) => {
    rig = new KubeletRig();
    await rig.start();
    const hasDied = await dieAt(call, isDone, async () => {
      await rig.createPod(spec);
      const first = rig.runtime.findContainer('first');
      if (first?.state === 'RUNNING') rig.runtime.exitContainer(first.id, 0);
    });
    expect(hasDied).toBe(true);
    await bringUp();
    expect(rig.condition('Ready')?.status).toBe('True');
    const running = [...rig.runtime.containers.values()].filter(({ status }) => status.state === 'RUNNING');
    expect(running.map(({ status }) => status.name).sort()).toEqual(['app', 'other', 'side']);
    expect([...rig.runtime.sandboxes.values()].filter(({ ready }) => ready)).toHaveLength(1);
    await remove();
    await rig.advance(10_000);
    expect(rig.runtime.containers.size + rig.runtime.sandboxes.size).toBe(0);
    expect(await rig.host.fs.list('/var/lib/coracle/agent/ledger')).toEqual([]);
  });
});

describe('an agent that is killed while a pod goes', () => {
  test.each(points)('at call %i (done: %s) leaves nothing behind', async (call, isDone) => {
    rig = new KubeletRig();
    await rig.start();
    await rig.createPod(spec);
    await bringUp();
    const started = count('startContainer');
    expect(await dieAt(call, isDone, remove)).toBe(true);
    await rig.advance(30_000);
    expect(rig.pod()).toBeUndefined();
    expect(rig.runtime.containers.size + rig.runtime.sandboxes.size).toBe(0);
    expect(count('startContainer')).toBe(started);
    expect(await rig.host.fs.list('/var/lib/kubelet/pods')).toEqual([]);
  });
});
