import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createInformerFactory } from '#api/client/informer-factory.ts';
import { type PersistentVolume, type PersistentVolumeClaim, resources } from '#api/object/kinds.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { claimBoundTo } from '#api/storage/match-volume.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { MemoryCluster } from '#test/kit/memory-client.ts';
import type { Reservation } from '../framework/plugin.ts';
import { makeCluster, podInfo } from '../testing/builders.ts';
import { makeClaim, makeClass, makeVolume, onlyAt } from '../testing/storage-builders.ts';
import { createVolumeReserve } from './reserve-volumes.ts';
import { createStorageCaches } from './storage-caches.ts';

const POD = podInfo({ spec: { volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'x' } }] } });

describe('the volumes of a pod that was given a node', () => {
  let clock: FakeClock;
  let cluster: MemoryCluster;
  let stop: AbortController;
  let storage: ReturnType<typeof createStorageCaches>;
  const volumes = () => cluster.client().resource<PersistentVolume>(resources.persistentVolumes);
  const claims = () => cluster.client().resource<PersistentVolumeClaim>(resources.persistentVolumeClaims);
  const add = (info: (typeof resources)[keyof typeof resources], object: object) =>
    cluster.commit(info, 'ADDED', object as KubeObject);

  const settle = async () => {
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  };

  /** Asks for the volumes on node a, with what the API holds by now. */
  async function reserve(): Promise<Reservation> {
    const client = cluster.client();
    const factory = createInformerFactory({ client, clock, log: silentLogger, random: () => 0, freeze: true });
    storage = createStorageCaches(factory);
    storage.watch(() => {});
    factory.start(stop.signal);
    await factory.waitForSync();
    const { view } = makeCluster({ nodes: [{ name: 'a' }] });
    const plugin = createVolumeReserve({ client, clock, ...storage });
    return plugin.reserve(POD, view.node('a')!, { ...view, volumes: storage.cache })!;
  }

  /** The end of the promise: '' or why it was not kept. */
  async function endOf(promise: Promise<void>): Promise<string> {
    return promise.then(
      () => '',
      (err: unknown) => (err as Error).message.replace('running PreBind plugin "VolumeBinding": ', ''),
    );
  }

  beforeEach(() => {
    clock = new FakeClock();
    cluster = new MemoryCluster(clock);
    stop = new AbortController();
    add(resources.storageClasses, makeClass('late'));
    add(resources.persistentVolumeClaims, makeClaim('x'));
  });
  afterEach(() => stop.abort());

  it('are bound by writing the claim into the volume, and waiting for the binder', async () => {
    add(resources.persistentVolumes, makeVolume('v', onlyAt('a')));
    const reservation = await reserve();
    // Nobody else is given the volume from now on.
    expect(storage.cache.volume('v')?.spec?.claimRef?.name).toBe('x');
    const end = endOf(reservation.fulfil(stop.signal));
    await settle();
    const volume = await volumes().fetch('v');
    expect(volume.spec?.claimRef?.uid).toBe('uid-x');
    await claims().update(claimBoundTo(await claims().fetch('x', 'default'), volume)!);
    expect(await end).toBe('');
  });

  it('that are to be made are asked for by the name of the node', async () => {
    add(resources.storageClasses, makeClass('made', { provisioner: 'disk.test' }));
    const claim = makeClaim('x', { storageClassName: 'made' });
    cluster.commit(resources.persistentVolumeClaims, 'MODIFIED', claim as unknown as KubeObject);
    const end = endOf((await reserve()).fulfil(stop.signal));
    await settle();
    const asked = await claims().fetch('x', 'default');
    expect(asked.metadata.annotations).toEqual({ 'volume.kubernetes.io/selected-node': 'a' });
    // The driver cannot make it there, and says so as drivers do.
    await claims().update({ ...asked, metadata: { ...asked.metadata, annotations: {} } });
    expect(await end).toBe('selectedNode annotation reset for PVC "x"');
    expect(storage.cache.claim('default/x' as never)?.metadata.annotations).toEqual({});
  });

  it.each<[string, (volume: PersistentVolume) => Promise<unknown>, string]>([
    ['are deleted', () => volumes().delete({ name: 'v' }), 'PersistentVolume "v" not found'],
    [
      'are given to another',
      (volume) => volumes().update({ ...volume, spec: { ...volume.spec, claimRef: { uid: 'other' } } }),
      'ClaimRef got reset for pv "v"',
    ],
    [
      'lose their claim',
      () => claims().delete({ name: 'x', namespace: 'default' }),
      'persistentvolumeclaim "x" not found',
    ],
    ['never come', () => clock.advance(600_000), 'binding volumes: context deadline exceeded'],
  ])('%s: the pod looks for another node, and the volume is free', async (_, spoil, expected) => {
    add(resources.persistentVolumes, makeVolume('v'));
    const end = endOf((await reserve()).fulfil(stop.signal));
    await settle();
    await spoil(await volumes().fetch('v'));
    expect(await end).toBe(expected);
  });

  it.each<[string, object, string]>([
    [
      'another claim',
      { name: 'other', namespace: 'default', uid: 'other' },
      'volume "v" already bound to a different claim',
    ],
    [
      'an older claim of the name',
      { name: 'x', namespace: 'default', uid: 'older' },
      'volume "v" already bound to a different claim',
    ],
  ])('are not taken from %s that was given one since', async (_, claimRef, expected) => {
    add(resources.persistentVolumes, makeVolume('v'));
    const reservation = await reserve();
    const volume = await volumes().fetch('v');
    await volumes().update({ ...volume, spec: { ...volume.spec, claimRef } } as PersistentVolume);
    await settle();
    expect(await endOf(reservation.fulfil(stop.signal))).toBe(expected);
    expect((await volumes().fetch('v')).spec?.claimRef).toEqual(claimRef);
  });

  it.each<[string, object, string]>([
    [
      'another scheduler has chosen a node',
      { annotations: { 'volume.kubernetes.io/selected-node': 'b' } },
      'selectedNode annotation value "b" not set to scheduled node "a"',
    ],
    ['the claim is another of its name', { uid: 'uid-new' }, 'persistentvolumeclaim "x" not found'],
  ])('are asked for nowhere when meanwhile %s', async (_, metadata, expected) => {
    add(resources.storageClasses, makeClass('made', { provisioner: 'disk.test' }));
    const claim = makeClaim('x', { storageClassName: 'made' });
    cluster.commit(resources.persistentVolumeClaims, 'MODIFIED', claim as unknown as KubeObject);
    const reservation = await reserve();
    const changed = { ...claim, metadata: { ...claim.metadata, ...metadata } };
    cluster.commit(resources.persistentVolumeClaims, 'MODIFIED', changed as unknown as KubeObject);
    await settle();
    const { revision } = cluster;
    expect(await endOf(reservation.fulfil(stop.signal))).toBe(expected);
    expect(cluster.revision).toBe(revision);
  });

  it('stay promised to a later try when an earlier one comes to its end', async () => {
    add(resources.persistentVolumes, makeVolume('v'));
    const earlier = new AbortController();
    const end = endOf((await reserve()).fulfil(earlier.signal));
    await settle();
    const later = {
      volume: { ...storage.cache.volume('v')! },
      claim: { ...storage.cache.claim('default/x' as never)! },
    };
    storage.cache.assumeVolume(later.volume);
    storage.cache.assumeClaim(later.claim);
    earlier.abort(new Error('pod does not exist any more'));
    expect(await end).toBe('pod does not exist any more');
    expect(storage.cache.volume('v')).toBe(later.volume);
    storage.cache.forget([], [{ ...later.claim }]);
    expect(storage.cache.claim('default/x' as never)).toBe(later.claim);
    storage.cache.forget([later.volume], [later.claim]);
    expect(storage.cache.volume('v')).not.toBe(later.volume);
    expect(storage.cache.claim('default/x' as never)).not.toBe(later.claim);
  });

  it('are not waited for once the pod is gone', async () => {
    add(resources.persistentVolumes, makeVolume('v'));
    const gone = new AbortController();
    const end = endOf((await reserve()).fulfil(gone.signal));
    await settle();
    gone.abort(new Error('pod does not exist any more'));
    expect(await end).toBe('pod does not exist any more');
  });
});
