import { afterEach, describe, expect, test } from 'vitest';
import { type ConfigMap, type Pod, resources, type Secret } from '#api/object/kinds.ts';
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

const VOLATILE = '/run/coracle/pods/memory';
const PODS = '/var/lib/kubelet/pods';
const withVolumes = {
  terminationGracePeriodSeconds: 5,
  volumes: [
    { name: 'disk', emptyDir: {} },
    { name: 'memory', emptyDir: { medium: 'Memory' } },
    { name: 'settings', configMap: { name: 'settings' } },
    { name: 'keys', secret: { secretName: 'keys' } },
  ],
};

/** As `dieAt`, at the nth change of what volumes are made of. */
async function dieAtVolume(step: number, isDone: boolean, act: () => Promise<void>): Promise<boolean> {
  const { fs, mounts } = rig.host;
  let seen = 0;
  let isDead = false;
  const never = () => new Promise<never>(() => undefined);
  const restore: (() => void)[] = [];
  const guard = <T extends object>(owner: T, methods: readonly (keyof T & string)[]) => {
    for (const method of methods) {
      const own = owner[method] as (...args: unknown[]) => Promise<unknown>;
      const guarded = async (path: unknown, ...rest: unknown[]) => {
        if (isDead) return never();
        const isStep = [path, ...rest].some((one) => String(one).startsWith(PODS) || String(one).startsWith(VOLATILE));
        if (!isStep || ++seen !== step) return Reflect.apply(own, owner, [path, ...rest]);
        isDead = true;
        if (isDone) await Reflect.apply(own, owner, [path, ...rest]);
        return never();
      };
      Object.assign(owner, { [method]: guarded });
      restore.push(() => Object.assign(owner, { [method]: own }));
    }
  };
  guard(fs, ['makeDirectory', 'rename', 'symlink', 'remove', 'write']);
  guard(mounts, ['mountTmpfs', 'unmount']);
  await act();
  await rig.settle();
  const revive = () => {
    for (const undo of restore) undo();
  };
  if (isDead) await rig.restart(revive);
  else revive();
  return isDead;
}

async function startWithVolumes(): Promise<void> {
  rig = new KubeletRig();
  await rig.start();
  const named = (name: string) => ({ metadata: { name, namespace: 'default' } });
  await rig.client.resource<ConfigMap>(resources.configMaps).create({ ...named('settings'), data: { a: '1' } });
  await rig.client.resource<Secret>(resources.secrets).create({ ...named('keys'), data: { b: 'Mg==' } });
}

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

test('folders and mounts of pods that nothing else remembers go, those of others stay', async () => {
  rig = new KubeletRig();
  const { fs, mounts } = rig.host;
  const folder = '/var/lib/kubelet/pods/forgotten';
  fs.seed(`${folder}/volumes/kubernetes.io~empty-dir/data/file`, 'x');
  await mounts.mountTmpfs(`${folder}/volumes/kubernetes.io~empty-dir/memory`, {});
  fs.seed('/var/log/pods/default_gone_forgotten/app/0.log', 'x');
  await rig.start();
  const pod = await rig.createPod({ volumes: [{ name: 'v', emptyDir: {} }] });
  await rig.restart();
  expect(await fs.list('/var/lib/kubelet/pods')).toEqual([pod.metadata.uid]);
  expect(await fs.list('/var/log/pods')).toEqual([`default_web_${pod.metadata.uid}`]);
  expect(mounts.points.filter(({ path }) => path.startsWith('/var/lib/kubelet/'))).toEqual([]);
});

test('what is left of a pod stays while its processes run, and what cannot be removed is tried again', async () => {
  rig = new KubeletRig();
  const { fs } = rig.host;
  const [running, stuck] = ['0a-running', '0b-stuck'].map((uid) => `/var/lib/kubelet/pods/${uid}`);
  fs.seed(`${running}/volumes/kubernetes.io~empty-dir/data/file`, 'x');
  const processes = '/sys/fs/cgroup/kubepods.slice/kubepods-pod0a_running.slice/pids.current';
  fs.seed(processes, '2\n');
  fs.seed(`${stuck}/file`, 'x');
  const logs = '/var/log/pods/default_gone_0b-stuck';
  fs.seed(`${logs}/app/0.log`, 'x');
  fs.failWith(logs, new Error('EPERM'));
  await rig.start();
  await rig.settle();
  expect([
    await fs.list('/var/lib/kubelet/pods'),
    await fs.info(`${running}/volumes/kubernetes.io~empty-dir/data/file`),
  ]).toEqual([['0a-running'], expect.anything()]);
  fs.failWith(logs, undefined);
  fs.seed(processes, '0\n');
  await rig.advance(60_000);
  expect([await fs.list('/var/lib/kubelet/pods'), await fs.list('/var/log/pods')]).toEqual([[], []]);
});

describe('an agent that is killed while volumes are made and taken down', () => {
  const bringUpVolumes = async () => {
    await rig.createPod(withVolumes);
    await rig.advance(1000);
  };

  test.each([false, true])(
    'at any step on the way up (done: %s) has them whole afterwards',
    { timeout: 120_000 },
    async (isDone) => {
      for (let step = 1, hasDied = true; hasDied; step++) {
        await startWithVolumes();
        hasDied = await dieAtVolume(step, isDone, bringUpVolumes);
        await rig.advance(20_000);
        expect([step, rig.condition('Ready')?.status]).toEqual([step, 'True']);
        const uid = rig.pod()?.metadata.uid;
        const { fs, mounts } = rig.host;
        const files = [
          `${PODS}/${uid}/volumes/kubernetes.io~configmap/settings/a`,
          `${VOLATILE}/${uid}/kubernetes.io~secret/keys/b`,
        ];
        expect(await Promise.all(files.map((file) => fs.readText(file)))).toEqual(['1', '2']);
        const folder = `${PODS}/${uid}/volumes/kubernetes.io~empty-dir`;
        expect([step, ...(await fs.list(folder))]).toEqual([step, 'disk', 'memory']);
        expect(mounts.points.map(({ path }) => path)).toEqual([VOLATILE, `${folder}/memory`]);
        expect(count('startContainer')).toBe(1);
        rig.stop();
        if (step > 100) throw new Error('never ends');
      }
    },
  );

  test.each([false, true])(
    'at any step on the way down (done: %s) leaves nothing behind',
    { timeout: 120_000 },
    async (isDone) => {
      for (let step = 1, hasDied = true; hasDied; step++) {
        await startWithVolumes();
        await bringUpVolumes();
        hasDied = await dieAtVolume(step, isDone, remove);
        await rig.advance(30_000);
        expect([step, rig.pod()]).toEqual([step, undefined]);
        const left = [
          ...rig.host.mounts.points.filter(({ path }) => path !== VOLATILE),
          ...(await rig.host.fs.list(PODS)),
          ...(await rig.host.fs.list(VOLATILE)),
        ];
        expect([step, ...left]).toEqual([step]);
        rig.stop();
      }
    },
  );
});
