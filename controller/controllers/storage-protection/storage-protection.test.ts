import type { IPersistentVolume } from 'kubernetes-models/v1/PersistentVolume';
import type { IPersistentVolumeClaim } from 'kubernetes-models/v1/PersistentVolumeClaim';
import { afterEach, expect, it } from 'vitest';
import { type Pod, resources } from '#api/object/kinds.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { createControllerHarness } from '#test/kit/controller-harness.ts';
import { startAttributesProtectionController } from './attributes-protection-controller.ts';
import { startClaimProtectionController } from './claim-protection-controller.ts';
import { claimsUsedBy } from './claim-users.ts';
import { startVolumeProtectionController } from './volume-protection-controller.ts';

let stop = () => {};
afterEach(() => stop());

const isGone = (promise: Promise<unknown>) =>
  promise.then(
    () => false,
    () => true,
  );

it('keeps a deleted claim until the last pod that uses it is gone', async () => {
  const { client, start, settle, stop: end } = createControllerHarness();
  stop = end;
  const claims = client.resource<Stored<IPersistentVolumeClaim>>(resources.persistentVolumeClaims);
  const pods = client.resource<Pod>(resources.pods);
  for (const name of ['used', 'idle']) await claims.create({ metadata: { name, namespace: 'n' }, spec: {} });
  const volumes = [{ name: 'v', persistentVolumeClaim: { claimName: 'used' } }];
  await pods.create({ metadata: { name: 'p', namespace: 'n' }, spec: { nodeName: 'a', containers: [], volumes } });
  await start(startClaimProtectionController);
  expect((await claims.fetch('used', 'n')).metadata.finalizers).toEqual(['kubernetes.io/pvc-protection']);
  await claims.delete({ name: 'used', namespace: 'n' });
  await claims.delete({ name: 'idle', namespace: 'n' });
  await settle();
  expect(await isGone(claims.fetch('idle', 'n'))).toBe(true);
  expect((await claims.fetch('used', 'n')).metadata.deletionTimestamp).toBeDefined();
  await pods.delete({ name: 'p', namespace: 'n', gracePeriodSeconds: 0 });
  await settle();
  expect(await isGone(claims.fetch('used', 'n'))).toBe(true);
});

it('keeps a deleted volume until it is no longer bound', async () => {
  const { client, start, settle, stop: end } = createControllerHarness();
  stop = end;
  const volumes = client.resource<Stored<IPersistentVolume>>(resources.persistentVolumes);
  await volumes.create({ metadata: { name: 'v' }, spec: {}, status: { phase: 'Bound' } });
  await start(startVolumeProtectionController);
  await volumes.delete({ name: 'v' });
  await settle();
  const held = await volumes.fetch('v');
  expect(held.metadata.deletionTimestamp).toBeDefined();
  await volumes.update({ ...held, status: { phase: 'Released' } }, 'status');
  await settle();
  expect(await isGone(volumes.fetch('v'))).toBe(true);
});

it('keeps a deleted class of attributes until no claim names it', async () => {
  const { client, start, settle, stop: end } = createControllerHarness();
  stop = end;
  const classes = client.resource<Stored<object>>(resources.volumeAttributesClasses);
  const claims = client.resource<Stored<IPersistentVolumeClaim>>(resources.persistentVolumeClaims);
  for (const name of ['used', 'idle']) await classes.create({ metadata: { name } });
  await claims.create({ metadata: { name: 'c', namespace: 'n' }, spec: { volumeAttributesClassName: 'used' } });
  await start(startAttributesProtectionController);
  for (const name of ['used', 'idle']) await classes.delete({ name });
  await settle();
  expect([await isGone(classes.fetch('used')), await isGone(classes.fetch('idle'))]).toEqual([false, true]);
  await claims.delete({ name: 'c', namespace: 'n' });
  await settle();
  expect(await isGone(classes.fetch('used'))).toBe(true);
});

it.each<[string, object, object, readonly string[]]>([
  ['placed', { nodeName: 'a' }, {}, ['c', 'p-e']],
  ['ended', { nodeName: 'a' }, { phase: 'Succeeded' }, ['c']],
  ['not placed', {}, {}, []],
])('a pod that is %s uses its claims', (_, spec, status, expected) => {
  const volumes = [
    { name: 'v', persistentVolumeClaim: { claimName: 'c' } },
    { name: 'e', ephemeral: {} },
    { name: 'x' },
  ];
  expect(claimsUsedBy({ metadata: { name: 'p' }, spec: { volumes, ...spec }, status } as unknown as Pod)).toEqual(
    expected,
  );
});
