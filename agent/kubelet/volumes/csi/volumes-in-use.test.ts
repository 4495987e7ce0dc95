import { expect, it } from 'vitest';
import { FakeHost } from '#test/kit/fake-host.ts';
import { writeRecord } from './csi-record.ts';
import { readVolumesInUse } from './volumes-in-use.ts';

const ROOT = '/var/lib/kubelet';

it('names what stands on the host: staged, published without staging, as a device; not what lives with its pod', async () => {
  const { fs } = new FakeHost();
  expect(await readVolumesInUse(fs, ROOT)).toEqual([]);
  const record = (volumeHandle: string) => ({ driverName: 'd.test', volumeHandle });
  const pod = `${ROOT}/pods/u/volumes/kubernetes.io~csi`;
  await writeRecord(fs, `${ROOT}/plugins/kubernetes.io/csi/d.test/0123`, record('staged'));
  await writeRecord(fs, `${ROOT}/plugins/kubernetes.io/csi/volumeDevices/pv/data`, record('device'));
  await writeRecord(fs, `${pod}/a`, { ...record('staged'), volumeLifecycleMode: 'Persistent' });
  await writeRecord(fs, `${pod}/b`, { ...record('plain'), volumeLifecycleMode: 'Persistent' });
  await writeRecord(fs, `${pod}/c`, { ...record('inline'), volumeLifecycleMode: 'Ephemeral' });
  expect(await readVolumesInUse(fs, ROOT)).toEqual(
    ['device', 'plain', 'staged'].map((handle) => `kubernetes.io/csi/d.test^${handle}`),
  );
});
