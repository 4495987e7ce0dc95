import { describe, expect, test } from 'vitest';
import type { CSIDriver, PersistentVolume, PersistentVolumeClaim, VolumeAttachment } from '#api/object/kinds.ts';
import type { CsiCapability } from './csi-driver.ts';
import {
  attachmentName,
  type CsiVolume,
  capabilityOf,
  inlineHandle,
  mustBeAttached,
  mustGiveToGroup,
  persistentVolume,
  publishContext,
  stagingFolder,
  verifyLifecycle,
} from './csi-volume.ts';

const bound = (spec: object, claimed: object = {}, readOnly = false): CsiVolume => {
  const csi = { driver: 'd.test', volumeHandle: 'h', fsType: 'ext4' };
  const volume = {
    metadata: { name: 'pv' },
    spec: { csi, accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' }, ...spec },
  } as unknown as PersistentVolume;
  const claim = { metadata: { name: 'c' }, status: { capacity: { storage: '1Gi' }, ...claimed } };
  return persistentVolume({ claim: claim as unknown as PersistentVolumeClaim, volume, readOnly });
};
const driverWith = (spec: object) => ({ metadata: { name: 'd.test' }, spec }) as unknown as CSIDriver;
const can = (...capabilities: CsiCapability[]) => new Set(capabilities);

describe('a volume of a CSI driver', () => {
  test('has the names that drivers and the attacher compute for themselves', () => {
    // printf '%s' hd.testnode-1 | sha256sum
    expect(attachmentName('h', 'd.test', 'node-1')).toBe(
      'csi-a013881f68eb507f08df12909f2780a8b222d9c46ac38728be965102ea05d109',
    );
    expect(inlineHandle('uid-1', 'v')).toMatch(/^csi-[0-9a-f]{64}$/);
    expect(stagingFolder('/k', { driver: 'd', handle: 'h' })).toMatch(
      /^\/k\/plugins\/kubernetes\.io\/csi\/d\/[0-9a-f]{64}$/,
    );
  });

  test.each<readonly [string[], CsiCapability[], string]>([
    [['ReadWriteOnce'], [], 'SINGLE_NODE_WRITER'],
    [['ReadWriteOncePod'], [], 'SINGLE_NODE_WRITER'],
    [['ReadOnlyMany'], [], 'MULTI_NODE_READER_ONLY'],
    [['ReadWriteMany', 'ReadWriteOnce'], [], 'MULTI_NODE_MULTI_WRITER'],
    [['ReadWriteOnce'], ['SINGLE_NODE_MULTI_WRITER'], 'SINGLE_NODE_MULTI_WRITER'],
    [['ReadWriteOncePod'], ['SINGLE_NODE_MULTI_WRITER'], 'SINGLE_NODE_SINGLE_WRITER'],
  ])('with %j and a driver that can %j is used as %s', (accessModes, capabilities, mode) => {
    expect(capabilityOf(bound({ accessModes }), can(...capabilities))).toMatchObject({ access_mode: { mode } });
  });

  test('is mounted for the group where the driver does that, else given to it afterwards', () => {
    const volume = bound({});
    expect(capabilityOf(volume, can('VOLUME_MOUNT_GROUP'), 7).mount).toMatchObject({ volume_mount_group: '7' });
    expect(capabilityOf(volume, can(), 7).mount).not.toHaveProperty('volume_mount_group');
    expect(mustGiveToGroup(volume, undefined, can('VOLUME_MOUNT_GROUP'))).toBe(false);
  });

  test.each<readonly [string | undefined, CsiVolume, boolean]>([
    [undefined, bound({}), true],
    [undefined, bound({ accessModes: ['ReadWriteMany'] }), false],
    [undefined, bound({ csi: { driver: 'd.test', volumeHandle: 'h' } }), false],
    ['ReadWriteOnceWithFSType', bound({ accessModes: ['ReadWriteOncePod'] }), true],
    ['File', bound({ accessModes: ['ReadWriteMany'] }), true],
    ['File', bound({}, {}, true), false],
    ['None', bound({}), false],
  ])('under the fsGroupPolicy %s', (fsGroupPolicy, volume, isGiven) => {
    const object = fsGroupPolicy === undefined ? undefined : driverWith({ fsGroupPolicy });
    expect(mustGiveToGroup(volume, object, can())).toBe(isGiven);
  });

  test.each([
    ['one that nobody describes', undefined, true],
    ['one that says nothing', driverWith({}), true],
    ['one that has no attacher', driverWith({ attachRequired: false }), false],
  ])('of %s must be attached or not', (_name, object, isAttached) => {
    expect(mustBeAttached(bound({}), object)).toBe(isAttached);
  });

  test.each<readonly [string, object | undefined, string]>([
    ['there is no attachment', undefined, 'has no VolumeAttachment for this node yet'],
    ['it is not attached', { status: { attached: false } }, 'is not attached to this node yet'],
    ['attaching failed', { status: { attached: false, attachError: { message: 'no slot' } } }, 'no slot'],
    ['it is being detached', { metadata: { deletionTimestamp: 't' }, status: { attached: true } }, 'is not attached'],
  ])('waits while %s', (_name, attachment, message) => {
    const object = attachment === undefined ? undefined : { metadata: {}, ...attachment };
    expect(() => publishContext(bound({}), object as VolumeAttachment | undefined)).toThrow(message);
  });

  test('is refused by a driver that was not made for its kind', () => {
    const inline: CsiVolume = { ...bound({}), lifecycle: 'Ephemeral' };
    expect(() => verifyLifecycle(inline, undefined)).toThrow(
      'volume mode "Ephemeral" not supported by driver d.test (only supports ["Persistent"])',
    );
    verifyLifecycle(inline, driverWith({ volumeLifecycleModes: ['Ephemeral'] }));
  });

  test.each([
    ['2Gi', '1Gi', 2 * 2 ** 30],
    ['1Gi', '1Gi', undefined],
    ['1Gi', '2Gi', undefined],
    ['1Gi', undefined, undefined],
  ])('of %s grows where its claim knows of %s', (storage, known, bytes) => {
    const claimed = { capacity: known === undefined ? undefined : { storage: known } };
    expect(bound({ capacity: { storage } }, claimed).growTo?.bytes).toBe(bytes);
  });

  test.each([
    [undefined, true],
    ['NodeResizePending', true],
    ['NodeResizeInProgress', true],
    ['NodeResizeInfeasible', false],
    ['ControllerResizeInProgress', false],
    ['ControllerResizeInfeasible', false],
  ])('is made larger by the node in the state %s: %s', (storage, isDue) => {
    const status = { capacity: { storage: '1Gi' }, ...(storage && { allocatedResourceStatuses: { storage } }) };
    expect(bound({ capacity: { storage: '2Gi' } }, status).growTo !== undefined).toBe(isDue);
  });
});
