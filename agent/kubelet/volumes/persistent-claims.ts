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

/** What is to be told of a claim whose volume is made larger. */
export type Growth =
  | { readonly state: 'begun' }
  /** The size that it has now. */
  | { readonly state: 'done'; readonly storage: string }
  /** `isInfeasible`: trying again would not help. */
  | { readonly state: 'failed'; readonly message: string; readonly isInfeasible: boolean; readonly atTime: string };

type ClaimStatus = PersistentVolumeClaim['status'];

const FAILED = 'NodeResizeError';
/** Conditions of a claim that end with its growing. */
const RESIZING: ReadonlySet<string> = new Set([
  ...['Resizing', 'FileSystemResizePending', 'ControllerResizeError', FAILED],
]);

/** The fields of a claim's status as Kubernetes' own nodes write them. Pure. */
export function growthPatch(status: ClaimStatus, growth: Growth): object {
  const conditions = status?.conditions ?? [];
  const isTracked = status?.allocatedResourceStatuses?.storage !== undefined;
  switch (growth.state) {
    case 'begun':
      return { allocatedResourceStatuses: { storage: 'NodeResizeInProgress' } };
    case 'done': {
      const left = conditions.filter(({ type }) => !RESIZING.has(type));
      const { storage } = growth;
      return {
        ...{ capacity: { storage }, conditions: left },
        ...(isTracked ? { allocatedResourceStatuses: { storage: null } } : {}),
      };
    }
    case 'failed': {
      const { message, isInfeasible, atTime } = growth;
      const failed = { type: FAILED, status: 'True', message, lastTransitionTime: atTime };
      return {
        conditions: [...conditions.filter(({ type }) => type !== FAILED), failed],
        ...(isInfeasible ? { allocatedResourceStatuses: { storage: 'NodeResizeInfeasible' } } : {}),
      };
    }
  }
}

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

  /** Tells the claim how far the making larger on this node has come. */
  async noteGrowth({ metadata, status }: PersistentVolumeClaim, growth: Growth): Promise<void> {
    const { name, namespace } = metadata;
    const request = { name, namespace, type: 'merge', subresource: 'status' } as const;
    const claims = this.#client.resource<PersistentVolumeClaim>(resources.persistentVolumeClaims);
    await claims.patch({ ...request, patch: { status: growthPatch(status, growth) } });
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
