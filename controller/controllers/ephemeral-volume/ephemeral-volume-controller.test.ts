import { afterEach, expect, it } from 'vitest';
import { type PersistentVolumeClaim, type Pod, resources } from '#api/object/kinds.ts';
import { createControllerHarness } from '#test/kit/controller-harness.ts';
import { startEphemeralVolumeController } from './ephemeral-volume-controller.ts';

let harness: ReturnType<typeof createControllerHarness>;
afterEach(() => harness.stop());

const volumeClaimTemplate = {
  metadata: { labels: { tier: 'scratch' } },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
};
const spec = { containers: [], volumes: [{ name: 'scratch', ephemeral: { volumeClaimTemplate } }, { name: 'other' }] };

it('makes the claim of an ephemeral volume, once more when it is lost, and none for a pod on its way out', async () => {
  harness = createControllerHarness();
  const pods = harness.client.resource<Pod>(resources.pods);
  const claims = harness.client.resource<PersistentVolumeClaim>(resources.persistentVolumeClaims);
  const pod = await pods.create({ metadata: { name: 'p', namespace: 'n' }, spec } as never);
  await pods.create({
    metadata: { name: 'q', namespace: 'n', deletionTimestamp: '2026-01-01T00:00:00Z' },
    spec,
  } as never);
  await harness.start(startEphemeralVolumeController);
  const { items } = await claims.fetchList();
  expect(items).toHaveLength(1);
  expect(items[0]).toMatchObject({
    metadata: {
      name: 'p-scratch',
      namespace: 'n',
      labels: { tier: 'scratch' },
      ownerReferences: [{ kind: 'Pod', name: 'p', uid: pod.metadata.uid, controller: true, blockOwnerDeletion: true }],
    },
    spec: volumeClaimTemplate.spec,
  });
  await claims.delete({ name: 'p-scratch', namespace: 'n' });
  await harness.settle();
  expect((await claims.fetchList()).items).toHaveLength(1);
});

it('takes no claim that is another’s', async () => {
  harness = createControllerHarness();
  const claims = harness.client.resource<PersistentVolumeClaim>(resources.persistentVolumeClaims);
  await claims.create({ metadata: { name: 'p-scratch', namespace: 'n' }, spec: {} });
  await harness.client.resource<Pod>(resources.pods).create({ metadata: { name: 'p', namespace: 'n' }, spec } as never);
  await harness.start(startEphemeralVolumeController);
  expect((await claims.fetch('p-scratch', 'n')).metadata.ownerReferences).toBeUndefined();
});
