import { expect, test } from 'vitest';
import type { PersistentVolumeClaim } from '#api/object/kinds.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { uidOf } from '../../pod-spec.ts';
import { podWith } from '../../testing/pod-fixtures.ts';
import { type Growth, growthPatch } from '../persistent-claims.ts';
import { CsiBlockVolumes } from './csi-block-volumes.ts';
import { CsiCalls } from './csi-calls.ts';
import type { CsiDriver } from './csi-driver.ts';
import { type CsiVolume, stagingFolder } from './csi-volume.ts';
import { CsiVolumes } from './csi-volumes.ts';
import { KeyLock } from './key-lock.ts';
import { readVolumesInUse } from './volumes-in-use.ts';

const ROOT = '/var/lib/kubelet';
const volume: CsiVolume = {
  ...{ specName: 'pv', driver: 'd.test', handle: 'h', lifecycle: 'Persistent', isBlock: false, fsType: '' },
  ...{ readOnly: false, attributes: {}, accessModes: ['ReadWriteOnce'], mountOptions: [], secrets: {} },
};

function setUp() {
  const host = new FakeHost();
  const asked: string[] = [];
  const told: string[] = [];
  const patches: object[] = [];
  /** gRPC codes of failures, by call. */
  const codes: Record<string, number> = {};
  let failing: string | undefined;
  const call =
    (name: string, effect: (target: string) => Promise<void> = async () => undefined) =>
    async (request: { target_path?: string }) => {
      asked.push(name);
      if (failing === name) throw Object.assign(new Error(`${name} failed`), { code: codes[name] });
      await effect(request.target_path ?? '');
    };
  const driver = {
    name: 'd.test',
    node: { nodeId: 'n', maxVolumes: 0, topology: {} },
    capabilities: new Set(['STAGE_UNSTAGE_VOLUME', 'EXPAND_VOLUME']),
    expand: call('expand'),
    stage: call('stage'),
    unstage: call('unstage'),
    publish: call('publish', (target) => host.mounts.bind('x', target)),
    unpublish: call('unpublish', (target) => host.mounts.unmount(target)),
  } as unknown as CsiDriver;
  let registered: CsiDriver | undefined = driver;
  let changed: () => void = () => undefined;
  const drivers = {
    find: () => registered,
    list: () => (registered === undefined ? [] : [registered]),
    onChange: (listener: () => void) => {
      changed = listener;
    },
  };
  /** As an agent that starts: nothing is known but what stands on the host. */
  const create = (attachment?: object) => {
    const attachRequired = attachment !== undefined;
    const reads = {
      csiDriver: async () => ({ spec: { attachRequired } }),
      attachment: async () => attachment,
      noteGrowth: async (claim: PersistentVolumeClaim, growth: Growth) =>
        void patches.push(growthPatch(claim.status, growth)),
    };
    const events = {
      pod: (...[, type, reason, message]: string[]) => told.push(`${type} ${reason} ${message}`),
      claim: () => undefined,
    };
    const calls = new CsiCalls({
      ...{ nodeName: 'node-1', drivers, reads: reads as never, events: events as never, clock: new FakeClock() },
      secret: async () => undefined,
      token: async () => ({ token: '', refreshAtMs: 0 }),
    });
    const common = { host, root: ROOT, nodeName: 'node-1', drivers, calls, locks: new KeyLock() };
    const tellInUse = async (name: string) => {
      expect(await readVolumesInUse(host.fs, ROOT)).toContain(name);
      await call('tell')({});
    };
    const options = { ...common, tellInUse, clock: new FakeClock(), log: silentLogger };
    return Object.assign(new CsiVolumes(options), { block: new CsiBlockVolumes(options) });
  };
  return {
    ...{ host, asked, told, patches, codes, create },
    fail: (name: string | undefined) => {
      failing = name;
    },
    register: (isThere: boolean) => {
      registered = isThere ? driver : undefined;
      changed();
    },
  };
}

const turns = async () => {
  for (let turn = 0; turn < 50; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
};
const staged = stagingFolder(ROOT, volume);

test('what failed half-way is taken back without its objects', async () => {
  const { host, asked, create, fail } = setUp();
  const pod = podWith();
  fail('publish');
  await expect(create().setUp(pod, volume)).rejects.toThrow('publish failed');
  fail(undefined);
  await create().tearDown(uidOf(pod));
  expect(asked).toEqual(['stage', 'publish', 'unpublish', 'unstage']);
  expect(host.fs.paths(`${ROOT}/pods/${uidOf(pod)}/volumes/kubernetes.io~csi`).slice(1)).toEqual([]);
  expect(await host.fs.info(staged)).toBeUndefined();
});

const ATTACHED = { metadata: { name: 'a' }, status: { attached: true } };

test('no driver is asked before the API knows that an attached volume is in use; what was told holds while the API is away', async () => {
  const { asked, create, fail, register } = setUp();
  fail('tell');
  await expect(create(ATTACHED).setUp(podWith(), volume)).rejects.toThrow('tell failed');
  expect(asked).toEqual(['tell']);
  fail('publish');
  await expect(create(ATTACHED).setUp(podWith(), volume)).rejects.toThrow('publish failed');
  fail('tell');
  register(true);
  await create(ATTACHED).setUp(podWith(), volume);
  expect(asked).toEqual(['tell', 'tell', 'stage', 'publish', 'stage', 'publish']);
});

test('nor for a raw block volume', async () => {
  const { asked, create, fail } = setUp();
  const device = { ...volume, isBlock: true };
  fail('tell');
  await expect(create(ATTACHED).block.setUp(podWith(), device)).rejects.toThrow('tell failed');
  expect(asked).toEqual(['tell']);
  fail(undefined);
  await create(ATTACHED).block.setUp(podWith(), device);
  expect(asked).toEqual(['tell', 'tell', 'stage', 'publish']);
});

test('a volume that is mounted is left alone', async () => {
  const { asked, create } = setUp();
  const volumes = create();
  await volumes.setUp(podWith(), volume);
  await volumes.setUp(podWith(), volume);
  await create().setUp(podWith(), volume);
  expect(asked).toEqual(['stage', 'publish']);
});

test('while its driver is away a volume stays as it is', async () => {
  const { asked, create, register, host } = setUp();
  const volumes = create();
  await volumes.setUp(podWith(), volume);
  register(false);
  await expect(volumes.tearDown(uidOf(podWith()))).rejects.toThrow('not found in the list of registered CSI drivers');
  expect(asked).toEqual(['stage', 'publish']);
  expect(await host.fs.info(`${staged}/vol_data.json`)).toBeDefined();
  register(true);
  await volumes.tearDown(uidOf(podWith()));
  expect(asked).toEqual(['stage', 'publish', 'unpublish', 'unstage']);
});

test('what was staged for pods that have gone is unstaged once its driver is there', async () => {
  const { asked, create, register, host, fail } = setUp();
  fail('unstage');
  const before = create();
  await before.setUp(podWith(), volume);
  await expect(before.tearDown(uidOf(podWith()))).rejects.toThrow('unstage failed');
  fail(undefined);
  create();
  register(true);
  await turns();
  expect(asked.at(-1)).toBe('unstage');
  expect(await host.fs.info(staged)).toBeUndefined();
});

test('a volume that was mounted when the agent was killed gets its group from the next one, once', async () => {
  const { host, create } = setUp();
  const pod = podWith({ securityContext: { fsGroup: 7 } });
  const grouped = { ...volume, fsType: 'ext4' };
  const target = `${ROOT}/pods/${uidOf(pod)}/volumes/kubernetes.io~csi/pv/mount`;
  await host.fs.makeDirectory(target);
  const { giveToGroup } = host.fs;
  host.fs.giveToGroup = async () => {
    throw new Error('killed');
  };
  await expect(create().setUp(pod, grouped)).rejects.toThrow('killed');
  host.fs.giveToGroup = giveToGroup;
  await create().setUp(pod, grouped);
  expect((await host.fs.info(target))?.gid).toBe(7);
  await host.fs.chown(target, 0, 8);
  await create().setUp(pod, grouped);
  expect((await host.fs.info(target))?.gid).toBe(8);
});

const claimIn = (allocatedResourceStatuses: object | undefined) => ({
  metadata: { name: 'data' },
  status: {
    capacity: { storage: '1Gi' },
    allocatedResourceStatuses,
    conditions: [{ type: 'FileSystemResizePending' }],
  },
});
const growing = (state?: string): CsiVolume => {
  const claim = claimIn(state === undefined ? undefined : { storage: state }) as unknown as PersistentVolumeClaim;
  return { ...volume, growTo: { bytes: 2 ** 31, claim, quantity: '2Gi' } };
};
const SUCCEEDED = 'Normal FileSystemResizeSuccessful MountVolume.NodeExpandVolume succeeded for volume "pv" node-1';
const NOW = expect.any(String);

test.each<readonly [string, string | undefined, number | undefined, readonly object[]]>([
  ['of an old resizer', undefined, undefined, [{ capacity: { storage: '2Gi' }, conditions: [] }]],
  [
    'that waits for its node',
    'NodeResizePending',
    undefined,
    [
      { allocatedResourceStatuses: { storage: 'NodeResizeInProgress' } },
      { capacity: { storage: '2Gi' }, conditions: [], allocatedResourceStatuses: { storage: null } },
    ],
  ],
  [
    'that fails',
    'NodeResizeInProgress',
    13,
    [
      {
        conditions: [
          { type: 'FileSystemResizePending' },
          {
            ...{ type: 'NodeResizeError', status: 'True', lastTransitionTime: NOW },
            message: 'MountVolume.NodeExpandVolume failed for volume "pv" : expand failed',
          },
        ],
      },
    ],
  ],
  [
    'that cannot be done',
    'NodeResizeInProgress',
    11,
    [{ conditions: expect.any(Array), allocatedResourceStatuses: { storage: 'NodeResizeInfeasible' } }],
  ],
])('a claim %s is told how its volume grows', async (_name, state, code, expected) => {
  const { create, told, patches, codes, fail } = setUp();
  await create().setUp(podWith(), volume);
  if (code !== undefined) {
    codes.expand = code;
    fail('expand');
  }
  // It is in use: that it does not grow does not take it away.
  await create().setUp(podWith(), growing(state));
  expect(patches).toEqual(expected);
  expect(told).toEqual([
    code === undefined
      ? SUCCEEDED
      : 'Warning VolumeResizeFailed MountVolume.NodeExpandVolume failed for volume "pv" : expand failed',
  ]);
});

test('a volume that does not grow is not given to a new pod', async () => {
  const { create, fail } = setUp();
  fail('expand');
  await expect(create().setUp(podWith(), growing())).rejects.toThrow('expand failed');
});

test('a raw block volume in use is looked at again, and stays in use with the size that it has', async () => {
  const { host, create, fail, asked } = setUp();
  const device = { ...growing(), isBlock: true };
  fail('expand');
  await expect(create().block.setUp(podWith(), device)).rejects.toThrow('expand failed');
  // As its driver makes it.
  host.fs.seed(`${ROOT}/plugins/kubernetes.io/csi/volumeDevices/publish/pv/${uidOf(podWith())}`, '');
  expect(await create().block.setUp(podWith(), device)).toMatchObject({
    isBlock: true,
    refreshAtMs: expect.any(Number),
  });
  expect(asked.filter((name) => name === 'publish')).toHaveLength(1);
});
