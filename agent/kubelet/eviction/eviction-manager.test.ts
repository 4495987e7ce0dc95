import { afterEach, beforeEach, expect, test } from 'vitest';
import { KUBELET_DEFAULTS } from '../kubelet-config.ts';
import { KubeletRig, TEST_IMAGE } from '../testing/kubelet-rig.ts';
import { parseThresholds } from './thresholds.ts';

let rig: KubeletRig;
beforeEach(() => {
  rig = new KubeletRig();
});
afterEach(() => rig.stop());

const MIB = 2 ** 20;
const seedMemory = (availableMib: number) =>
  rig.host.fs.seed('/proc/meminfo', `MemTotal:       4194304 kB\nMemAvailable:   ${availableMib * 1024} kB\n`);
const nodeCondition = (type: string) => rig.nodeCondition(type);
const use = (name: string, memoryMib: number) => {
  const uid = rig.pod(name)!.metadata.uid;
  rig.runtime.usage.set(rig.runtime.findContainer('app', uid)!.id, { memoryWorkingSetBytes: memoryMib * MIB });
};

test('a node short of memory says so, ends the greediest pod and takes no BestEffort pods', async () => {
  seedMemory(1000);
  await rig.start();
  await rig.createPod({}, 'greedy');
  await rig.createPod({}, 'modest');
  use('greedy', 500);
  use('modest', 20);
  seedMemory(50);
  await rig.advance(10_000);
  expect(rig.pod('greedy')?.status).toMatchObject({
    phase: 'Failed',
    reason: 'Evicted',
    message:
      'The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. Container app was using 500Mi, request is 0, has larger consumption of memory. ',
  });
  expect(rig.condition('DisruptionTarget', 'greedy')).toMatchObject({
    status: 'True',
    reason: 'TerminationByKubelet',
  });
  expect(rig.pod('modest')?.status?.phase).toBe('Running');
  expect(nodeCondition('MemoryPressure')).toMatchObject({ status: 'True', reason: 'KubeletHasInsufficientMemory' });
  expect(rig.eventTexts()).toContain('EvictionThresholdMet: Attempting to reclaim memory');

  await rig.createPod({}, 'late');
  expect(rig.pod('late')?.status).toMatchObject({
    phase: 'Failed',
    reason: 'Evicted',
    message: 'Pod was rejected: The node had condition: [MemoryPressure]. ',
  });
  const resources = { requests: { memory: '1Mi' } };
  await rig.createPod({ containers: [{ name: 'app', image: TEST_IMAGE, resources }] }, 'burstable');
  expect(rig.pod('burstable')?.status?.phase).toBe('Running');

  seedMemory(1000);
  await rig.advance(310_000);
  expect(nodeCondition('MemoryPressure')?.status).toBe('False');
});

test('a pod that overfills its emptyDir is ended; its neighbour is not', async () => {
  seedMemory(1000);
  await rig.start();
  const volumes = [{ name: 'cache', emptyDir: { sizeLimit: '1Ki' } }];
  await rig.createPod({ volumes });
  await rig.createPod({ volumes }, 'neighbour');
  const { uid } = rig.pod()!.metadata;
  rig.host.fs.seed(`/var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~empty-dir/cache/big`, 'x'.repeat(2000));
  // What was measured holds for a minute.
  await rig.advance(80_000);
  expect(rig.pod()?.status).toMatchObject({
    phase: 'Failed',
    reason: 'Evicted',
    message: 'Usage of EmptyDir volume "cache" exceeds the limit "1Ki". ',
  });
  expect(rig.pod('neighbour')?.status?.phase).toBe('Running');
});

test('an unused image goes when the disk is full, before any pod does', async () => {
  seedMemory(1000);
  await rig.start();
  await rig.createPod();
  rig.runtime.addImage('reg.example/old:1', { repoDigests: [`reg.example/old@sha256:${'0'.repeat(64)}`] });
  // Seen by the regular look, and no longer new.
  await rig.advance(430_000);
  rig.host.fs.disk = { totalBytes: 1000, freeBytes: 50, totalInodes: 100, freeInodes: 90 };
  rig.runtime.onRemoveImage = () => {
    rig.host.fs.disk = { totalBytes: 1000, freeBytes: 900, totalInodes: 100, freeInodes: 90 };
  };
  await rig.advance(10_000);
  expect(rig.runtime.images.has('reg.example/old:1')).toBe(false);
  expect(rig.pod()?.status?.phase).toBe('Running');
  expect(nodeCondition('DiskPressure')?.status).toBe('True');
});

test('with memory reserved, pods go before all of them together reach their limit', async () => {
  const reserved = { milliCpu: 0, memoryBytes: 7 * 2 ** 30 };
  rig = new KubeletRig({ reserved });
  seedMemory(3000);
  const group = '/sys/fs/cgroup/kubepods';
  const seedPods = (usedMib: number) => {
    rig.host.fs.seed(`${group}/memory.max`, `${2 ** 30}\n`);
    rig.host.fs.seed(`${group}/memory.current`, `${usedMib * MIB}\n`);
    rig.host.fs.seed(`${group}/memory.stat`, `anon 0\ninactive_file ${10 * MIB}\n`);
  };
  seedPods(500);
  await rig.start();
  await rig.createPod({}, 'greedy');
  await rig.createPod({}, 'modest');
  use('greedy', 900);
  use('modest', 20);
  await rig.advance(10_000);
  expect(rig.pod('greedy')?.status?.phase).toBe('Running');
  seedPods(960);
  await rig.advance(10_000);
  expect(rig.pod('greedy')?.status).toMatchObject({
    phase: 'Failed',
    reason: 'Evicted',
    message:
      'The node was low on resource: memory. Threshold quantity: 100Mi, available: 74Mi. Container app was using 900Mi, request is 0, has larger consumption of memory. ',
  });
  expect(rig.pod('modest')?.status?.phase).toBe('Running');
  expect(nodeCondition('MemoryPressure')).toMatchObject({ status: 'True' });
});

test('images that nobody used for too long go, however much room there is', async () => {
  rig = new KubeletRig({ imageGc: { ...KUBELET_DEFAULTS.imageGc, maxAgeMs: 3_600_000 } });
  seedMemory(1000);
  await rig.start();
  await rig.createPod();
  rig.runtime.addImage('reg.example/old:1', { repoDigests: [`reg.example/old@sha256:${'0'.repeat(64)}`] });
  // Imported: no registry could give it again.
  rig.runtime.addImage('reg.example/imported:1', { repoDigests: [] });
  const has = (name: string) => rig.runtime.images.has(name);
  for (let minutes = 0; minutes < 55; minutes += 5) await rig.advance(300_000);
  expect(has('reg.example/old:1')).toBe(true);
  await rig.advance(900_000);
  expect([has('reg.example/old:1'), has('reg.example/imported:1'), has(TEST_IMAGE)]).toEqual([false, true, true]);
});

test.each([
  ['a hard threshold leaves the least there is', { hard: ['memory.available<100Mi'] }, 2],
  [
    'a soft one leaves what was configured',
    { soft: ['memory.available<100Mi'], softGracePeriod: ['memory.available=5s'] },
    7,
  ],
] as const)('how long a pod has to end: %s', async (_name, config, expected) => {
  const none = { hard: [], soft: [], softGracePeriod: [], minimumReclaim: [] };
  const thresholds = parseThresholds({ ...none, ...config });
  rig = new KubeletRig({ eviction: { thresholds, maxPodGraceSeconds: 7, transitionMs: 1000 } });
  seedMemory(1000);
  await rig.start();
  await rig.createPod({ terminationGracePeriodSeconds: 20 });
  const graces: number[] = [];
  const { runtime } = rig;
  const stop = runtime.stopContainer.bind(runtime);
  runtime.stopContainer = async (id, seconds) => {
    graces.push(seconds);
    return stop(id, seconds);
  };
  seedMemory(50);
  await rig.advance(10_000);
  await rig.advance(10_000);
  expect(graces).toEqual([expected]);
});

test('no second pod goes while the first one is on its way out', async () => {
  seedMemory(1000);
  await rig.start();
  await rig.createPod({}, 'greedy');
  await rig.createPod({}, 'modest');
  use('greedy', 500);
  use('modest', 20);
  let letGo: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const { runtime } = rig;
  const stop = runtime.stopContainer.bind(runtime);
  runtime.stopContainer = async (id, seconds) => {
    await gate;
    return stop(id, seconds);
  };
  seedMemory(50);
  await rig.advance(10_000);
  await rig.advance(10_000);
  await rig.advance(10_000);
  seedMemory(1000);
  letGo();
  await rig.settle();
  await rig.advance(20_000);
  expect([rig.pod('greedy')?.status?.phase, rig.pod('modest')?.status?.phase]).toEqual(['Failed', 'Running']);
});
