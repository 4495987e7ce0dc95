import { expect, it } from 'vitest';
import { type PersistentVolumeClaim, resources } from '#api/object/kinds.ts';
import { createControllerHarness } from '#test/kit/controller-harness.ts';
import { startVolumeExpandController } from './volume-expand-controller.ts';

it('tells once who is waited for when a bound claim asks for more', async () => {
  const harness = createControllerHarness();
  const claims = harness.client.resource<PersistentVolumeClaim>(resources.persistentVolumeClaims);
  const spec = (storage: string) => ({ volumeName: 'v', resources: { requests: { storage } } });
  await harness.client
    .resource(resources.persistentVolumes)
    .create({ metadata: { name: 'v' }, spec: { capacity: { storage: '1Gi' } } } as never);
  const status = { phase: 'Bound', capacity: { storage: '1Gi' } } as const;
  const claim = await claims.create({ metadata: { name: 'c', namespace: 'n' }, spec: spec('1Gi'), status });
  await harness.start(startVolumeExpandController);
  const larger = await claims.update({ ...claim, spec: spec('2Gi') });
  await harness.settle();
  await claims.update({ ...larger, metadata: { ...larger.metadata, labels: { a: 'b' } } });
  await harness.settle();
  const events = [...harness.cluster.objectsOf(resources.events).values()];
  expect(events.map(({ reason, count }) => [reason, count])).toEqual([['ExternalExpanding', 1]]);
  harness.stop();
});
