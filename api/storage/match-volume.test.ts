import { describe, expect, it } from 'vitest';
import type { PersistentVolume, PersistentVolumeClaim } from '../object/kinds.ts';
import { claimBoundTo, matchingVolumes, mismatchOf, volumeBoundTo } from './match-volume.ts';

const claimOf = (spec: object = {}, metadata: object = {}) =>
  ({
    metadata: { name: 'c', namespace: 'n', uid: 'u', resourceVersion: '7', ...metadata },
    spec: {
      accessModes: ['ReadWriteOnce'],
      storageClassName: 'fast',
      resources: { requests: { storage: '1Gi' } },
      ...spec,
    },
  }) as unknown as PersistentVolumeClaim;
const volumeOf = (name: string, spec: object = {}, more: object = {}) =>
  ({
    metadata: { name },
    spec: { accessModes: ['ReadWriteOnce'], storageClassName: 'fast', capacity: { storage: '1Gi' }, ...spec },
    status: { phase: 'Available' },
    ...more,
  }) as unknown as PersistentVolume;
const size = (storage: string) => ({ capacity: { storage } });
const ref = (more: object = {}) => ({ claimRef: { name: 'c', namespace: 'n', ...more } });

describe('volumes for a claim', () => {
  it.each<[string, PersistentVolumeClaim, PersistentVolume[], string[]]>([
    [
      'the smallest that suffices comes first',
      claimOf(),
      [volumeOf('l', size('5Gi')), volumeOf('m', size('2Gi')), volumeOf('s', size('500Mi'))],
      ['m', 'l'],
    ],
    [
      'fewer access modes go before a better size',
      claimOf(),
      [volumeOf('many', { accessModes: ['ReadWriteOnce', 'ReadWriteMany'] }), volumeOf('one', size('9Gi'))],
      ['one', 'many'],
    ],
    ['the class is the same, and none is a class', claimOf({ storageClassName: '' }), [volumeOf('v')], []],
    [
      'the older annotation names the class',
      claimOf({}, { annotations: { 'volume.beta.kubernetes.io/storage-class': 'slow' } }),
      [volumeOf('fast'), volumeOf('slow', { storageClassName: 'slow' })],
      ['slow'],
    ],
    [
      'labels are those of the selector',
      claimOf({ selector: { matchLabels: { disk: 'a' } } }),
      [volumeOf('v'), volumeOf('w', {}, { metadata: { name: 'w', labels: { disk: 'a' } } })],
      ['w'],
    ],
    ['block is no file system', claimOf(), [volumeOf('v', { volumeMode: 'Block' })], []],
    ['not without the access mode', claimOf({ accessModes: ['ReadWriteMany'] }), [volumeOf('v')], []],
    [
      'not what is released, or on its way out',
      claimOf(),
      [
        volumeOf('r', {}, { status: { phase: 'Released' } }),
        volumeOf('d', {}, { metadata: { name: 'd', deletionTimestamp: '2026-01-01T00:00:00Z' } }),
      ],
      [],
    ],
    [
      'not what is kept for another',
      claimOf(),
      [volumeOf('v', ref({ name: 'other' })), volumeOf('w', ref({ uid: 'x' }))],
      [],
    ],
    [
      'what was made for it goes before all, whatever its class',
      claimOf(),
      [volumeOf('a'), volumeOf('kept', { ...ref(), ...size('9Gi'), storageClassName: '' }, { status: {} })],
      ['kept'],
    ],
    ['unless it is too small', claimOf(), [volumeOf('kept', { ...ref(), ...size('1Mi') })], []],
  ])('%s', (_, claim, volumes, expected) => {
    expect(matchingVolumes(claim, volumes).map(({ metadata }) => metadata.name)).toEqual(expected);
  });

  it.each<[string | undefined, object]>([
    ['requested PV is too small', size('1Mi')],
    ['storageClassName does not match', { storageClassName: 'slow' }],
    ['VolumeAttributesClassName does not match', { volumeAttributesClassName: 'gold' }],
    ['incompatible volumeMode', { volumeMode: 'Block' }],
    ['incompatible accessMode', { accessModes: ['ReadOnlyMany'] }],
    [undefined, {}],
  ])('a volume that is asked for by name: %s', (expected, spec) => {
    expect(mismatchOf(volumeOf('v', spec), claimOf())).toBe(expected);
  });

  it('a volume that is asked for by name: on its way out', () => {
    const leaving = volumeOf('v', {}, { metadata: { name: 'v', deletionTimestamp: '2026-01-01T00:00:00Z' } });
    expect(mismatchOf(leaving, claimOf())).toBe('the volume is marked for deletion "v"');
  });
});

describe('a binding', () => {
  it('is written into a volume once, and marked as ours', () => {
    const bound = volumeBoundTo(volumeOf('v'), claimOf())!;
    expect(bound.metadata.annotations).toEqual({ 'pv.kubernetes.io/bound-by-controller': 'yes' });
    expect(bound.spec?.claimRef).toEqual({
      ...{ apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace: 'n', name: 'c', uid: 'u' },
      resourceVersion: '7',
    });
    expect(volumeBoundTo(bound, claimOf())).toBeUndefined();
  });

  it('that a person asked for is not marked', () => {
    const bound = volumeBoundTo(volumeOf('v', ref()), claimOf())!;
    expect([bound.metadata.annotations, bound.spec?.claimRef?.uid]).toEqual([undefined, 'u']);
    const claim = claimBoundTo(claimOf({ volumeName: 'v' }), bound)!;
    expect(claim.metadata.annotations).toEqual({ 'pv.kubernetes.io/bind-completed': 'yes' });
    expect(claimBoundTo(claim, bound)).toBeUndefined();
  });
});
