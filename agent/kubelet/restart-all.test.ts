import { afterEach, expect, test } from 'vitest';
import { KubeletRig, TEST_IMAGE } from './testing/kubelet-rig.ts';

let rig: KubeletRig;
afterEach(() => rig.stop());

const rule = { action: 'RestartAllContainers', exitCodes: { operator: 'In' as const, values: [42] } };
const never = { image: TEST_IMAGE, restartPolicy: 'Never' as const };
const spec = {
  restartPolicy: 'Never' as const,
  initContainers: [
    { name: 'prepare', image: TEST_IMAGE },
    { name: 'side', image: TEST_IMAGE, restartPolicy: 'Always' as const },
  ],
  containers: [
    { name: 'app', ...never, lifecycle: { preStop: { exec: { command: ['never'] } } } },
    { name: 'watcher', ...never, restartPolicyRules: [rule] },
  ],
};

const running = () =>
  [...rig.runtime.containers.values()]
    .filter(({ status }) => status.state === 'RUNNING')
    .map(({ status }) => `${status.name} ${status.attempt}`)
    .sort();

async function prepare(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) {
    const init = rig.runtime.findContainer('prepare');
    if (init?.state === 'RUNNING') {
      rig.runtime.exitContainer(init.id, 0);
      await rig.advance(1000);
      return;
    }
    await rig.advance(1000);
  }
}

const exit = (name: string, code: number) => rig.runtime.exitContainer(rig.runtime.findContainer(name)!.id, code);

async function start(): Promise<void> {
  rig = new KubeletRig();
  await rig.start();
  await rig.createPod(spec as never);
  await prepare();
  expect(running()).toEqual(['app 0', 'side 0', 'watcher 0']);
}

test('an exit by such a rule begins the pod anew, init containers first, in the same sandbox', async () => {
  await start();
  const [sandbox] = [...rig.runtime.sandboxes.keys()];
  expect(rig.condition('AllContainersRestarting')).toMatchObject({ status: 'False' });
  exit('watcher', 42);
  await rig.advance(1000);
  expect(running()).toEqual(['prepare 1']);
  expect(rig.pod()?.status?.phase).toBe('Running');
  expect(rig.condition('Initialized')?.status).toBe('False');
  expect(rig.runtime.callsOf('execSync')).toEqual([]);
  await prepare();
  // The one that asked waits as one that crashed; the others need not.
  await rig.advance(15_000);
  expect(running()).toEqual(['app 1', 'side 1', 'watcher 1']);
  expect([...rig.runtime.sandboxes.keys()]).toEqual([sandbox]);
  expect(rig.containerStatus('app')).toMatchObject({ restartCount: 1, lastState: { terminated: {} } });
  expect(rig.containerStatus('watcher')).toMatchObject({
    restartCount: 1,
    lastState: { terminated: { exitCode: 42 } },
  });
  expect(rig.condition('Initialized')?.status).toBe('True');
});

test('another exit code means what the policy says', async () => {
  await start();
  exit('watcher', 1);
  await rig.advance(1000);
  expect(running()).toEqual(['app 0', 'side 0']);
  exit('app', 0);
  await rig.advance(5000);
  expect(rig.pod()?.status?.phase).toBe('Failed');
});

test('an agent that dies in the middle finishes it', async () => {
  await start();
  rig.onCall = (method, proceed) => (method === 'stopContainer' ? new Promise(() => undefined) : proceed());
  exit('watcher', 42);
  await rig.advance(1000);
  expect(rig.condition('AllContainersRestarting')).toMatchObject({
    status: 'True',
    reason: 'RestartAllContainersStarted',
  });
  rig.onCall = undefined;
  await rig.restart();
  await prepare();
  await rig.advance(15_000);
  expect(running()).toEqual(['app 1', 'side 1', 'watcher 1']);
});

test('it can happen again and again', async () => {
  await start();
  for (const attempt of [1, 2, 3]) {
    exit('watcher', 42);
    await rig.advance(1000);
    await prepare();
    await rig.advance(120_000);
    expect(running()).toEqual([`app ${attempt}`, `side ${attempt}`, `watcher ${attempt}`]);
  }
});
