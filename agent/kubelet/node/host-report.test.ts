import { expect, test } from 'vitest';
import { recordedHost } from '#test/kit/recorded-cgroups.ts';
import { KubeletRig } from '../testing/kubelet-rig.ts';
import { examineHostForPods } from './host-report.ts';
import { memoryVerdicts } from './memory-condition.ts';

test('a kernel without the memory cgroup is found out, and the cure is told', async () => {
  const { isSound, lines } = await examineHostForPods(await recordedHost('raspberry-pi-os'));
  expect(isSound).toBe(false);
  expect(lines.join('\n')).toMatch(
    /found: MemoryCgroupOff: [\s\S]*cgroup_enable=memory[\s\S]*cgroup v2: cpuset cpu io pids/,
  );
});

test('a kernel that has it all is sound', async () => {
  const host = await recordedHost('debian-13');
  host.fs.seed('/sys/module/apparmor/parameters/enabled', 'Y\n');
  const { isSound, lines } = await examineHostForPods(host);
  expect(isSound).toBe(true);
  expect(lines.join('\n')).toContain('AppArmor yes, SELinux no');
});

test.each([
  ['6.1.0-18-amd64', 2 ** 27, false],
  ['6.4.0', 2 ** 27, true],
  ['6.1.0-18-amd64', 0, true],
])('Linux %s with %i bytes of swap keeps Secrets out of it: %s', async (kernelVersion, swapBytes, isSound) => {
  const host = await recordedHost('debian-13');
  host.factsValue = { ...host.factsValue, kernelVersion, swapBytes };
  const report = await examineHostForPods(host);
  expect(report.isSound).toBe(isSound);
  expect(report.lines.join('\n').includes('found: MemoryVolumesMaySwap: ')).toBe(!isSound);
});

test.each([
  ['is there and was', true, false, undefined],
  ['is off', false, false, 'True'],
  ['is there again', true, true, 'False'],
] as const)('the condition of a node whose memory cgroup %s', (_name, has, was, expected) => {
  const verdict = memoryVerdicts(has, was).MemoryLimitsUnenforced;
  expect(verdict && (verdict.isTrue ? 'True' : 'False')).toBe(expected);
});

test('on such a node pods run without limits of memory, and its condition says why', async () => {
  const rig = new KubeletRig();
  rig.host.fs.seed('/sys/fs/cgroup/cgroup.controllers', 'cpuset cpu io pids\n');
  await rig.start();
  const limits = { memory: '64Mi', cpu: '1' };
  await rig.createPod({ containers: [{ name: 'app', image: 'docker.io/library/app:1', resources: { limits } }] });
  expect(rig.containerStatus()).toMatchObject({ state: { running: {} } });
  const { config } = rig.runtime.containers.get(rig.runtime.findContainer('app')!.id)!;
  expect([config.resources.memoryLimitBytes, config.resources.cpuQuota]).toEqual([0, 100_000]);
  expect(rig.nodeCondition('MemoryLimitsUnenforced')).toMatchObject({ status: 'True', reason: 'MemoryCgroupOff' });
  rig.stop();
});
