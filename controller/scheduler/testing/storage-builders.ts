import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  PersistentVolume,
  PersistentVolumeClaim,
  StorageClass,
  VolumeAttachment,
} from '#api/object/kinds.ts';
import { keyOf, type ObjectKey, type Stored } from '#api/object/kube-object.ts';
import { VolumeCache } from '../cache/volume-cache.ts';

export interface StorageDraft {
  readonly claims?: readonly PersistentVolumeClaim[];
  readonly volumes?: readonly PersistentVolume[];
  readonly classes?: readonly StorageClass[];
  readonly csiDrivers?: readonly CSIDriver[];
  readonly csiNodes?: readonly CSINode[];
  readonly capacities?: readonly CSIStorageCapacity[];
  readonly attachments?: readonly VolumeAttachment[];
}

/** As much of an informer as the cache needs. */
function tableOf<T extends Stored<object>>(objects: readonly T[] = []) {
  const indexes = new Map<string, (object: T) => readonly string[]>();
  return {
    byKey: (key: ObjectKey) => objects.find((object) => keyOf(object) === key),
    byIndex: (name: string, value: string) => objects.filter((object) => indexes.get(name)?.(object).includes(value)),
    addIndex: (name: string, index: (object: T) => readonly string[]) => void indexes.set(name, index),
  };
}

export function makeVolumes(draft: StorageDraft = {}): VolumeCache {
  return new VolumeCache({
    claims: tableOf(draft.claims),
    volumes: tableOf(draft.volumes),
    storageClasses: tableOf(draft.classes),
    csiDrivers: tableOf(draft.csiDrivers),
    csiNodes: tableOf(draft.csiNodes),
    capacities: tableOf(draft.capacities),
    attachments: tableOf(draft.attachments),
  });
}

const stored = (name: string, more: object = {}) => ({
  metadata: { name, uid: `uid-${name}`, resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z', ...more },
});

export const makeClass = (name: string, more: object = {}): StorageClass =>
  ({
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    ...stored(name),
    provisioner: 'kubernetes.io/no-provisioner',
    volumeBindingMode: 'WaitForFirstConsumer',
    ...more,
  }) as unknown as StorageClass;

export const makeClaim = (name: string, spec: object = {}, more: { metadata?: object; status?: object } = {}) =>
  ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    ...stored(name, { namespace: 'default', ...more.metadata }),
    spec: {
      accessModes: ['ReadWriteOnce'],
      storageClassName: 'late',
      resources: { requests: { storage: '1Gi' } },
      ...spec,
    },
    status: { phase: 'Pending', ...more.status },
  }) as unknown as PersistentVolumeClaim;

/** A claim that is bound to the volume. */
export const makeBoundClaim = (name: string, volumeName: string, spec: object = {}) =>
  makeClaim(
    name,
    { volumeName, ...spec },
    { metadata: { annotations: { 'pv.kubernetes.io/bind-completed': 'yes' } }, status: { phase: 'Bound' } },
  );

export const makeVolume = (name: string, spec: object = {}, metadata: object = {}) =>
  ({
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    ...stored(name, metadata),
    spec: {
      accessModes: ['ReadWriteOnce'],
      storageClassName: 'late',
      capacity: { storage: '1Gi' },
      hostPath: { path: `/${name}` },
      ...spec,
    },
    status: { phase: 'Available' },
  }) as unknown as PersistentVolume;

/** Node affinity of a volume that one node reaches. */
export const onlyAt = (nodeName: string) => ({
  nodeAffinity: {
    required: {
      nodeSelectorTerms: [
        { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [nodeName] }] },
      ],
    },
  },
});
