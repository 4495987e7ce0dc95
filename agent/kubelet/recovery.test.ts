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

const LEDGER = '/var/lib/coracle/agent/ledger';

/**
 * Dies at the nth step, a changing call or a write of the ledger: either before anybody has heard of it, or after it was done and before the
 * agent was told. Nothing that it would have done after that happens.
 */
async function dieAt(step: number, isDone: boolean, act: () => Promise<void>): Promise<boolean> {
  let seen = 0;
  let isDead = false;
  const never = () => new Promise<never>(() => undefined);
  const take = async <T>(isStep: boolean, proceed: () => Promise<T>): Promise<T> => {
    if (isDead) return never();
    if (!isStep || ++seen !== step) return proceed();
    isDead = true;
    if (isDone) await proceed();
    return never();
  };
  const { fs } = rig.host;
  const { writeAtomic, remove: removeFile } = fs;
  rig.onCall = (method, proceed) => take(isChanging(method), proceed);
  fs.writeAtomic = (path, ...rest) => take(path.startsWith(LEDGER), () => writeAtomic.call(fs, path, ...rest));
  fs.remove = (path) => take(path.startsWith(LEDGER), () => removeFile.call(fs, path));
  await act();
  await rig.settle();
  const revive = () => {
    rig.onCall = undefined;
    Object.assign(fs, { writeAtomic, remove: removeFile });
  };
  if (isDead) await rig.restart(revive);
  else revive();
  return isDead;
}

const pointsUpTo = (steps: number) =>
  Array.from({ length: steps }, (_, index) => index + 1).flatMap((step) => [
    [step, false] as const,
    [step, true] as const,
  ]);

/** Counted: the step after the last one finds the agent alive. */
const STEPS_UP = 14;
const STEPS_DOWN = 13;

describe('an agent that is killed while a pod comes up', () => {
  test.each(pointsUpTo(STEPS_UP + 1))(
    'at step %i (done: %s) starts nothing twice and loses nothing',
    async (step, isDone) => {
      rig = new KubeletRig();
      await rig.start();
      const hasDied = await dieAt(step, isDone, async () => {
        await rig.createPod(spec);
        await bringUp();
      });
      expect(hasDied).toBe(step <= STEPS_UP);
      await bringUp();
      expect(rig.condition('Ready')?.status).toBe('True');
      const running = [...rig.runtime.containers.values()].filter(({ status }) => status.state === 'RUNNING');
      expect(running.map(({ status }) => status.name).sort()).toEqual(['app', 'other', 'side']);
      expect(count('startContainer')).toBe(4);
      expect([...rig.runtime.sandboxes.values()].filter(({ ready }) => ready)).toHaveLength(1);
      await remove();
      await rig.advance(10_000);
      expect(rig.runtime.containers.size + rig.runtime.sandboxes.size).toBe(0);
      expect(await rig.host.fs.list('/var/lib/coracle/agent/ledger')).toEqual([]);
    },
  );
});

describe('an agent that is killed while a pod goes', () => {
  test.each(pointsUpTo(STEPS_DOWN + 1))('at step %i (done: %s) leaves nothing behind', async (step, isDone) => {
    rig = new KubeletRig();
    await rig.start();
    await rig.createPod(spec);
    await bringUp();
    const started = count('startContainer');
    expect(await dieAt(step, isDone, remove)).toBe(step <= STEPS_DOWN);
    await rig.advance(30_000);
    expect(rig.pod()).toBeUndefined();
    expect(rig.runtime.containers.size + rig.runtime.sandboxes.size).toBe(0);
    expect(count('startContainer')).toBe(started);
    expect(await rig.host.fs.list('/var/lib/kubelet/pods')).toEqual([]);
  });
});
