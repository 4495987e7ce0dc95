import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Event, Node, Pod } from '#api/object/kinds.ts';
import { startCluster, type TestCluster } from '#test/kit/cluster.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { kernelLacks } from '#test/kit/kernel-probes.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`e2e isolation skipped: ${problem}`);

const lacks = kernelLacks('e2e isolation');

type PodSpec = NonNullable<Pod['spec']>;
type Container = PodSpec['containers'][number];

const WAIT_MS = 60_000;
const MIB = 2 ** 20;
const DISK_MIB = 128;
const BY_ID = '/dev/serial/by-id';
const SERIAL = `usb-Coracle_e2e_${process.pid}-if00`;
const nodeOf = (index: number) => `/dev/corE2E${process.pid}n${index}`;
const SERIAL_RESOURCE = 'coracle.dev/serial';
const PATH_RESOURCE = 'coracle.dev/by-path';

/** One of the host's character devices under a name of its own: no container may open it unless it was given it. */
const makeDevice = (path: string) => execFileSync('mknod', [path, 'c', '10', '237']);
const canMakeDevices = existsSync('/dev/loop-control');

const sh = (command: string): Partial<Container> => ({ command: ['sh', '-c', command] });
const sleep = sh('exec sleep 6000');

describe.skipIf(problem !== undefined)('a node gives pods what they ask for, and no more', () => {
  let cluster: TestCluster;
  /** The node's disk for pods: small, so that it can be filled. */
  let disk: string;
  const ok = (...args: string[]) => cluster.kubectlOk(args);
  const pod = (name: string, container: Partial<Container>, spec: Partial<PodSpec> = {}) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'main', image: BUSYBOX_IMAGE, ...container }],
      ...spec,
    },
  });
  const apply = (...items: readonly object[]) =>
    cluster.kubectlOk(['apply', '-f', '-'], { stdin: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
  const ready = (...names: string[]) =>
    ok('wait', '--for=condition=Ready', ...names.map((name) => `pod/${name}`), '--timeout=150s');
  const inside = async (name: string, script: string) => (await ok('exec', name, '--', 'sh', '-c', script)).trim();
  const podNow = async (name: string) => JSON.parse(await ok('get', 'pod', name, '-o', 'json')) as Pod;
  const nodeNow = async () => JSON.parse(await ok('get', 'node', 'node-0', '-o', 'json')) as Node;
  const condition = async (type: string) => (await nodeNow()).status?.conditions?.find((one) => one.type === type);
  const ended = (name: string) =>
    waitUntil(`the end of ${name}`, WAIT_MS, async () => {
      const { status } = await podNow(name);
      return status?.phase === 'Failed' ? status : undefined;
    });

  beforeAll(async () => {
    disk = await mkdtemp('/tmp/coracle-isolation-disk-');
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m,mode=0755`, 'tmpfs', disk]);
    await mkdir(join(disk, 'kubelet', 'seccomp', 'profiles'), { recursive: true });
    const rules = [{ names: ['chmod', 'fchmod', 'fchmodat', 'fchmodat2'], action: 'SCMP_ACT_ERRNO' }];
    await writeFile(
      join(disk, 'kubelet', 'seccomp', 'profiles', 'no-chmod.json'),
      JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: rules }),
    );
    if (canMakeDevices) {
      for (const index of [0, 1, 2]) makeDevice(nodeOf(index));
      await mkdir(BY_ID, { recursive: true });
      await symlink(`../..${nodeOf(0).slice('/dev'.length)}`, join(BY_ID, SERIAL));
    }
    cluster = await startCluster({
      name: 'isol',
      nodes: 1,
      agentFlags: [
        `--kubelet-dir=${disk}/kubelet`,
        '--swap-behavior=LimitedSwap',
        '--reserved-cpu=100m',
        '--reserved-memory=64Mi',
        '--eviction-hard=memory.available<100Mi,nodefs.available<40%',
        '--eviction-minimum-reclaim=nodefs.available=1Mi',
        '--eviction-pressure-transition-period=3s',
        '--allowed-unsafe-sysctls=kernel.msg*',
        `--devices=${SERIAL_RESOURCE}=serial:${SERIAL},${PATH_RESOURCE}=path:${nodeOf(2)}`,
      ],
    });
    await apply(...PODS.map(({ name, container, spec }) => pod(name, container, spec)));
  }, 240_000);
  afterAll(async () => {
    await cluster?.destroy();
    for (const index of [0, 1, 2]) await rm(nodeOf(index), { force: true });
    await rm(join(BY_ID, SERIAL), { force: true });
    if (disk === undefined) return;
    execFileSync('umount', ['-l', disk]);
    await rm(disk, { recursive: true });
  });

  const AMOUNTS = { cpu: '100m', memory: '32Mi' };
  const sysctls = (...pairs: readonly (readonly [string, string])[]) => ({
    securityContext: { sysctls: pairs.map(([name, value]) => ({ name, value })) },
  });
  /** Made together: each costs a second or two by itself. */
  const PODS: readonly { name: string; container: Partial<Container>; spec?: Partial<PodSpec> }[] = [
    { name: 'guaranteed', container: { ...sleep, resources: { limits: AMOUNTS } } },
    { name: 'burstable', container: { ...sleep, resources: { requests: AMOUNTS } } },
    { name: 'besteffort', container: sleep },
    {
      name: 'confined',
      container: {
        ...sleep,
        securityContext: {
          readOnlyRootFilesystem: true,
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'], add: ['NET_BIND_SERVICE'] },
          seccompProfile: { type: 'RuntimeDefault' },
        },
        volumeMounts: [{ name: 'data', mountPath: '/data' }],
      },
      spec: {
        volumes: [{ name: 'data', emptyDir: {} }],
        securityContext: {
          runAsUser: 1000,
          runAsGroup: 2000,
          runAsNonRoot: true,
          fsGroup: 3000,
          supplementalGroups: [4000],
          sysctls: [
            { name: 'net.ipv4.ip_unprivileged_port_start', value: '0' },
            { name: 'kernel.msgmax', value: '4242' },
          ],
        },
      },
    },
    { name: 'privileged', container: { ...sleep, securityContext: { privileged: true } } },
    {
      name: 'own-profile',
      container: {
        ...sleep,
        securityContext: { seccompProfile: { type: 'Localhost', localhostProfile: 'profiles/no-chmod.json' } },
      },
    },
    {
      name: 'no-profile',
      container: {
        ...sleep,
        securityContext: { seccompProfile: { type: 'Localhost', localhostProfile: 'none.json' } },
      },
    },
    { name: 'unsafe-sysctl', container: sleep, spec: sysctls(['kernel.sem', '1']) },
    {
      name: 'apparmor',
      container: { ...sleep, securityContext: { appArmorProfile: { type: 'RuntimeDefault' } } },
    },
    ...(canMakeDevices
      ? [
          {
            name: 'serial',
            container: { ...sleep, resources: { limits: { [SERIAL_RESOURCE]: '1', [PATH_RESOURCE]: '1' } } },
          },
        ]
      : []),
  ];

  it('keeps back what is reserved, and what eviction keeps free', async () => {
    const { capacity = {}, allocatable = {} } = (await nodeNow()).status ?? {};
    const kib = (amount: unknown) => Number(String(amount).replace('Ki', ''));
    expect(kib(capacity.memory) - kib(allocatable.memory)).toBe((64 + 100) * 1024);
    expect(allocatable.cpu).toBe(`${Number(capacity.cpu) * 1000 - 100}m`);
    expect(Number(allocatable['ephemeral-storage'])).toBe(DISK_MIB * MIB - Math.floor(DISK_MIB * MIB * 0.4));
  });

  it('groups pods by their class, with shares, limits and scores', async () => {
    await ready('guaranteed', 'burstable', 'besteffort');
    const facts = async (name: string) => {
      const { metadata, status } = await podNow(name);
      const group = await groupOf(metadata.uid);
      const [main] = await processesOf(join(group.folder('pids'), containerIdOf(status)));
      return {
        class: [status?.qosClass, group.path.replace(metadata.uid, '')],
        shares: await readNumber(
          group.version === 2 ? `${group.folder('')}/cpu.weight` : `${group.folder('cpu')}/cpu.shares`,
        ),
        pids: await readNumber(`${group.folder('pids')}/pids.max`),
        score: await readNumber(`/proc/${main}/oom_score_adj`),
      };
    };
    const [guaranteed, burstable, bestEffort] = [
      await facts('guaranteed'),
      await facts('burstable'),
      await facts('besteffort'),
    ];
    expect(guaranteed).toMatchObject({ class: ['Guaranteed', '/kubepods/pod'], pids: 16_384 });
    expect(burstable).toMatchObject({ class: ['Burstable', '/kubepods/burstable/pod'], pids: 16_384 });
    expect(bestEffort).toMatchObject({ class: ['BestEffort', '/kubepods/besteffort/pod'], pids: 16_384, score: 1000 });
    expect(guaranteed.shares).toBe(burstable.shares);
    expect(burstable.shares).toBeGreaterThan(bestEffort.shares);
    // Burstable: by its share of the node's memory. Guaranteed: -997, where that is allowed at all.
    expect(burstable.score).toBeGreaterThan(900);
    expect(burstable.score).toBeLessThan(1000);
    expect(guaranteed.score).toBe(canLowerScores() ? -997 : 0);
  });

  it('confines a container as its security context says', async () => {
    await ready('confined');
    const said = await inside(
      'confined',
      `id -u; id -g; echo $(id -G | tr ' ' '\\n' | sort -n)
       touch /x 2>&1 | grep -o 'Read-only file system'
       touch /data/x && stat -c %g /data/x
       echo $(grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status | cut -f2)
       cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax`,
    );
    // Who is not root has no effective capabilities, whatever was added.
    expect(said.split('\n')).toEqual([
      ...['1000', '2000', '2000 3000 4000', 'Read-only file system', '3000'],
      ...['0000000000000000 1 2', '0', '4242'],
    ]);
    expect(await inside('confined', 'grep CapBnd /proc/self/status | cut -f2')).toBe('0000000000000400');
  });

  it('lets a privileged container do what root may, and a profile of the node refuse what it says', async () => {
    await ready('privileged', 'own-profile');
    const open = await inside(
      'privileged',
      "echo $(grep -E '^(CapBnd|Seccomp):' /proc/self/status | cut -f2); ls /dev | wc -l; grep -c 'cgroup.*rw,' /proc/mounts",
    );
    const [rights, devices] = open.split('\n');
    expect(rights).toBe(`${statusOf('self', 'CapBnd')} 0`);
    expect(Number(devices)).toBeGreaterThan(20);
    const { stderr } = await cluster.kubectl(['exec', 'own-profile', '--', 'chmod', '700', '/tmp']);
    expect(stderr).toContain('Operation not permitted');
    await waitUntil('the profile that is not there', WAIT_MS, async () => {
      const [status] = (await podNow('no-profile')).status?.containerStatuses ?? [];
      return (
        status?.state?.waiting?.reason === 'CreateContainerError' && status.state.waiting.message?.includes('none.json')
      );
    });
  });

  it('refuses pods that it could only run less confined than they ask', async () => {
    expect(await ended('unsafe-sysctl')).toMatchObject({
      reason: 'SysctlForbidden',
      message: 'Pod was rejected: forbidden sysctl: "kernel.sem" not allowlisted',
    });
    if (lacks.AppArmor === undefined) return;
    expect(await ended('apparmor')).toMatchObject({
      reason: 'AppArmor',
      message: 'Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host',
    });
  });

  it.skipIf(lacks.AppArmor !== undefined)('confines a container with the profile of AppArmor', async () => {
    await ready('apparmor');
    expect(await inside('apparmor', 'cat /proc/1/attr/current')).toMatch(/\(enforce\)$/);
  });

  it.skipIf(lacks.SELinux !== undefined)('labels a container for SELinux', async () => {
    await apply(pod('labelled', { ...sleep, securityContext: { seLinuxOptions: { level: 's0:c123,c456' } } }));
    await ready('labelled');
    expect(await inside('labelled', 'cat /proc/1/attr/current')).toContain('s0:c123,c456');
  });

  it.skipIf(lacks['cgroup v2'] !== undefined)('ends all processes of a container together', async () => {
    await ready('burstable');
    expect(await inside('burstable', 'cat /sys/fs/cgroup/memory.oom.group')).toBe('1');
  });

  it.skipIf(lacks['swap on cgroup v2'] !== undefined)('lets a Burstable container alone swap', async () => {
    await ready('burstable', 'guaranteed');
    const limit = async (name: string) => Number(await inside(name, 'cat /sys/fs/cgroup/memory.swap.max'));
    expect(await limit('burstable')).toBeGreaterThan(0);
    expect(await limit('guaranteed')).toBe(0);
  });

  it.skipIf(!canMakeDevices)(
    'gives devices of the host by name alone, and again when they are plugged in anew',
    async () => {
      await ready('serial', 'burstable');
      expect((await nodeNow()).status?.allocatable).toMatchObject({ [SERIAL_RESOURCE]: '1', [PATH_RESOURCE]: '1' });
      const opens = (name: string, path: string) => inside(name, `(: <>${path}) 2>&1 && echo yes || true`);
      expect(await opens('serial', nodeOf(0))).toBe('yes');
      expect(await opens('serial', nodeOf(2))).toBe('yes');
      expect(await inside('serial', 'grep CapEff /proc/self/status | cut -f2')).toBe('00000000a80425fb');
      // Making the node is not enough: the right to open it is what was given.
      expect(await inside('burstable', `mknod /tmp/dev c 10 237 && (: <>/tmp/dev) 2>&1 || true`)).toContain(
        'Operation not permitted',
      );
      await rm(join(BY_ID, SERIAL));
      await waitUntil(
        'the device to be missed',
        WAIT_MS,
        async () => (await nodeNow()).status?.capacity?.[SERIAL_RESOURCE] === '0',
      );
      await symlink(`../..${nodeOf(1).slice('/dev'.length)}`, join(BY_ID, SERIAL));
      await waitUntil('the container with the new node', WAIT_MS, async () => {
        const [status] = (await podNow('serial')).status?.containerStatuses ?? [];
        return status?.restartCount === 1 && status.ready === true;
      });
      expect(await opens('serial', nodeOf(1))).toBe('yes');
    },
  );

  it('keeps logs where log shippers look for them', async () => {
    const links = join(cluster.folder, 'n0', 'container-logs');
    const { metadata, status } = await podNow('guaranteed');
    const link = `guaranteed_default_main-${containerIdOf(status)}.log`;
    expect(await readdir(links)).toContain(link);
    const target = join(cluster.folder, 'n0', 'pod-logs', `default_guaranteed_${metadata.uid}`, 'main', '0.log');
    expect(await readlink(join(links, link))).toBe(target);
  });

  it('ends the pod that fills the disk, says so, and is well again afterwards', async () => {
    const volumes = [{ name: 'v', emptyDir: {} }];
    const volumeMounts = [{ name: 'v', mountPath: '/v' }];
    const fill = (mib: number) => sh(`dd if=/dev/zero of=/v/big bs=1M count=${mib} 2>/dev/null; exec sleep 6000`);
    await apply(pod('modest', { ...fill(4), volumeMounts }, { volumes }));
    await ready('modest');
    await apply(pod('filler', { ...fill(90), volumeMounts }, { volumes, priority: 0 }));
    const status = await ended('filler');
    expect(status.reason).toBe('Evicted');
    expect(status.message).toMatch(
      /^The node was low on resource: ephemeral-storage\. Threshold quantity: 53687091, available: \d+Ki\. /,
    );
    expect(status.conditions?.find(({ type }) => type === 'DisruptionTarget')?.reason).toBe('TerminationByKubelet');
    const list = JSON.parse(
      await ok('get', 'events', '-A', '-o', 'json', '--field-selector=reason=EvictionThresholdMet'),
    ) as { items: Event[] };
    expect(list.items[0]?.message).toBe('Attempting to reclaim ephemeral-storage');
    await waitUntil(
      'the node to be well again',
      WAIT_MS,
      async () => (await condition('DiskPressure'))?.status === 'False',
    );
    expect((await podNow('modest')).status?.phase).toBe('Running');
    expect((await podNow('guaranteed')).status?.phase).toBe('Running');
  });
});

const containerIdOf = (status: Pod['status']) => status?.containerStatuses?.[0]?.containerID?.split('://')[1] ?? '';

interface Group {
  readonly version: 1 | 2;
  /** Below the root of a hierarchy. */
  readonly path: string;
  folder(controller: string): string;
}

/** Where the cgroup of a pod is, whatever the hierarchy. */
async function groupOf(uid: string): Promise<Group> {
  const root = '/sys/fs/cgroup';
  const version = existsSync(`${root}/cgroup.controllers`) ? 2 : 1;
  const base = version === 2 ? root : `${root}/pids`;
  const names = ['', '/burstable', '/besteffort'].map((middle) => `/kubepods${middle}/pod${uid}`);
  const path = names.find((name) => existsSync(`${base}${name}`));
  if (path === undefined) throw new Error(`no cgroup of pod ${uid} in ${base}`);
  return { version, path, folder: (controller) => (version === 2 ? `${root}${path}` : `${root}/${controller}${path}`) };
}

const processesOf = async (folder: string) => (await readFile(`${folder}/cgroup.procs`, 'utf8')).trim().split('\n');
const readNumber = async (path: string) => Number((await readFile(path, 'utf8')).trim());

const statusOf = (pid: string, key: string) =>
  new RegExp(`^${key}:\\s*(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];

const CAP_SYS_RESOURCE = 24n;
/** Without it nobody makes a process safer from the kernel than it was, and the containers run all the same. */
const canLowerScores = () => ((BigInt(`0x${statusOf('self', 'CapEff')}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;
