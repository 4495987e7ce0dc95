import { beforeEach, describe, expect, test } from 'vitest';
import type { Pod } from '#api/object/kinds.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { type CgroupFileSystem, recordedHost } from '#test/kit/recorded-cgroups.ts';
import { readPodProcesses } from '../eviction/usage-reader.ts';
import { container, podWith, RULES } from '../testing/pod-fixtures.ts';
import { podCgroupPath } from './cgroup-names.ts';
import { PodCgroups, removeAllPodCgroups } from './pod-cgroups.ts';
import { readPodsMemory } from './pods-memory.ts';

const MIB = 2 ** 20;
const AMOUNTS = { cpu: '500m', memory: '64Mi' };
const uid = (letter: string) => `0a1b2c3d-0000-4000-8000-00000000000${letter}`;
const GUARANTEED = podWith(
  { containers: [container('app', { resources: { requests: AMOUNTS, limits: AMOUNTS } })] },
  { uid: uid('a') },
);
const BURSTABLE = podWith(
  { containers: [container('app', { resources: { requests: AMOUNTS } })] },
  { uid: uid('b'), name: 'burstable' },
);
const SYSTEMD = { driver: 'systemd', root: '/' } as const;
const CGROUPFS = { driver: 'cgroupfs', root: '/' } as const;
const NODE = { podPidsLimit: 100, allPods: { milliCpu: 3500, memoryBytes: 2 ** 30 }, log: silentLogger };

let warnings: string[];
beforeEach(() => {
  warnings = [];
});
const log = {
  ...silentLogger,
  warn: (message: string, fields: unknown) => warnings.push(`${message} ${JSON.stringify(fields)}`),
};

const cgroupsOf = (host: FakeHost, more: Partial<ConstructorParameters<typeof PodCgroups>[0]> = {}) =>
  new PodCgroups({
    host,
    settings: SYSTEMD,
    rules: RULES,
    pods: () => [GUARANTEED, BURSTABLE],
    ...NODE,
    log: log as never,
    ...more,
  });

describe('on the recorded tree of Debian 13, with slices of systemd', () => {
  let host: FakeHost & { readonly fs: CgroupFileSystem };
  beforeEach(async () => {
    host = await recordedHost('debian-13');
  });
  const read = async (path: string) => (await host.fs.readText(`/sys/fs/cgroup/kubepods.slice${path}`)).trim();
  const B = '/kubepods-burstable.slice';
  const [podA, podB] = [GUARANTEED, BURSTABLE].map((pod) => podCgroupPath(pod, SYSTEMD).replace('/kubepods.slice', ''));

  test('a pod, its class and all pods together get their weights and limits', async () => {
    const cgroups = cgroupsOf(host);
    await cgroups.apply(GUARANTEED);
    await cgroups.apply(BURSTABLE);
    expect(warnings).toEqual([]);
    const files = ['cpu.weight', 'cpu.max', 'memory.max', 'pids.max'];
    const shown = async (path: string | undefined) => Promise.all(files.map((file) => read(`${path}/${file}`)));
    expect(await shown(podA)).toEqual(['20', '50000 100000', String(64 * MIB), '100']);
    expect(await shown(podB)).toEqual(['20', 'max 100000', 'max', '100']);
    // What its pods request together; who requests nothing has the least there is.
    expect(await read(`${B}/cpu.weight`)).toBe('20');
    expect(await read('/kubepods-besteffort.slice/cpu.weight')).toBe('1');
    // What is reserved for the system is out of reach of all pods together.
    expect([await read('/cpu.weight'), await read('/memory.max')]).toEqual(['137', String(2 ** 30)]);
  });

  test('what systemd has reset at its daemon-reload is set again, and nothing else is written', async () => {
    const cgroups = cgroupsOf(host);
    await cgroups.apply(GUARANTEED);
    await cgroups.apply(BURSTABLE);
    host.fs.written.length = 0;
    await cgroups.sweep();
    expect(host.fs.written).toEqual([]);
    host.fs.seed(`/sys/fs/cgroup/kubepods.slice${podA}/pids.max`, 'max\n');
    host.fs.seed(`/sys/fs/cgroup/kubepods.slice${B}/cpu.weight`, '100\n');
    await cgroups.sweep();
    expect(host.fs.written.map((line) => line.slice(line.lastIndexOf('/') + 1))).toEqual([
      'pids.max 100',
      'cpu.weight 20',
    ]);
  });

  test('the weight of a class follows its pods, those that go too, also after the agent has started anew', async () => {
    let pods: readonly Pod[] = [BURSTABLE, { ...BURSTABLE, metadata: { ...BURSTABLE.metadata, uid: uid('c') } }];
    // One that knows of no pod that was applied.
    const cgroups = cgroupsOf(host, { pods: () => pods });
    await cgroups.sweep();
    expect(await read(`${B}/cpu.weight`)).toBe('39');
    pods = [];
    await cgroups.sweep();
    expect(await read(`${B}/cpu.weight`)).toBe('1');
  });

  test('a group of a class that went with its last pod gets its weight again when it is back', async () => {
    const cgroups = cgroupsOf(host);
    await cgroups.apply(BURSTABLE);
    await cgroups.remove(BURSTABLE);
    host.fs.seed(`/sys/fs/cgroup/kubepods.slice${B}/cpu.weight`, '100\n');
    await cgroups.apply(BURSTABLE);
    expect(await read(`${B}/cpu.weight`)).toBe('20');
  });

  test('a reservation or a limit that is taken back is gone', async () => {
    await cgroupsOf(host).apply(GUARANTEED);
    await cgroupsOf(host, { allPods: { milliCpu: 4000, memoryBytes: 0 }, podPidsLimit: 0 }).sweep();
    expect(await read('/memory.max')).toBe('max');
  });

  test('a pod that is to shrink keeps its limit until its containers have shrunk', async () => {
    const shrunk = podWith(
      { containers: [container('app', { resources: { limits: { ...AMOUNTS, memory: '16Mi' } } })] },
      { uid: uid('a') },
    );
    let held: Pod = GUARANTEED;
    const cgroups = cgroupsOf(host, { pods: () => [shrunk], roomFor: () => held });
    await cgroups.apply(GUARANTEED);
    await cgroups.sweep();
    expect(await read(`${podA}/memory.max`)).toBe(String(64 * MIB));
    held = shrunk;
    await cgroups.sweep();
    expect(await read(`${podA}/memory.max`)).toBe(String(16 * MIB));
  });

  test('what the kernel refuses one pod keeps no other from its limits', async () => {
    await cgroupsOf(host).apply(BURSTABLE);
    const file = `/sys/fs/cgroup/kubepods.slice${podB}/pids.max`;
    host.fs.seed(file, 'max\n');
    host.fs.seed(`/sys/fs/cgroup/kubepods.slice${podA}/pids.max`, 'max\n');
    const write = host.fs.write.bind(host.fs);
    host.fs.write = async (path, content, mode) => {
      if (path.startsWith(`/sys/fs/cgroup/kubepods.slice${podA}`)) throw new Error('EBUSY');
      return write(path, content, mode);
    };
    await cgroupsOf(host).sweep();
    expect([await read(`${podB}/pids.max`), warnings.length]).toEqual(['100', 1]);
  });

  test('memory QoS keeps what is requested, at every level above the containers', async () => {
    const memoryQos = { throttlingFactor: undefined, isReserved: true, allocatableBytes: () => 2 ** 30 };
    const cgroups = cgroupsOf(host, { rules: { ...RULES, memoryQos } });
    await cgroups.apply(GUARANTEED);
    await cgroups.apply(BURSTABLE);
    const kept = async (path = '') => [await read(`${path}/memory.min`), await read(`${path}/memory.low`)];
    const amount = String(64 * MIB);
    expect([await kept(podA), await kept(podB), await kept(B), await kept()]).toEqual([
      [amount, '0'],
      ['0', amount],
      ['0', amount],
      [amount, amount],
    ]);
  });

  test('huge pages are limited for the pod as a whole', async () => {
    const resources = { limits: { ...AMOUNTS, 'hugepages-2Mi': '4Mi' } };
    const pod = podWith({ containers: [container('app', { resources })] }, { uid: uid('a') });
    await cgroupsOf(host, { rules: { ...RULES, hugePageSizes: ['2MB', '1GB'] } }).apply(pod);
    expect([await read(`${podA}/hugetlb.2MB.max`), await read(`${podA}/hugetlb.1GB.max`)]).toEqual([
      String(4 * MIB),
      '0',
    ]);
  });

  test('a controller that is not handed down to a group is left out', async () => {
    host.fs.seed('/sys/fs/cgroup/kubepods.slice/cgroup.subtree_control', 'cpu memory\n');
    const pod = { ...GUARANTEED, metadata: { ...GUARANTEED.metadata, uid: uid('d') } };
    const path = `/sys/fs/cgroup${podCgroupPath(pod, SYSTEMD)}`;
    await host.fs.makeDirectory(path);
    await cgroupsOf(host).apply(pod);
    expect(warnings).toEqual([]);
    expect(await host.fs.readText(`${path}/cpu.weight`)).toBe('20\n');
    expect(await host.fs.info(`${path}/pids.max`)).toBeUndefined();
  });

  test('tells how many processes a pod has, and how much memory all pods have left', async () => {
    expect(await readPodProcesses(host, podCgroupPath(BURSTABLE, SYSTEMD))).toBe(7);
    expect(await readPodsMemory(host, SYSTEMD)).toBeUndefined();
    await cgroupsOf(host).apply(GUARANTEED);
    // 320 MiB, of which the kernel would give back 100 MiB of files at once.
    expect(await readPodsMemory(host, SYSTEMD)).toEqual({ available: 2 ** 30 - 220 * MIB, capacity: 2 ** 30 });
  });

  test('the slice of a pod is stopped with systemd', async () => {
    await cgroupsOf(host).remove(BURSTABLE);
    expect(host.exec.calls.map(({ argv }) => argv.join(' '))).toEqual([
      'systemctl stop kubepods-burstable-pod0a1b2c3d_0000_4000_8000_00000000000b.slice',
    ]);
    await removeAllPodCgroups(host, SYSTEMD);
    expect(host.exec.calls.at(-1)?.argv.join(' ')).toBe('systemctl stop kubepods.slice');
  });
});

describe('on the recorded tree of Raspberry Pi OS, without the memory cgroup', () => {
  test('limits of memory are left out, everything else holds', async () => {
    const host = await recordedHost('raspberry-pi-os');
    expect((await host.cgroups()).controllers).toEqual(['cpuset', 'cpu', 'io', 'pids']);
    const cgroups = cgroupsOf(host, { settings: CGROUPFS, rules: { ...RULES, hasMemoryLimits: false } });
    await cgroups.apply(GUARANTEED);
    await cgroups.sweep();
    expect(warnings).toEqual([]);
    const pod = `/sys/fs/cgroup${podCgroupPath(GUARANTEED, CGROUPFS)}`;
    expect(await host.fs.readText(`${pod}/cpu.max`)).toBe('50000 100000\n');
    expect(await host.fs.readText(`${pod}/pids.max`)).toBe('100\n');
    expect(host.fs.written.filter((line) => line.includes('memory'))).toEqual([]);
    await cgroups.remove(GUARANTEED);
    expect(await host.fs.info(pod)).toBeUndefined();
    expect(await host.fs.info('/sys/fs/cgroup/kubepods')).toBeDefined();
    expect(host.exec.calls).toEqual([]);
  });
});

test('a hybrid host counts as version 1, with the controllers that are in its trees', async () => {
  const { version, controllers } = await (await recordedHost('hybrid')).cgroups();
  expect(version).toBe(1);
  expect(controllers).toEqual(['cpuset', 'cpu', 'cpuacct', 'blkio', 'memory', 'devices', 'freezer', 'pids']);
});

describe('version 1', () => {
  const POD = podCgroupPath(GUARANTEED, CGROUPFS);
  const NEW = {
    'cpu/cpu.shares': '1024',
    'cpu/cpu.cfs_period_us': '100000',
    'cpu/cpu.cfs_quota_us': '-1',
    'memory/memory.limit_in_bytes': '9223372036854771712',
    'pids/pids.max': 'max',
  };
  const hostWith = (...groups: readonly string[]) => {
    const host = new FakeHost();
    host.cgroupVersion = 1;
    for (const group of groups)
      for (const [file, content] of Object.entries(NEW)) {
        const [controller, name] = file.split('/');
        host.fs.seed(`/sys/fs/cgroup/${controller}${group}/${name}`, `${content}\n`);
      }
    return host;
  };

  test('the cgroup of a pod gets the limits of all its containers', async () => {
    const host = hostWith(POD, '/kubepods');
    await cgroupsOf(host, { settings: CGROUPFS }).apply(GUARANTEED);
    const read = (path: string) => host.fs.readText(`/sys/fs/cgroup${path}`);
    expect(await read(`/cpu${POD}/cpu.shares`)).toBe('512');
    expect(await read(`/cpu${POD}/cpu.cfs_quota_us`)).toBe('50000');
    expect(await read(`/pids${POD}/pids.max`)).toBe('100');
    expect(await read(`/memory${POD}/memory.limit_in_bytes`)).toBe(String(64 * MIB));
    expect(await read('/memory/kubepods/memory.limit_in_bytes')).toBe(String(2 ** 30));
    // No limit any more: what the kernel shows for that is not what is written.
    const relaxed = cgroupsOf(host, { settings: CGROUPFS, allPods: { milliCpu: 4000, memoryBytes: 0 } });
    await relaxed.sweep();
    expect(await read('/memory/kubepods/memory.limit_in_bytes')).toBe('-1');
    host.fs.seed('/sys/fs/cgroup/memory/kubepods/memory.limit_in_bytes', '9223372036854771712\n');
    await relaxed.sweep();
    expect(await read('/memory/kubepods/memory.limit_in_bytes')).toBe('9223372036854771712\n');
  });

  test('a pod that starts or ends beside others has nothing read above it, also where a class has no group', async () => {
    const pods = ['a', 'c'].map((letter) => podWith({ containers: [container('app')] }, { uid: uid(letter) }));
    const [first, second] = pods as [Pod, Pod];
    const [pathA, pathC] = [podCgroupPath(first, CGROUPFS), podCgroupPath(second, CGROUPFS)];
    const host = hostWith(pathA, pathC, '/kubepods', '/kubepods/besteffort');
    const cgroups = cgroupsOf(host, { settings: CGROUPFS, pods: () => pods });
    await cgroups.apply(first);
    expect(await host.fs.readText('/sys/fs/cgroup/cpu/kubepods/besteffort/cpu.shares')).toBe('2');
    const readText = host.fs.readText.bind(host.fs);
    const read: string[] = [];
    host.fs.readText = (path) => {
      read.push(path);
      return readText(path);
    };
    await cgroups.apply(second);
    await cgroups.remove(first);
    await cgroups.apply(second);
    expect(read.filter((path) => !path.includes(pathC))).toEqual([]);
  });

  test('what the host has of cgroups is asked once in a sweep, and again where it could not be told', async () => {
    const host = hostWith(POD, '/kubepods');
    const told = host.cgroups.bind(host);
    let asked = 0;
    let isReadable = false;
    host.cgroups = async () => {
      asked++;
      if (!isReadable) throw new Error('EMFILE');
      return told();
    };
    const cgroups = cgroupsOf(host, { settings: CGROUPFS });
    await cgroups.apply(GUARANTEED);
    expect([asked, warnings.length]).toEqual([1, 1]);
    isReadable = true;
    await cgroups.apply(GUARANTEED);
    await cgroups.apply(GUARANTEED);
    expect([asked, await host.fs.readText(`/sys/fs/cgroup/cpu${POD}/cpu.shares`)]).toEqual([2, '512']);
    await cgroups.sweep();
    expect(asked).toBe(3);
  });

  test('the group of a class is set with its first pod, though all else was said before', async () => {
    const [first, second] = [GUARANTEED, podWith({ containers: [container('app')] }, { uid: uid('c') })];
    let pods: readonly Pod[] = [first];
    const host = hostWith(POD, '/kubepods');
    const cgroups = cgroupsOf(host, { settings: CGROUPFS, pods: () => pods });
    await cgroups.apply(first);
    const shares = '/sys/fs/cgroup/cpu/kubepods/besteffort/cpu.shares';
    host.fs.seed(shares, '1024\n');
    pods = [first, second];
    await cgroups.apply(second);
    expect(await host.fs.readText(shares)).toBe('2');
  });

  test('a pod that has no group yet holds none of its class', async () => {
    const pods = ['a', 'c'].map((letter) => podWith({ containers: [container('app')] }, { uid: uid(letter) }));
    const [first, second] = pods as [Pod, Pod];
    const host = hostWith(podCgroupPath(first, CGROUPFS), '/kubepods', '/kubepods/besteffort');
    const cgroups = cgroupsOf(host, { settings: CGROUPFS, pods: () => pods });
    await cgroups.apply(first);
    await cgroups.remove(first);
    const shares = '/sys/fs/cgroup/cpu/kubepods/besteffort/cpu.shares';
    host.fs.seed(shares, '1024\n');
    await cgroups.apply(second);
    expect(await host.fs.readText(shares)).toBe('2');
  });

  test('its empty cgroups are removed without a program', async () => {
    const host = new FakeHost();
    host.cgroupVersion = 1;
    await host.fs.makeDirectory(`/sys/fs/cgroup/cpu${POD}/container`);
    await cgroupsOf(host, { settings: CGROUPFS }).remove(GUARANTEED);
    expect(await host.fs.info(`/sys/fs/cgroup/cpu${POD}`)).toBeUndefined();
    expect(await host.fs.info('/sys/fs/cgroup/cpu/kubepods')).toBeDefined();
    expect(host.exec.calls).toEqual([]);
  });
});
