import { expect, test } from 'vitest';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { PodCgroups } from './pod-cgroups.ts';
import { container, podWith } from './testing/pod-fixtures.ts';

const AMOUNTS = { cpu: '500m', memory: '64Mi' };
const GUARANTEED = podWith({ containers: [container('app', { resources: { requests: AMOUNTS, limits: AMOUNTS } })] });
const NODE = {
  cpuCount: 4,
  podPidsLimit: 100,
  allPods: { milliCpu: 3500, memoryBytes: 2 ** 30 },
  log: silentLogger,
};
const POD = '/kubepods/poduid-1';

async function apply(host: FakeHost, directories: readonly string[]) {
  for (const directory of directories) await host.fs.makeDirectory(`/sys/fs/cgroup${directory}`);
  const cgroups = new PodCgroups({ host, settings: { driver: 'cgroupfs', root: '/' }, ...NODE });
  await cgroups.apply(GUARANTEED);
  return (path: string) => host.fs.readText(`/sys/fs/cgroup${path}`);
}

test('the cgroup of a pod gets the limits of all its containers, version 2', async () => {
  const read = await apply(new FakeHost(), [POD]);
  expect(await read(`${POD}/cpu.weight`)).toBe('20');
  expect(await read(`${POD}/cpu.max`)).toBe('50000 100000');
  expect(await read(`${POD}/memory.max`)).toBe(String(64 * 2 ** 20));
  expect(await read(`${POD}/pids.max`)).toBe('100');
  // What is reserved for the system is out of reach of all pods together.
  expect(await read('/kubepods/cpu.weight')).toBe('137');
  expect(await read('/kubepods/memory.max')).toBe(String(2 ** 30));
});

test('the cgroup of a pod gets the limits of all its containers, version 1', async () => {
  const host = new FakeHost();
  host.cgroupVersion = 1;
  const read = await apply(host, [`/cpu${POD}`, `/memory${POD}`, `/pids${POD}`]);
  expect(await read(`/cpu${POD}/cpu.shares`)).toBe('512');
  expect(await read(`/cpu${POD}/cpu.cfs_quota_us`)).toBe('50000');
  expect(await read(`/pids${POD}/pids.max`)).toBe('100');
  expect(await read(`/memory${POD}/memory.limit_in_bytes`)).toBe(String(64 * 2 ** 20));
});

const cgroupsOf = (host: FakeHost, driver: 'cgroupfs' | 'systemd') =>
  new PodCgroups({ host, settings: { driver, root: '/' }, ...NODE });

test.each([1, 2] as const)('the empty cgroups of a pod are removed without a program, version %i', async (version) => {
  const host = new FakeHost();
  host.cgroupVersion = version;
  const hierarchy = version === 2 ? '/sys/fs/cgroup' : '/sys/fs/cgroup/cpu';
  await host.fs.makeDirectory(`${hierarchy}${POD}/container`);
  await cgroupsOf(host, 'cgroupfs').remove(GUARANTEED);
  expect(await host.fs.info(`${hierarchy}${POD}`)).toBeUndefined();
  expect(await host.fs.info(`${hierarchy}/kubepods`)).toBeDefined();
  expect(host.exec.calls).toEqual([]);
});

test('the slice of a pod is stopped with systemd', async () => {
  const host = new FakeHost();
  await host.fs.makeDirectory('/sys/fs/cgroup/kubepods.slice/kubepods-poduid_1.slice');
  await cgroupsOf(host, 'systemd').remove(GUARANTEED);
  expect(host.exec.calls.map(({ argv }) => argv.join(' '))).toEqual(['systemctl stop kubepods-poduid_1.slice']);
});
