import { afterEach, describe, expect, test } from 'vitest';
import { type Pod, resources, type Secret } from '#api/object/kinds.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { ExecError } from '../../host/host.ts';
import type { PodUid } from '../pod-spec.ts';
import { KubeletRig } from '../testing/kubelet-rig.ts';
import { VolatileMemory } from './volatile-memory.ts';
import type { VolumeFile } from './volume-kind.ts';

const FOLDER = '/run/coracle/pods';
const MEMORY = `${FOLDER}/memory`;
const MIB = 2 ** 20;

/** A node of 64 MiB, 32 of them for such files: 16 for all, and 4 for each of 4 pods. */
async function open(host: FakeHost, swapBytes = 0) {
  const told: string[] = [];
  const log = { ...silentLogger, warn: (message: string) => void told.push(message) };
  const node = { memoryBytes: 64 * MIB, swapBytes, maxPods: 4 };
  const memory = await VolatileMemory.open({ host, directory: FOLDER, ...node, log });
  return { memory, told };
}

const uid = (name: string) => name as PodUid;
const files = (...sizes: number[]) =>
  new Map(
    sizes.map((size, index): [string, VolumeFile] => [`f${index}`, { content: Buffer.alloc(size), mode: 0o600 }]),
  );

test('is mounted once in a boot, with a bound, for root alone', async () => {
  const host = new FakeHost();
  for (let start = 0; start < 3; start++) await open(host);
  expect(host.mounts.tmpfsRequests).toEqual([[MEMORY, { mode: 0o750, sizeBytes: 32 * MIB }]]);
});

test.each([
  ['with swap, on a kernel that cannot keep it out of it', 1, false, true],
  ['with swap, on one that can', 1, true, false],
  ['without swap', 0, false, false],
])('on a node %s', async (_name, swapBytes, knowsNoSwap, maySwap) => {
  const host = new FakeHost();
  host.mounts.knowsNoSwap = knowsNoSwap;
  for (const start of ['first', 'second']) {
    const { memory, told } = await open(host, swapBytes);
    expect([start, memory.maySwap, told.length]).toEqual([start, maySwap, maySwap ? 1 : 0]);
  }
});

test('a host that lets us mount nothing has its pods all the same, and files of theirs are not hidden later', async () => {
  const host = new FakeHost();
  const { mounts } = host;
  const { mountTmpfs } = mounts;
  mounts.mountTmpfs = () => Promise.reject(new ExecError(['mount'], 32, 'permission denied'));
  const { memory, told } = await open(host);
  expect(told).toEqual(['Secrets and tokens of pods have no memory of their own']);
  expect(memory.filesOf(uid('a'))).toBe(host.fs);
  host.fs.seed(`${memory.folder(uid('a'))}/file`, 'x');
  mounts.mountTmpfs = mountTmpfs;
  await open(host);
  expect(mounts.points).toEqual([]);
  await memory.remove(uid('a'));
  expect((await open(host)).memory.filesOf(uid('a'))).toBe(host.memory);
  expect(mounts.points.map(({ path }) => path)).toEqual([MEMORY]);
});

describe('the memory of a pod', () => {
  test.each<readonly [string, number, string | undefined]>([
    ['is its own share', 2 * MIB, undefined],
    ['may be all that is common too', 10 * MIB, undefined],
    [
      'is no more than that',
      10 * MIB + 1,
      'the files of this pod would take 20.0 MiB of memory, and 20.0 MiB are left',
    ],
  ])('%s', async (_name, size, refusal) => {
    const { memory } = await open(new FakeHost());
    const taking = () => memory.take(uid('greedy'), 'v', files(size));
    if (refusal === undefined) taking();
    else expect(taking).toThrow(refusal);
    // Whatever it got, the others have their shares.
    for (const other of ['a', 'b', 'c']) memory.take(uid(other), 'v', files(2 * MIB));
    if (refusal === undefined && size > 4 * MIB)
      expect(() => memory.take(uid('a'), 'w', files(1))).toThrow('left to it');
  });

  test('counts what is there instead of what was there, until the pod has gone', async () => {
    const { memory } = await open(new FakeHost());
    for (let version = 0; version < 100; version++) memory.take(uid('a'), 'v', files(8 * MIB));
    expect(() => memory.take(uid('b'), 'v', files(8 * MIB))).toThrow('left to it');
    await memory.remove(uid('a'));
    memory.take(uid('b'), 'v', files(8 * MIB));
  });

  test('counts small files as what they take', async () => {
    const { memory } = await open(new FakeHost());
    const many = files(...Array.from({ length: 1000 }, () => 1));
    expect(() => memory.take(uid('a'), 'v', many)).toThrow('31.3 MiB');
  });
});

describe('on a node', () => {
  let rig: KubeletRig;
  afterEach(() => rig.stop());
  const spec = { volumes: [{ name: 'keys', secret: { secretName: 'keys' } }] };
  const secrets = () => rig.client.resource<Secret>(resources.secrets);
  const start = async () => {
    await rig.start();
    await secrets().create({ metadata: { name: 'keys', namespace: 'default' }, data: { b: 'MQ==' } });
  };
  const read = (folder: string, pod: Pod) =>
    rig.host.fs.readText(`${folder}/${pod.metadata.uid}/kubernetes.io~secret/keys/b`);

  test('whose agent is replaced by this one, pods that run see their Secrets change where they have them', async () => {
    rig = new KubeletRig();
    await start();
    const old = await rig.createPod(spec);
    const place = `${old.metadata.uid}/kubernetes.io~secret/keys`;
    await rig.restart(async () => {
      // As the agent before left it.
      const { fs, mounts } = rig.host;
      mounts.points.splice(0);
      await fs.makeDirectory(`${FOLDER}/${old.metadata.uid}/kubernetes.io~secret`);
      await fs.rename(`${MEMORY}/${place}`, `${FOLDER}/${place}`);
      await fs.remove(MEMORY);
    });
    const fresh = await rig.createPod(spec, 'fresh');
    await secrets().patch({ name: 'keys', namespace: 'default', type: 'merge', patch: { data: { b: 'Mg==' } } });
    await rig.advance(1000);
    expect([await read(FOLDER, old), await read(MEMORY, fresh)]).toEqual(['2', '2']);
    expect(rig.host.mounts.points.map(({ path }) => path)).toEqual([MEMORY]);
    for (const name of ['web', 'fresh'])
      await rig.client.resource<Pod>(resources.pods).delete({ name, namespace: 'default', gracePeriodSeconds: 1 });
    await rig.advance(10_000);
    expect([await rig.host.fs.list(FOLDER), await rig.host.fs.list(MEMORY)]).toEqual([['memory'], []]);
  });

  test('with swap and an old kernel, a condition says so until that is over', async () => {
    rig = new KubeletRig();
    const { host } = rig;
    host.mounts.knowsNoSwap = false;
    host.factsValue = { ...host.factsValue, swapBytes: 1 };
    await start();
    expect(rig.nodeCondition('SecretsMaySwap')).toMatchObject({ status: 'True', reason: 'MemoryVolumesMaySwap' });
    await rig.restart(() => {
      host.factsValue = { ...host.factsValue, swapBytes: 0 };
    });
    expect(rig.nodeCondition('SecretsMaySwap')).toMatchObject({ status: 'False', reason: 'MemoryVolumesStay' });
  });
});
