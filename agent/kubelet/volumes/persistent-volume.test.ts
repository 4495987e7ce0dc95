import type { IVolume } from 'kubernetes-models/v1/Volume';
import { expect, test } from 'vitest';
import type { PersistentVolume, PersistentVolumeClaim } from '#api/object/kinds.ts';
import { container, podWith } from '../testing/pod-fixtures.ts';
import { boundClaim, sourceOf } from './persistent-volume.ts';
import type { VolumeContext } from './volume-kind.ts';

const claimOf = (more: object = {}) =>
  ({
    metadata: { name: 'data', namespace: 'default', uid: 'claim-1' },
    spec: { volumeName: 'pv' },
    status: { phase: 'Bound' },
    ...more,
  }) as unknown as PersistentVolumeClaim;
const volumeOf = (spec: object) =>
  ({ metadata: { name: 'pv' }, spec: { claimRef: { uid: 'claim-1' }, ...spec } }) as unknown as PersistentVolume;
const resolve = async (
  claim: PersistentVolumeClaim | undefined,
  found: PersistentVolume | undefined,
  given: IVolume = { name: 'v', persistentVolumeClaim: { claimName: 'data' } },
  pod = podWith(),
) => {
  const context = {
    pod,
    claim: async (name: string) => (['data', 'web-v'].includes(name) ? claim : undefined),
    persistentVolume: async () => found,
  };
  return sourceOf(await boundClaim(context as unknown as VolumeContext, given));
};

test('a claim bound to a host path', async () => {
  const found = volumeOf({ hostPath: { path: '/d' } });
  expect(await resolve(claimOf(), found)).toEqual({ name: 'pv', hostPath: { path: '/d' } });
});

test('an export keeps the options of its volume', async () => {
  const nfs = { server: 's', path: '/e' };
  const found = volumeOf({ nfs, mountOptions: ['nfsvers=4.2'] });
  expect(await resolve(claimOf(), found)).toEqual({
    name: 'pv',
    nfs: { ...nfs, readOnly: false, mountOptions: ['nfsvers=4.2'] },
  });
});

test('an ephemeral volume has the claim of its pod', async () => {
  const found = volumeOf({ hostPath: { path: '/d' } });
  const ownedBy = (uid: string) => ({
    metadata: { name: 'web-v', namespace: 'default', uid: 'claim-1', ownerReferences: [{ controller: true, uid }] },
  });
  const resolved = await resolve(claimOf(ownedBy(podWith().metadata.uid)), found, { name: 'v', ephemeral: {} });
  expect(resolved).toMatchObject({ hostPath: { path: '/d' } });
  for (const other of [claimOf(), claimOf(ownedBy('another'))])
    await expect(resolve(other, found, { name: 'v', ephemeral: {} })).rejects.toThrow(
      'PVC default/web-v was not created for pod default/web (pod is not owner)',
    );
});

test.each([
  ['no claim', undefined, undefined, 'persistentvolumeclaim "data" not found'],
  ['an unbound claim', claimOf({ status: { phase: 'Pending' } }), undefined, 'PVC "default/data" is not bound'],
  ['no volume', claimOf(), undefined, 'persistentvolume "pv" not found'],
  ["somebody else's volume", claimOf(), volumeOf({ claimRef: { uid: 'other' } }), 'is bound to another claim'],
  ['an unknown source', claimOf(), volumeOf({ capacity: {}, iscsi: {} }), 'type iscsi is not supported'],
])('%s is refused', async (_name, claim, found, message) => {
  await expect(resolve(claim, found)).rejects.toThrow(message);
});

test.each([
  ['Block', { volumeMounts: [{ name: 'v', mountPath: '/v' }] }, 'volumeMounts'],
  ['Filesystem', { volumeDevices: [{ name: 'v', devicePath: '/dev/v' }] }, 'volumeDevices'],
])('a volume of mode %s is not used as the other', async (volumeMode, use, where) => {
  const pod = podWith({ containers: [container('app', use)] });
  await expect(resolve(claimOf(), volumeOf({ hostPath: { path: '/d' }, volumeMode }), undefined, pod)).rejects.toThrow(
    `volume v has volumeMode ${volumeMode}, but is specified in ${where}`,
  );
});
