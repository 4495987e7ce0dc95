import type { IVolume } from 'kubernetes-models/v1/Volume';
import { expect, test } from 'vitest';
import type { PersistentVolume, PersistentVolumeClaim, Pod } from '#api/object/kinds.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { ExecError } from '../../host/host.ts';
import { PodPaths } from '../config/pod-paths.ts';
import { uidOf } from '../pod-spec.ts';
import { container, podWith } from '../testing/pod-fixtures.ts';
import { memorySizeBytes } from './empty-dir.ts';
import { VolumeManager, type VolumeManagerOptions } from './volume-manager.ts';

const POD = '/var/lib/kubelet/pods/uid-1';
const GIB = 2 ** 30;
const nothing = { release: () => undefined, forgetPod: () => undefined };
const csi = { setUp: () => Promise.reject(new Error('unused')), tearDown: async () => undefined };

/** A manager whose only claim, `data`, is bound to a volume with this spec. */
function setUp(volumeSpec: object = {}) {
  const host = new FakeHost();
  const folder = (uid: string) => `/run/coracle/pods/${uid}`;
  const remove = (uid: string) => host.fs.remove(folder(uid));
  const volatile = { filesOf: () => host.memory, folder, take: () => undefined, remove };
  const claim = { metadata: { uid: 'c' }, spec: { volumeName: 'pv' }, status: { phase: 'Bound' } };
  const volume = { metadata: { name: 'pv' }, spec: { claimRef: { uid: 'c' }, ...volumeSpec } };
  const create = () =>
    new VolumeManager({
      ...{ host, volatile, clock: new FakeClock(), random: () => 0.5, log: silentLogger },
      paths: new PodPaths({ kubelet: '/var/lib/kubelet', podLogs: '/l', containerLogs: '/c' }),
      configMaps: nothing as unknown as VolumeManagerOptions['configMaps'],
      secrets: nothing as unknown as VolumeManagerOptions['secrets'],
      tokens: {
        ...nothing,
        token: async () => ({ token: 't', refreshAtMs: 1 }),
      } as unknown as VolumeManagerOptions['tokens'],
      claims: {
        claim: async () => claim as unknown as PersistentVolumeClaim,
        persistentVolume: async () => volume as unknown as PersistentVolume,
      },
      ...{ csi, csiBlock: csi, pullImage: async () => 'image' },
      allocatable: () => ({ cpu: 4, memory: 8 * GIB, 'ephemeral-storage': 1 }),
    });
  return { host, create };
}

const claimed = (readOnly = false): IVolume => ({ name: 'v', persistentVolumeClaim: { claimName: 'data', readOnly } });
const podOf = (volume: IVolume, more: Partial<NonNullable<Pod['spec']>> = {}) =>
  podWith({ volumes: [volume], ...more });
const prepared = async (manager: VolumeManager, pod: Pod) => (await manager.refresh(pod)).volumes.get('v');

test.each([false, true])(
  'a claim on a folder of the host is as its pod asks for it (readOnly: %s)',
  async (readOnly) => {
    const { create } = setUp({ hostPath: { path: '/d' } });
    expect(await prepared(create(), podOf(claimed(readOnly)))).toEqual({ hostPath: '/d', readOnly });
  },
);

test('what cannot be mounted is told by the name of the PersistentVolume', async () => {
  const missing = setUp({ hostPath: { path: '/d', type: 'Socket' } });
  await expect(missing.create().refresh(podOf(claimed()))).rejects.toThrow(
    'MountVolume.SetUp failed for volume "pv" : hostPath type check failed: /d is not a socket file',
  );
  const block = setUp({ volumeMode: 'Block', local: { path: '/dev/none' } });
  await expect(block.create().refresh(podOf(claimed()))).rejects.toThrow(
    'MapVolume.SetUpDevice failed for volume "pv" : /dev/none is not a block device',
  );
});

type HostType = NonNullable<NonNullable<IVolume['hostPath']>['type']>;
const HOST: readonly (readonly [type: HostType, good: string, bad: string, what: string])[] = [
  ['Directory', '/h/dir', '/h/file', 'a directory'],
  ['DirectoryOrCreate', '/h/new', '/h/file', 'a directory'],
  ['File', '/h/file', '/h/dir', 'a file'],
  ['FileOrCreate', '/h/new', '/h/dir', 'a file'],
  ['Socket', '/h/socket', '/h/file', 'a socket file'],
  ['CharDevice', '/h/char', '/h/block', 'a character device'],
  ['BlockDevice', '/h/block', '/h/char', 'a block device'],
];
test.each(HOST)('a host path of type %s is what it says', async (type, good, bad, what) => {
  const { host, create } = setUp();
  await host.fs.makeDirectory('/h/dir');
  host.fs.seed('/h/file', '');
  for (const kind of ['socket', 'char', 'block'] as const) host.fs.seedDevice(`/h/${kind}`, kind);
  const at = (path: string) => podOf({ name: 'v', hostPath: { path, type } });
  expect(await prepared(create(), at(good))).toEqual({ hostPath: good, readOnly: false });
  await expect(create().refresh(at(bad))).rejects.toThrow(`hostPath type check failed: ${bad} is not ${what}`);
  const isMade = type.endsWith('OrCreate');
  const missing = create().refresh(at('/h/missing'));
  await (isMade ? missing : expect(missing).rejects.toThrow(`/h/missing is not ${what}`));
  expect((await host.fs.info('/h/missing'))?.type).toBe(
    isMade ? type.replace('OrCreate', '').toLowerCase() : undefined,
  );
});

test('an export of NFS is mounted under its name, with its options, in a scope of its own', async () => {
  const nfs = { server: 'fd00::1', path: '/e' };
  const { host, create } = setUp({ nfs, mountOptions: ['nfsvers=4.2'] });
  const path = `${POD}/volumes/kubernetes.io~nfs/pv`;
  expect(await prepared(create(), podOf(claimed(true)))).toEqual({ hostPath: path, readOnly: true });
  await create().refresh(podOf(claimed(true)));
  expect(host.mounts.requests).toEqual([
    { fsType: 'nfs', source: '[fd00::1]:/e', path, options: ['nfsvers=4.2', 'ro'], timeoutMs: 120_000, inScope: true },
  ]);
});

test('a host that cannot mount NFS is told what it lacks', async () => {
  const { host, create } = setUp();
  host.exec.missing.add('mount.nfs');
  await expect(create().refresh(podOf({ name: 'v', nfs: { server: 's', path: '/e' } }))).rejects.toThrow(
    'MountVolume.SetUp failed for volume "v" : this host has no mount.nfs: install the NFS client of its distribution (nfs-common)',
  );
});

const local = { local: { path: '/disks/a' } };
const group = { securityContext: { fsGroup: 7, fsGroupChangePolicy: 'OnRootMismatch' as const } };

test('a local folder is given to the group of each pod once, and to none that only reads', async () => {
  const { host, create } = setUp(local);
  await host.fs.makeDirectory('/disks/a');
  expect(await prepared(create(), podOf(claimed(true), group))).toEqual({ hostPath: '/disks/a', readOnly: true });
  expect((await host.fs.info('/disks/a'))?.gid).toBe(0);
  await create().refresh(podOf(claimed(), group));
  expect((await host.fs.info('/disks/a'))?.gid).toBe(7);
  await host.fs.chown('/disks/a', 0, 8);
  await create().refresh(podOf(claimed(), group));
  expect((await host.fs.info('/disks/a'))?.gid).toBe(8);
});

test('a local folder with mount options is mounted for its pod', async () => {
  const { host, create } = setUp({ ...local, mountOptions: ['noexec'] });
  await host.fs.makeDirectory('/disks/a');
  const path = `${POD}/volumes/kubernetes.io~local-volume/pv`;
  expect((await prepared(create(), podOf(claimed())))?.hostPath).toBe(path);
  expect(host.mounts.requests).toEqual([{ fsType: 'none', source: '/disks/a', path, options: ['bind', 'noexec'] }]);
});

test.each([
  ['an empty device', new ExecError(['blkid'], 2, ''), ['mkfs.xfs', '-f', '/dev/sdx']],
  ['a device with something on it', 'TYPE=ext4\n', ['fsck', '-M', '-a', '/dev/sdx']],
])('%s becomes a volume', async (_name, answer, made) => {
  const { host, create } = setUp({ local: { path: '/dev/sdx', fsType: 'xfs' } });
  host.fs.seedDevice('/dev/sdx', 'block');
  host.exec.respond((argv) => (argv[0] === 'blkid' ? answer : undefined));
  const path = `${POD}/volumes/kubernetes.io~local-volume/pv`;
  expect((await prepared(create(), podOf(claimed())))?.hostPath).toBe(path);
  expect(host.exec.calls.map(({ argv }) => argv).filter(([program]) => program !== 'blkid')).toEqual([made]);
  expect(host.mounts.requests).toEqual([{ fsType: 'xfs', source: '/dev/sdx', path, options: [] }]);
});

test('a device of which nobody can say what is on it is left alone', async () => {
  const { host, create } = setUp({ local: { path: '/dev/sdx' } });
  host.fs.seedDevice('/dev/sdx', 'block');
  host.exec.respond((argv) => (argv[0] === 'blkid' ? new ExecError(['blkid'], 8, 'ambivalent') : undefined));
  await expect(create().refresh(podOf(claimed()))).rejects.toThrow('ambivalent');
  expect(host.exec.calls.map(({ argv: [program] }) => program)).toEqual(['blkid']);
});

test('an empty device is formatted once for two pods, and not at all for one that only reads', async () => {
  const { host, create } = setUp({ local: { path: '/dev/sdx' } });
  host.fs.seedDevice('/dev/sdx', 'block');
  let isEmpty = true;
  host.exec.respond(([program]) => {
    if (program === 'mkfs.ext4') isEmpty = false;
    if (program !== 'blkid') return undefined;
    return isEmpty ? new ExecError(['blkid'], 2, '') : 'TYPE=ext4\n';
  });
  const manager = create();
  await expect(manager.refresh(podOf(claimed(true)))).rejects.toThrow(
    'MountVolume.MountDevice failed for volume "pv" : local: failed to mount device /dev/sdx at /var/lib/kubelet/pods/uid-1/volumes/kubernetes.io~local-volume/pv (fstype: ext4), error cannot mount unformatted disk /dev/sdx as we are manipulating it in read-only mode',
  );
  const other = podWith({ volumes: [claimed()] }, { uid: 'uid-2' });
  await Promise.all([manager.refresh(podOf(claimed())), manager.refresh(other)]);
  expect(host.exec.calls.filter(({ argv: [program] }) => program === 'mkfs.ext4')).toHaveLength(1);
  expect(host.mounts.requests).toHaveLength(2);
});

test('an emptyDir whose making was interrupted is made in full', async () => {
  const { host, create } = setUp();
  const path = `${POD}/volumes/kubernetes.io~empty-dir/v`;
  const pod = podOf({ name: 'v', emptyDir: {} }, group);
  await host.fs.makeDirectory(`${path}.new`, 0o700);
  await create().refresh(pod);
  expect(await host.fs.info(path)).toMatchObject({ mode: 0o2777, gid: 7 });
  await host.fs.chmod(path, 0o700);
  await create().refresh(pod);
  expect(await host.fs.info(path)).toMatchObject({ mode: 0o700 });
});

test('an emptyDir in memory is the group’s and empty again after a reboot', async () => {
  const { host, create } = setUp();
  const pod = podOf({ name: 'v', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } }, group);
  await create().refresh(pod);
  await create().refresh(pod);
  expect(host.mounts.tmpfsRequests).toHaveLength(1);
  host.mounts.points.splice(0);
  await create().refresh(pod);
  const path = `${POD}/volumes/kubernetes.io~empty-dir/v`;
  expect(host.mounts.tmpfsRequests[1]).toEqual([path, { mode: 0o2777, gid: 7, sizeBytes: 2 ** 20 }]);
});

const limited = (memory: string) => container('a', { resources: { limits: { memory } } });
test.each<readonly [string, Partial<NonNullable<Pod['spec']>>, string | undefined, number]>([
  ['the node', {}, undefined, 8 * GIB],
  ['its own limit', {}, '1Gi', GIB],
  ['the limit of its pod', { containers: [limited('1Gi'), limited('1Gi')] }, '4Gi', 2 * GIB],
  ['the node where a container has no limit', { containers: [limited('1Gi'), container('b')] }, undefined, 8 * GIB],
  ['the limit of the pod as a whole', { resources: { limits: { memory: '3Gi' } } }, undefined, 3 * GIB],
])('memory for an emptyDir is bounded by %s', (_name, spec, sizeLimit, expected) => {
  expect(memorySizeBytes(podWith(spec), sizeLimit, 8 * GIB)).toBe(expected);
});

test.each<readonly [string, Partial<NonNullable<Pod['spec']>>, { readonly mode: number; readonly uid: number }]>([
  ['of root', {}, { mode: 0o644, uid: 0 }],
  ['of one user', { securityContext: { runAsUser: 5 } }, { mode: 0o600, uid: 5 }],
  [
    'of several users',
    {
      securityContext: { runAsUser: 5 },
      containers: [container('a'), container('b', { securityContext: { runAsUser: 6 } })],
    },
    { mode: 0o644, uid: 0 },
  ],
  ['of a group', { securityContext: { fsGroup: 7 } }, { mode: 0o640, uid: 0 }],
])('the token of a pod %s can be read by its containers', async (_name, spec, expected) => {
  const { host, create } = setUp();
  const sources = [{ serviceAccountToken: { path: 'token' } }];
  await create().refresh(podOf({ name: 'v', projected: { sources } }, spec));
  const folder = '/run/coracle/pods/uid-1/kubernetes.io~projected/v';
  const version = await host.fs.readLink(`${folder}/..data`);
  const info = await host.fs.info(`${folder}/${version}/token`);
  expect({ mode: (info?.mode ?? 0) & 0o666, uid: info?.uid }).toEqual(expected);
});

test.each(['clusterTrustBundle', 'podCertificate'])(
  'a projection that Kubernetes has not on by default (%s) is refused',
  async (source) => {
    const { create } = setUp();
    await expect(
      create().refresh(podOf({ name: 'v', projected: { sources: [{ [source]: { path: 'ca' } }] } })),
    ).rejects.toThrow(`MountVolume.SetUp failed for volume "v" : projected volume source ${source} is not supported`);
  },
);

test('what is still being made when its pod ends is taken down with the rest', async () => {
  const { host, create } = setUp();
  const manager = create();
  const { promise, resolve } = Promise.withResolvers<void>();
  const makeDirectory = host.fs.makeDirectory.bind(host.fs);
  host.fs.makeDirectory = async (...args) => {
    await promise;
    return makeDirectory(...args);
  };
  const pod = podOf({ name: 'v', emptyDir: {} });
  const prepared = manager.prepare(pod);
  const down = manager.tearDown(uidOf(pod));
  resolve();
  await Promise.all([prepared, down]);
  expect([host.fs.paths(`${POD}/volumes`), manager.isPrepared(uidOf(pod))]).toEqual([[], false]);
});

test('take-down goes by what stands on the host: nothing of the pod need be known', async () => {
  const { host, create } = setUp();
  const mounted = [
    `${POD}/volumes/kubernetes.io~nfs/pv`,
    `${POD}/volumes/kubernetes.io~empty-dir/v`,
    `${POD}/volumes/kubernetes.io~empty-dir/v`,
    `${POD}/volume-subpaths/v/app/0`,
    '/var/lib/kubelet/pods/uid-10/volumes/kubernetes.io~nfs/pv',
  ];
  for (const path of mounted) await host.mounts.mountTmpfs(path, {});
  host.fs.seed(`${POD}/volumes/kubernetes.io~configmap/a/b`, '');
  await create().tearDown(uidOf(podWith()));
  expect(host.mounts.points.map(({ path }) => path)).toEqual(mounted.slice(-1));
  expect(host.fs.paths(`${POD}/volumes`)).toEqual([]);
});
