import type { KubeClient, ResourceClient } from '#api/client/client.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import { type PersistentVolume, type PersistentVolumeClaim, resources } from '#api/object/kinds.ts';
import { STORAGE_PROVISIONERS } from '#api/storage/claims.ts';
import { claimBoundTo, volumeBoundTo } from '#api/storage/match-volume.ts';
import { unbound } from './decide-volume.ts';

type ClaimPhase = 'Pending' | 'Bound' | 'Lost';
type VolumePhase = 'Available' | 'Bound' | 'Released' | 'Failed';

/**
 * Writes what was decided about claims and volumes; what is so already is not written. Every write names the version that was decided
 * about, so that a conflict repeats the decision.
 */
export class BindingWriter {
  readonly #claims: ResourceClient<PersistentVolumeClaim>;
  readonly #volumes: ResourceClient<PersistentVolume>;

  constructor(client: KubeClient) {
    this.#claims = client.resource<PersistentVolumeClaim>(resources.persistentVolumeClaims);
    this.#volumes = client.resource<PersistentVolume>(resources.persistentVolumes);
  }

  /** The volume first: once it names the claim, nobody else gets it, and any step can be the last one before a crash. */
  async bind(claim: PersistentVolumeClaim, volume: PersistentVolume): Promise<void> {
    const claimed = volumeBoundTo(volume, claim);
    const bound = claimed === undefined ? volume : await this.#volumes.update(claimed);
    await this.setVolumePhase(bound, 'Bound');
    const naming = claimBoundTo(claim, bound);
    await this.setClaimPhase(naming === undefined ? claim : await this.#claims.update(naming), 'Bound', bound);
  }

  /** Says whether there was anything to write. */
  async setClaimPhase(claim: PersistentVolumeClaim, phase: ClaimPhase, volume?: PersistentVolume): Promise<boolean> {
    const { accessModes, capacity, currentVolumeAttributesClassName, ...rest } = claim.status ?? {};
    const isNew = rest.phase !== phase;
    const wanted: Record<string, unknown> = { ...rest, phase };
    if (volume !== undefined) {
      const { spec } = volume;
      // Later a volume grows, and who makes it grow tells its claim.
      const fromVolume = {
        accessModes: spec?.accessModes,
        capacity: isNew ? spec?.capacity : capacity,
        currentVolumeAttributesClassName: isNew
          ? spec?.volumeAttributesClassName || undefined
          : currentVolumeAttributesClassName,
      };
      for (const [key, value] of Object.entries(fromVolume)) if (value !== undefined) wanted[key] = value;
    }
    if (deepEqual(wanted, claim.status ?? {})) return false;
    await this.#claims.update({ ...claim, status: wanted } as PersistentVolumeClaim, 'status');
    return true;
  }

  async setVolumePhase(volume: PersistentVolume, phase: VolumePhase, message = ''): Promise<PersistentVolume> {
    if (volume.status?.phase === phase && (volume.status.message ?? '') === message) return volume;
    const { message: _, reason: __, ...rest } = volume.status ?? {};
    const status = { ...rest, phase, ...(message === '' ? {} : { message }) };
    return this.#volumes.update({ ...volume, status }, 'status');
  }

  async giveClass(claim: PersistentVolumeClaim, storageClassName: string): Promise<void> {
    await this.#claims.update({ ...claim, spec: { ...claim.spec, storageClassName } });
  }

  async askProvisioner(claim: PersistentVolumeClaim, provisioner: string): Promise<void> {
    const current = claim.metadata.annotations ?? {};
    const annotations = { ...current };
    for (const key of STORAGE_PROVISIONERS) annotations[key] = provisioner;
    if (!deepEqual(annotations, current))
      await this.#claims.update({ ...claim, metadata: { ...claim.metadata, annotations } });
  }

  async unbind(volume: PersistentVolume): Promise<void> {
    await this.setVolumePhase(await this.#volumes.update(unbound(volume)), 'Available');
  }

  /** The object alone. */
  async deleteVolume({ metadata: { name, uid } }: PersistentVolume): Promise<void> {
    try {
      await this.#volumes.delete({ name, preconditions: { uid } });
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }

  fetchClaim(name: string, namespace: string | undefined): Promise<PersistentVolumeClaim | undefined> {
    return orNone(this.#claims.fetch(name, namespace));
  }

  fetchVolume(name: string): Promise<PersistentVolume | undefined> {
    return orNone(this.#volumes.fetch(name));
  }
}

async function orNone<T>(fetched: Promise<T>): Promise<T | undefined> {
  try {
    return await fetched;
  } catch (err) {
    if (isNotFound(err)) return undefined;
    throw err;
  }
}
