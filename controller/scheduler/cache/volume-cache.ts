import type { Lister } from '#api/client/informer.ts';
import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  PersistentVolume,
  PersistentVolumeClaim,
  StorageClass,
  VolumeAttachment,
} from '#api/object/kinds.ts';
import { keyOf, type ObjectKey, objectKey, type Stored } from '#api/object/kube-object.ts';
import { classOf } from '#api/storage/claims.ts';
import type { VolumeView } from '../framework/volume-view.ts';

type Indexed<T extends Stored<object>> = Pick<Lister<T>, 'byKey' | 'byIndex'> & {
  addIndex(name: string, index: (object: T) => readonly string[]): void;
};
type Keyed<T extends Stored<object>> = Pick<Lister<T>, 'byKey'>;

export interface VolumeSources {
  readonly claims: Keyed<PersistentVolumeClaim>;
  readonly volumes: Indexed<PersistentVolume>;
  readonly storageClasses: Keyed<StorageClass>;
  readonly csiDrivers: Keyed<CSIDriver>;
  readonly csiNodes: Keyed<CSINode>;
  readonly capacities: Indexed<CSIStorageCapacity>;
  readonly attachments: Indexed<VolumeAttachment>;
}

const CLASS = 'class';
const NODE = 'node';

/**
 * Claims and volumes from the informers' caches. What a cycle has decided about one of them stands in its place until the binding is
 * through or given up, so that the next cycle does not give it away again.
 */
export class VolumeCache implements VolumeView {
  readonly #sources: VolumeSources;
  readonly #assumedVolumes = new Map<string, PersistentVolume>();
  readonly #listeners = new Set<() => void>();
  readonly #assumedClaims = new Map<ObjectKey, PersistentVolumeClaim>();

  constructor(sources: VolumeSources) {
    this.#sources = sources;
    sources.volumes.addIndex(CLASS, (volume) => [classOf(volume)]);
    sources.capacities.addIndex(CLASS, ({ storageClassName }) => [storageClassName]);
    sources.attachments.addIndex(NODE, ({ spec }) => (spec?.nodeName ? [spec.nodeName] : []));
  }

  /** Calls after each change of a claim or a volume; the answer ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A claim or a volume has changed in the informers' caches. */
  noteChange(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  claim(key: ObjectKey): PersistentVolumeClaim | undefined {
    const current = this.#sources.claims.byKey(key);
    const assumed = this.#assumedClaims.get(key);
    return assumed !== undefined && current?.metadata.uid === assumed.metadata.uid ? assumed : current;
  }

  volume(name: string): PersistentVolume | undefined {
    return this.#asAssumed(this.#sources.volumes.byKey(objectKey(undefined, name)));
  }

  volumesOfClass(className: string): readonly PersistentVolume[] {
    return this.#sources.volumes.byIndex(CLASS, className).map((volume) => this.#asAssumed(volume));
  }

  storageClass(name: string): StorageClass | undefined {
    return this.#sources.storageClasses.byKey(objectKey(undefined, name));
  }

  csiDriver(name: string): CSIDriver | undefined {
    return this.#sources.csiDrivers.byKey(objectKey(undefined, name));
  }

  csiNode(name: string): CSINode | undefined {
    return this.#sources.csiNodes.byKey(objectKey(undefined, name));
  }

  capacitiesOfClass(className: string): readonly CSIStorageCapacity[] {
    return this.#sources.capacities.byIndex(CLASS, className);
  }

  attachmentsOf(nodeName: string): readonly VolumeAttachment[] {
    return this.#sources.attachments.byIndex(NODE, nodeName);
  }

  assumeVolume(volume: PersistentVolume): void {
    this.#assumedVolumes.set(volume.metadata.name, volume);
  }

  assumeClaim(claim: PersistentVolumeClaim): void {
    this.#assumedClaims.set(keyOf(claim), claim);
  }

  /** The API's word counts again, but for what another cycle has decided since. */
  forget(volumes: readonly PersistentVolume[], claims: readonly PersistentVolumeClaim[]): void {
    for (const volume of volumes) {
      const { name } = volume.metadata;
      if (this.#assumedVolumes.get(name) === volume) this.#assumedVolumes.delete(name);
    }
    for (const claim of claims) {
      const key = keyOf(claim);
      if (this.#assumedClaims.get(key) === claim) this.#assumedClaims.delete(key);
    }
  }

  #asAssumed<T extends PersistentVolume | undefined>(current: T): T {
    const assumed = current === undefined ? undefined : this.#assumedVolumes.get(current.metadata.name);
    return assumed !== undefined && assumed.metadata.uid === current?.metadata.uid ? (assumed as T) : current;
  }
}
