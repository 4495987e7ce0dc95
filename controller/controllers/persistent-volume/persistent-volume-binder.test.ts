import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type PersistentVolume, type PersistentVolumeClaim, resources } from '#api/object/kinds.ts';
import { createControllerHarness } from '#test/kit/controller-harness.ts';
import { BindingWriter } from './binding-writer.ts';
import { NoticeBoard } from './notice-board.ts';
import { startPersistentVolumeBinder } from './persistent-volume-binder.ts';
import { VolumeReclaimer, type VolumeReclaimerOptions } from './reclaimer.ts';

const ANNOTATION = 'pv.kubernetes.io/bind-completed';
const OURS = 'pv.kubernetes.io/bound-by-controller';

describe('persistentvolume-binder', () => {
  let harness: ReturnType<typeof createControllerHarness>;
  let removed: string[];

  const volumes = () => harness.client.resource<PersistentVolume>(resources.persistentVolumes);
  const claims = () => harness.client.resource<PersistentVolumeClaim>(resources.persistentVolumeClaims);
  const volume = (name: string) => volumes().fetch(name);
  const claim = (name: string) => claims().fetch(name, 'n');
  const addVolume = (name: string, spec: object = {}, metadata: object = {}) =>
    volumes().create({
      metadata: { name, ...metadata },
      spec: {
        capacity: { storage: '1Gi' },
        accessModes: ['ReadWriteOnce'],
        hostPath: { path: `/tmp/${name}` },
        ...spec,
      },
      status: { phase: 'Pending' },
    });
  const addClaim = (name: string, spec: object = {}, metadata: object = {}) =>
    claims().create({
      metadata: { name, namespace: 'n', ...metadata },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...spec },
      status: { phase: 'Pending' },
    });
  const addClass = (name: string, more: object = {}, annotations: Record<string, string> = {}) =>
    harness.client.resource(resources.storageClasses).create({ metadata: { name, annotations }, ...more } as never);
  const LATE = { provisioner: 'kubernetes.io/no-provisioner', volumeBindingMode: 'WaitForFirstConsumer' };
  const MADE = { provisioner: 'disk.test', volumeBindingMode: 'Immediate' };
  /** `Reason: message` of what was told about an object. */
  const told = (name: string) =>
    [...harness.cluster.objectsOf(resources.events).values()]
      .filter((event) => (event.involvedObject as { name: string }).name === name)
      .map((event) => `${event.reason}: ${event.message}`);
  const start = () => harness.start(startPersistentVolumeBinder);

  beforeEach(() => {
    removed = [];
    harness = createControllerHarness({
      removeFolder: async (path) => {
        removed.push(path);
      },
    });
  });
  afterEach(() => harness.stop());

  it('binds a claim to the least volume that suffices, and says so on both', async () => {
    await Promise.all([addVolume('large', { capacity: { storage: '5Gi' } }), addVolume('fits')]);
    await addClaim('c');
    await start();
    const [bound, own, free] = await Promise.all([volume('fits'), claim('c'), volume('large')]);
    expect([bound.status?.phase, free.status?.phase]).toEqual(['Bound', 'Available']);
    expect(bound.spec?.claimRef).toMatchObject({ namespace: 'n', name: 'c', uid: own.metadata.uid });
    expect(bound.metadata.annotations).toEqual({ [OURS]: 'yes' });
    expect(own.spec?.volumeName).toBe('fits');
    expect(own.metadata.annotations).toEqual({ [ANNOTATION]: 'yes', [OURS]: 'yes' });
    expect(own.status).toEqual({ phase: 'Bound', accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' } });
    const { revision } = harness.cluster;
    await harness.settle();
    expect(harness.cluster.revision).toBe(revision);
  });

  it('keeps nothing of what it told once the object is gone', async () => {
    const forgotten = vi.spyOn(NoticeBoard.prototype, 'forget');
    await Promise.all([addVolume('v', { claimRef: { namespace: 'n', name: 'other', uid: 'x' } }), addClaim('c')]);
    await start();
    await volumes().delete({ name: 'v' });
    await claims().delete({ name: 'c', namespace: 'n' });
    await harness.settle();
    expect(forgotten.mock.calls.map(([key]) => key).sort()).toEqual(['n/c', 'v']);
    forgotten.mockRestore();
  });

  it('gives a volume to one of many claims', async () => {
    await Promise.all(['a', 'b', 'c'].map((name) => addClaim(name)));
    await addVolume('v');
    await start();
    const all = await Promise.all(['a', 'b', 'c'].map(claim));
    expect(all.filter(({ status }) => status?.phase === 'Bound')).toHaveLength(1);
  });

  it.each<[string, number]>([
    ['after the volume was claimed', 1],
    ['after the volume was called bound', 2],
    ['after the claim was given its volume', 3],
  ])('goes on where it was killed: %s', async (_, writes) => {
    await addVolume('v', {}, {});
    await addClaim('c');
    await start();
    // What a run leaves behind that ends after so many writes: the rest undone.
    let left = await claim('c');
    if (writes < 4) left = await claims().update({ ...left, status: { phase: 'Pending' } }, 'status');
    if (writes < 3)
      await claims().update({
        ...left,
        metadata: { ...left.metadata, annotations: {} },
        spec: { ...left.spec, volumeName: '' },
      });
    if (writes < 2) await volumes().update({ ...(await volume('v')), status: { phase: 'Available' } }, 'status');
    await harness.settle();
    expect([(await claim('c')).status?.phase, (await volume('v')).status?.phase]).toEqual(['Bound', 'Bound']);
  });

  it.each<[string, () => Promise<unknown>, string]>([
    [
      'nothing suits',
      () => addClaim('c'),
      'FailedBinding: no persistent volumes available for this claim and no storage class is set',
    ],
    [
      'its first pod is not there yet',
      () =>
        Promise.all([
          addClass('late', LATE),
          addVolume('v', { storageClassName: 'late' }),
          addClaim('c', { storageClassName: 'late' }),
        ]),
      'WaitForFirstConsumer: waiting for first consumer to be created before binding',
    ],
    [
      'its first pod has no node yet',
      async () => {
        await addClass('late', LATE);
        const spec = { containers: [], volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'c' } }] };
        await harness.client
          .resource(resources.pods)
          .create({ metadata: { name: 'p', namespace: 'n' }, spec } as never);
        await addClaim('c', { storageClassName: 'late' });
      },
      'WaitForPodScheduled: waiting for pod p to be scheduled',
    ],
    [
      'its class is not there',
      () => addClaim('c', { storageClassName: 'x' }),
      'ProvisioningFailed: storageclass.storage.k8s.io "x" not found',
    ],
    [
      'nobody makes volumes of its class',
      () =>
        Promise.all([
          addClass('hand', { ...LATE, volumeBindingMode: 'Immediate' }),
          addClaim('c', { storageClassName: 'hand' }),
        ]),
      'ProvisioningFailed: no volume plugin matched name: kubernetes.io/no-provisioner',
    ],
    [
      'the volume it names is too small',
      () => Promise.all([addVolume('v', { capacity: { storage: '1Mi' } }), addClaim('c', { volumeName: 'v' })]),
      'VolumeMismatch: Cannot bind to requested volume "v": requested PV is too small',
    ],
    [
      'the volume it names is another claim’s',
      () =>
        Promise.all([
          addVolume('v', { claimRef: { namespace: 'n', name: 'd', uid: 'u' } }),
          addClaim('c', { volumeName: 'v' }),
        ]),
      'FailedBinding: volume "v" already bound to a different claim.',
    ],
  ])('a claim stays pending and says why: %s', async (_, prepare, expected) => {
    await prepare();
    await start();
    expect(told('c')).toEqual([expected]);
    expect((await claim('c')).status?.phase).toBe('Pending');
  });

  it('asks whoever makes volumes of the class, and binds what was made', async () => {
    await addClass('made', MADE);
    const { metadata } = await addClaim('c', { storageClassName: 'made' });
    await start();
    const waiting = await claim('c');
    expect(waiting.metadata.annotations).toEqual({
      'volume.kubernetes.io/storage-provisioner': 'disk.test',
      'volume.beta.kubernetes.io/storage-provisioner': 'disk.test',
    });
    expect(told('c')).toEqual([expect.stringContaining("by the external provisioner 'disk.test' or manually")]);
    await addVolume('pvc-1', {
      storageClassName: 'made',
      claimRef: { namespace: 'n', name: 'c', uid: metadata.uid },
      csi: { driver: 'disk.test', volumeHandle: '1' },
    });
    await harness.settle();
    expect((await claim('c')).spec?.volumeName).toBe('pvc-1');
  });

  it('leaves the choice to the scheduler where a claim waits for its first pod, and completes it', async () => {
    await addClass('late', LATE);
    await addVolume('v', { storageClassName: 'late' });
    const { metadata } = await addClaim('c', { storageClassName: 'late' });
    await start();
    expect((await claim('c')).status?.phase).toBe('Pending');
    const chosen = await volume('v');
    const claimRef = { namespace: 'n', name: 'c', uid: metadata.uid };
    await volumes().update({ ...chosen, spec: { ...chosen.spec, claimRef } } as PersistentVolume);
    await harness.settle();
    expect((await claim('c')).status?.phase).toBe('Bound');
  });

  it('gives a claim without a class the default one, even when that comes later', async () => {
    await addClaim('c');
    await start();
    await addClass('first', MADE, { 'storageclass.kubernetes.io/is-default-class': 'true' });
    await harness.settle();
    expect((await claim('c')).spec?.storageClassName).toBe('first');
  });

  it('a claim whose volume is gone is lost', async () => {
    await addVolume('v');
    await addClaim('c');
    await start();
    await volumes().delete({ name: 'v' });
    await harness.settle();
    expect((await claim('c')).status).toEqual({ phase: 'Lost' });
    expect(told('c')).toEqual(['ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!']);
  });

  it.each<[string, object, object, string, string[], string[]]>([
    ['Retain', {}, {}, 'Released', [], []],
    ['Delete', { persistentVolumeReclaimPolicy: 'Delete' }, {}, 'gone', ['/tmp/v'], []],
    [
      'Delete, and nobody deletes such volumes',
      { persistentVolumeReclaimPolicy: 'Delete', hostPath: undefined, local: { path: '/data' } },
      {},
      'Failed',
      [],
      ['VolumeFailedDelete: error getting deleter volume plugin for volume "v": no deletable volume plugin matched'],
    ],
    [
      'Delete, of a folder that is not ours to delete',
      { persistentVolumeReclaimPolicy: 'Delete', hostPath: { path: '/tmp/../etc' } },
      {},
      'Failed',
      [],
      ['VolumeFailedDelete: host_path deleter only supports /tmp/.+ but received provided /tmp/../etc'],
    ],
    ...['/tmp/.', '/tmp/./', '/tmp//', '/tmp/./v'].map((path): [string, object, object, string, string[], string[]] => [
      `Delete, of what is no folder below /tmp: ${path}`,
      { persistentVolumeReclaimPolicy: 'Delete', hostPath: { path } },
      {},
      'Failed',
      [],
      [`VolumeFailedDelete: host_path deleter only supports /tmp/.+ but received provided ${path}`],
    ]),
    [
      'Delete, and its provisioner does so',
      { persistentVolumeReclaimPolicy: 'Delete' },
      { annotations: { 'pv.kubernetes.io/provisioned-by': 'disk.test' } },
      'Released',
      [],
      [],
    ],
    [
      'Recycle',
      { persistentVolumeReclaimPolicy: 'Recycle' },
      {},
      'Failed',
      [],
      ['VolumeFailedRecycle: No recycler plugin found for the volume!'],
    ],
  ])('a volume whose claim is gone, policy %s', async (_, spec, metadata, phase, folders, events) => {
    await addVolume('v', spec, metadata);
    await addClaim('c');
    await start();
    await claims().delete({ name: 'c', namespace: 'n' });
    await harness.settle();
    const left = harness.cluster.objectsOf(resources.persistentVolumes).get('v' as never);
    expect((left?.status as { phase?: string } | undefined)?.phase ?? 'gone').toBe(phase);
    expect([removed, told('v')]).toEqual([folders, events]);
    // A claim of the same name gets none of the old one's data.
    await addClaim('c');
    await harness.settle();
    expect((await claim('c')).status?.phase).toBe('Pending');
  });

  it.each<[string, (volume: PersistentVolume) => Promise<unknown>]>([
    [
      'is to be kept',
      (old) => volumes().update({ ...old, spec: { ...old.spec, persistentVolumeReclaimPolicy: 'Retain' } } as never),
    ],
    [
      'is another claim’s',
      (old) =>
        volumes().update({ ...old, spec: { ...old.spec, claimRef: { namespace: 'n', name: 'd', uid: 'd' } } } as never),
    ],
    ['is gone', () => volumes().delete({ name: 'v' })],
    [
      'is another of its name',
      async (old) => {
        await volumes().delete({ name: 'v' });
        await addVolume('v', old.spec);
      },
    ],
  ])('a folder stays whose volume, by the word of the API, %s', async (_, change) => {
    const claimRef = { namespace: 'n', name: 'c', uid: 'u' };
    await addVolume('v', { persistentVolumeReclaimPolicy: 'Delete', claimRef });
    const late = await volumes().update(
      { ...(await volume('v')), status: { phase: 'Failed', message: 'EBUSY' } },
      'status',
    );
    await change(late);
    const { context } = harness;
    const queue = { addAfter: () => {} } as unknown as VolumeReclaimerOptions['queue'];
    await new VolumeReclaimer({ context, writer: new BindingWriter(context.client), queue }).release(late);
    expect(removed).toEqual([]);
  });

  it('a folder that cannot be removed is tried again', async () => {
    let isBusy = true;
    harness = createControllerHarness({
      removeFolder: async () => {
        if (isBusy) throw new Error('EBUSY');
      },
    });
    await addVolume('v', { persistentVolumeReclaimPolicy: 'Delete' });
    await addClaim('c');
    await start();
    await claims().delete({ name: 'c', namespace: 'n' });
    await harness.settle();
    expect((await volume('v')).status).toMatchObject({ phase: 'Failed', message: 'EBUSY' });
    isBusy = false;
    await harness.advance(120_000);
    expect(harness.cluster.objectsOf(resources.persistentVolumes).size).toBe(0);
  });

  it('a volume that a person kept for a claim waits for it again', async () => {
    await addVolume('v', { claimRef: { namespace: 'n', name: 'c' } });
    await addVolume('w', { claimRef: { namespace: 'n', name: 'c' } });
    await addClaim('c', { volumeName: 'v' });
    await start();
    expect((await claim('c')).spec?.volumeName).toBe('v');
    expect([(await volume('v')).status?.phase, (await volume('w')).status?.phase]).toEqual(['Bound', 'Available']);
  });
});
