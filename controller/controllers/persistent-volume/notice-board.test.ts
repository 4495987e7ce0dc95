import { expect, it } from 'vitest';
import { resources } from '#api/object/kinds.ts';
import { createControllerHarness } from '#test/kit/controller-harness.ts';
import { startPersistentVolumeBinder } from './persistent-volume-binder.ts';

it('what still holds of a claim and of its volume is said again before the events expire', async () => {
  const harness = createControllerHarness();
  const create = (info: (typeof resources)[keyof typeof resources], object: object) =>
    harness.client.resource(info).create(object as never);
  const shape = { accessModes: ['ReadWriteOnce'] };
  const claim = (await create(resources.persistentVolumeClaims, {
    metadata: { name: 'c', namespace: 'n' },
    spec: { ...shape, resources: { requests: { storage: '1Gi' } } },
  })) as { metadata: { uid: string } };
  await create(resources.persistentVolumes, {
    metadata: { name: 'v' },
    spec: {
      ...shape,
      ...{ capacity: { storage: '1Gi' }, hostPath: { path: '/tmp/v' }, volumeMode: 'Block' },
      claimRef: { namespace: 'n', name: 'c', uid: claim.metadata.uid },
    },
  });
  await harness.start(startPersistentVolumeBinder);
  const toldOf = (name: string) =>
    [...harness.cluster.objectsOf(resources.events).values()]
      .filter((event) => (event.involvedObject as { name: string }).name === name && event.reason === 'VolumeMismatch')
      .reduce((sum, { count = 1 }) => sum + Number(count), 0);
  const before = toldOf('v');
  await harness.advance(51 * 60_000);
  expect([before, toldOf('v')]).toEqual([1, 2]);
  harness.stop();
});
