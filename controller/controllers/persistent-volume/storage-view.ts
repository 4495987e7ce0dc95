import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from '#api/object/kinds.ts';
import type { ObjectKey } from '#api/object/kube-object.ts';

/** What the decisions about claims and volumes read. */
export interface StorageView {
  claim(key: ObjectKey): PersistentVolumeClaim | undefined;
  volume(name: string): PersistentVolume | undefined;
  /** Volumes of the claim's class, and those that name the claim. */
  volumesFor(claim: PersistentVolumeClaim): Iterable<PersistentVolume>;
  storageClass(name: string): StorageClass | undefined;
  storageClasses(): readonly StorageClass[];
  /** Names of pods without a node that need the claim. */
  podsWaitingFor(key: ObjectKey): readonly string[];
}

/** What is told about an object. */
export interface Notice {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}
