import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Node, type Pod, resources, type VolumeAttachment } from '#api/object/kinds.ts';
import { createControllerHarness } from '#test/kit/controller-harness.ts';
import { startAttachDetachController } from './attach-detach-controller.ts';

const UNIQUE = 'kubernetes.io/csi/disk.test^h1';
let harness: ReturnType<typeof createControllerHarness>;
const attachments = () => harness.client.resource<VolumeAttachment>(resources.volumeAttachments);
const nodes = () => harness.client.resource<Node>(resources.nodes);
const pods = () => harness.client.resource<Pod>(resources.pods);
const create = (info: (typeof resources)[keyof typeof resources], object: object) =>
  harness.client.resource(info).create(object as never);
const addPod = (name: string, nodeName: string) =>
  create(resources.pods, {
    metadata: { name, namespace: 'n' },
    spec: { nodeName, containers: [], volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'c' } }] },
  });
const attachedTo = async () => (await attachments().fetchList()).items.map(({ spec }) => spec?.nodeName);
const toldOf = (name: string) =>
  [...harness.cluster.objectsOf(resources.events).values()]
    .filter((event) => (event.involvedObject as { name: string }).name === name)
    .map((event) => `${event.reason}: ${event.message}`);
const setStatus = async (nodeName: string, status: object) => {
  await nodes().patch({ name: nodeName, subresource: 'status', type: 'merge', patch: { status } });
  await harness.settle();
};
const remove = async (name: string) => {
  await pods().delete({ name, namespace: 'n', gracePeriodSeconds: 0 });
  await harness.settle();
};

beforeEach(async () => {
  harness = createControllerHarness();
  const ready = { conditions: [{ type: 'Ready', status: 'True' }] };
  for (const name of ['a', 'b']) await create(resources.nodes, { metadata: { name }, status: ready });
  const claim = (await create(resources.persistentVolumeClaims, {
    metadata: { name: 'c', namespace: 'n' },
    spec: { volumeName: 'v' },
  })) as { metadata: { uid: string } };
  await create(resources.persistentVolumes, {
    metadata: { name: 'v' },
    spec: {
      accessModes: ['ReadWriteOnce'],
      csi: { driver: 'disk.test', volumeHandle: 'h1' },
      claimRef: { namespace: 'n', name: 'c', uid: claim.metadata.uid },
    },
  });
});
afterEach(() => harness.stop());

it('attaches for a pod, tells pod and node, and detaches when the node has let go', async () => {
  await addPod('p', 'a');
  await harness.start(startAttachDetachController);
  const [attachment] = (await attachments().fetchList()).items;
  expect(attachment).toMatchObject({
    metadata: { name: expect.stringMatching(/^csi-[0-9a-f]{64}$/) },
    spec: { attacher: 'disk.test', nodeName: 'a', source: { persistentVolumeName: 'v' } },
  });
  const failed = { attached: false, attachError: { message: 'no slot', time: '2026-01-01T00:00:00Z' } };
  const tried = await attachments().update({ ...attachment!, status: failed }, 'status');
  await harness.settle();
  await attachments().update({ ...tried, status: { attached: true } }, 'status');
  await harness.settle();
  expect(toldOf('p')).toEqual([
    'FailedAttachVolume: AttachVolume.Attach failed for volume "v" : no slot',
    'SuccessfulAttachVolume: AttachVolume.Attach succeeded for volume "v"',
  ]);
  expect((await nodes().fetch('a')).status?.volumesAttached).toEqual([{ name: UNIQUE, devicePath: '' }]);
  await setStatus('a', { volumesInUse: [UNIQUE] });
  await remove('p');
  expect(await attachedTo()).toEqual(['a']);
  await setStatus('a', { volumesInUse: [] });
  expect(await attachedTo()).toEqual([]);
  expect((await nodes().fetch('a')).status?.volumesAttached).toEqual([]);
});

it('a volume of one node goes to the next one when the first is free of it, or has been silent for long', async () => {
  await addPod('p', 'a');
  await harness.start(startAttachDetachController);
  await setStatus('a', { volumesInUse: [UNIQUE], conditions: [{ type: 'Ready', status: 'Unknown' }] });
  await addPod('q', 'b');
  await harness.settle();
  expect(toldOf('q')).toEqual([
    'FailedAttachVolume: Multi-Attach error for volume "v" Volume is already used by pod(s) p',
  ]);
  await remove('p');
  expect(await attachedTo()).toEqual(['a']);
  await harness.advance(6 * 60_000);
  expect(await attachedTo()).toEqual(['b']);
});

it('a node that was deleted may run on: its volume is waited for, unless it is known to be off', async () => {
  await addPod('p', 'a');
  await harness.start(startAttachDetachController);
  await nodes().delete({ name: 'a' });
  await remove('p');
  await harness.advance(5 * 60_000);
  expect(await attachedTo()).toEqual(['a']);
  await harness.advance(2 * 60_000);
  expect(await attachedTo()).toEqual([]);
});

it('an attachment that comes again under the same name is waited for anew', async () => {
  await addPod('p', 'a');
  await harness.start(startAttachDetachController);
  const [attachment] = (await attachments().fetchList()).items;
  const { name } = attachment!.metadata;
  await attachments().patch({ name, type: 'merge', patch: { metadata: { finalizers: ['disk.test/attacher'] } } });
  await remove('p');
  await setStatus('b', { volumesInUse: [] });
  expect((await attachments().fetch(name)).metadata.deletionTimestamp).toBeDefined();
  await attachments().patch({ name, type: 'merge', patch: { metadata: { finalizers: null } } });
  await harness.advance(10 * 60_000);
  expect(await attachedTo()).toEqual([]);
  await setStatus('a', { volumesInUse: [UNIQUE], conditions: [{ type: 'Ready', status: 'Unknown' }] });
  await create(resources.volumeAttachments, { metadata: { name }, spec: attachment!.spec });
  await harness.settle();
  expect(await attachedTo()).toEqual(['a']);
});

it('what is left of a volume whose object is gone is detached once its node has let go', async () => {
  await addPod('p', 'a');
  await harness.start(startAttachDetachController);
  await setStatus('a', { volumesInUse: [UNIQUE] });
  await create(resources.volumeAttachments, {
    metadata: { name: 'by-hand' },
    spec: { attacher: 'disk.test', nodeName: 'b', source: { persistentVolumeName: 'v' } },
  });
  await create(resources.volumeAttachments, {
    metadata: { name: `csi-${'0'.repeat(64)}` },
    spec: { attacher: 'disk.test', nodeName: 'b', source: { inlineVolumeSpec: {} } },
  });
  await harness.client.resource(resources.persistentVolumes).delete({ name: 'v' });
  await remove('p');
  expect((await attachedTo()).sort()).toEqual(['a', 'b', 'b']);
  await setStatus('a', { volumesInUse: [] });
  expect(await attachedTo()).toEqual(['b', 'b']);
});

it('leaves to nobody what needs no attaching, and alone what others attached', async () => {
  await create(resources.csiDrivers, { metadata: { name: 'disk.test' }, spec: { attachRequired: false } });
  await create(resources.volumeAttachments, {
    metadata: { name: 'by-hand' },
    spec: { attacher: 'disk.test', nodeName: 'b', source: { persistentVolumeName: 'v' } },
  });
  await addPod('p', 'a');
  await harness.start(startAttachDetachController);
  expect(await attachedTo()).toEqual(['b']);
});
