import type { KubeClient } from '#api/client/client.ts';
import { ApiError, isNotFound } from '#api/object/api-error.ts';
import {
  type CSIDriver,
  type PersistentVolume,
  type PersistentVolumeClaim,
  resources,
  type VolumeAttachment,
} from '#api/object/kinds.ts';
import type { PodCopies } from '../offline/pod-copies.ts';
import type { PodUid } from '../pod-spec.ts';

/** Conditions of a claim that end with its growing. */
const RESIZING: ReadonlySet<string> = new Set(['Resizing', 'FileSystemResizePending']);

/** Reads claims and volumes when a pod's volumes are set up; what was read serves again while the API does not answer. */
export class PersistentClaims {
  readonly #client: KubeClient;
  readonly #copies: Pick<PodCopies, 'note' | 'recall'>;

  constructor(client: KubeClient, copies: Pick<PodCopies, 'note' | 'recall'>) {
    this.#client = client;
    this.#copies = copies;
  }

  claim(uid: PodUid, namespace: string, name: string): Promise<PersistentVolumeClaim | undefined> {
    const claims = this.#client.resource<PersistentVolumeClaim>(resources.persistentVolumeClaims);
    return this.#read(uid, `persistentvolumeclaims/${name}`, () => claims.fetch(name, namespace));
  }

  persistentVolume(uid: PodUid, name: string): Promise<PersistentVolume | undefined> {
    const volumes = this.#client.resource<PersistentVolume>(resources.persistentVolumes);
    return this.#read(uid, `persistentvolumes/${name}`, () => volumes.fetch(name));
  }

  csiDriver(uid: PodUid, name: string): Promise<CSIDriver | undefined> {
    const drivers = this.#client.resource<CSIDriver>(resources.csiDrivers);
    return this.#read(uid, `csidrivers/${name}`, () => drivers.fetch(name));
  }

  attachment(uid: PodUid, name: string): Promise<VolumeAttachment | undefined> {
    const attachments = this.#client.resource<VolumeAttachment>(resources.volumeAttachments);
    return this.#read(uid, `volumeattachments/${name}`, () => attachments.fetch(name));
  }

  /** The driver has made the volume as large as it should be. */
  async noteCapacity({ metadata, status }: PersistentVolumeClaim, storage: string): Promise<void> {
    const { name, namespace } = metadata;
    const conditions = (status?.conditions ?? []).filter(({ type }) => !RESIZING.has(type));
    const patch = { status: { capacity: { storage }, conditions } };
    const request = { name, namespace, type: 'merge', subresource: 'status', patch } as const;
    await this.#client.resource<PersistentVolumeClaim>(resources.persistentVolumeClaims).patch(request);
  }

  async #read<T>(uid: PodUid, copyName: string, fetch: () => Promise<T>): Promise<T | undefined> {
    try {
      const object = await fetch();
      this.#copies.note(uid, copyName, object);
      return object;
    } catch (err) {
      if (isNotFound(err)) return undefined;
      const isAnswered = err instanceof ApiError && err.code < 500;
      const copy = isAnswered ? undefined : await this.#copies.recall<T>(uid, copyName);
      if (copy === undefined) throw err;
      return copy;
    }
  }
}
