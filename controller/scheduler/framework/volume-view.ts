import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  PersistentVolume,
  PersistentVolumeClaim,
  StorageClass,
  VolumeAttachment,
} from '#api/object/kinds.ts';
import type { ObjectKey } from '#api/object/kube-object.ts';

/** Claims and volumes as plugins see them: what the API shows, plus what was decided and is not written yet. */
export interface VolumeView {
  claim(key: ObjectKey): PersistentVolumeClaim | undefined;
  volume(name: string): PersistentVolume | undefined;
  volumesOfClass(className: string): readonly PersistentVolume[];
  storageClass(name: string): StorageClass | undefined;
  csiDriver(name: string): CSIDriver | undefined;
  csiNode(name: string): CSINode | undefined;
  capacitiesOfClass(className: string): readonly CSIStorageCapacity[];
  attachmentsOf(nodeName: string): readonly VolumeAttachment[];
}
