import type { KubeClient } from '#api/client/client.ts';
import type { Informer } from '#api/client/informer.ts';
import { type PersistentVolume, type PersistentVolumeClaim, resources } from '#api/object/kinds.ts';
import { keyOf, objectKey, type Stored } from '#api/object/kube-object.ts';
import { isFullyBound, SELECTED_NODE } from '#api/storage/claims.ts';
import { belongsTo, volumeBoundTo } from '#api/storage/match-volume.ts';
import type { Clock } from '#base/clock.ts';
import type { NodeInfo } from '../cache/node-info.ts';
import type { VolumeCache } from '../cache/volume-cache.ts';
import type { Reservation, ReservePlugin } from '../framework/plugin.ts';
import { isWithinReach, planVolumes, readPodVolumes, type VolumePlan } from './pod-volumes.ts';
import { waitFor } from './wait-for.ts';

/** Whoever makes volumes gets this long; then the pod looks for a node anew. */
const BIND_TIMEOUT_MS = 600_000;

export interface ReserveVolumesOptions {
  readonly client: KubeClient;
  readonly cache: VolumeCache;
  readonly claims: Informer<PersistentVolumeClaim>;
  readonly volumes: Informer<PersistentVolume>;
  readonly clock: Clock;
}

/**
 * Binds the claims that waited for their first pod: writes the chosen claim into the volume, or the chosen node into the claim, and waits
 * until the binder (and whoever makes volumes) has done the rest.
 */
export function createVolumeReserve(options: ReserveVolumesOptions): ReservePlugin {
  return {
    name: 'VolumeBinding',
    reserve(info, node, { volumes }) {
      if (info.claims.length === 0) return undefined;
      const plan = planVolumes(readPodVolumes(info, volumes), node, volumes);
      if (!('bindings' in plan) || plan.bindings.length + plan.provisions.length === 0) return undefined;
      return new VolumeReservation(options, plan, node);
    },
  };
}

class VolumeReservation implements Reservation {
  readonly #options: ReserveVolumesOptions;
  readonly #node: NodeInfo;
  /** The volumes with their claims written in; the claims as they were. */
  readonly #bindings: readonly { readonly claim: PersistentVolumeClaim; readonly volume: PersistentVolume }[];
  /** The claims with the node written in. */
  readonly #provisions: readonly PersistentVolumeClaim[];
  /** resourceVersion of what was written: what the caches show from before says nothing. */
  readonly #written = new Map<string, number>();

  constructor(options: ReserveVolumesOptions, plan: VolumePlan, node: NodeInfo) {
    this.#options = options;
    this.#node = node;
    this.#bindings = plan.bindings.map(({ claim, volume }) => ({
      claim,
      volume: volumeBoundTo(volume, claim) ?? volume,
    }));
    this.#provisions = plan.provisions.map((claim) => withNode(claim, node.name));
    for (const { volume } of this.#bindings) options.cache.assumeVolume(volume);
    for (const claim of this.#provisions) options.cache.assumeClaim(claim);
  }

  async fulfil(signal: AbortSignal): Promise<void> {
    const { cache, clock } = this.#options;
    try {
      await this.#write();
      const isDone = () => this.#isDone();
      const onChange = (listener: () => void) => cache.onChange(listener);
      await waitFor({ isDone, onChange, clock, timeoutMs: BIND_TIMEOUT_MS, signal });
    } catch (err) {
      throw new Error(`running PreBind plugin "VolumeBinding": ${(err as Error).message}`, { cause: err });
    } finally {
      cache.forget(
        this.#bindings.map(({ volume }) => volume),
        this.#provisions,
      );
    }
  }

  async #write(): Promise<void> {
    const { client, volumes } = this.#options;
    for (const { volume, claim } of this.#bindings) {
      this.#claimNow(claim);
      const current = volumes.byKey(keyOf(volume));
      if (current?.metadata.uid !== volume.metadata.uid)
        throw new Error(`PersistentVolume "${volume.metadata.name}" not found`);
      // Others bind too: the binder, another scheduler, a person.
      if (current.spec?.claimRef !== undefined && !belongsTo(current, claim))
        throw new Error(`volume "${volume.metadata.name}" already bound to a different claim`);
      const bound = volumeBoundTo(current, claim);
      if (bound === undefined) continue;
      this.#note(await client.resource<PersistentVolume>(resources.persistentVolumes).update(bound));
    }
    for (const claim of this.#provisions) {
      const current = this.#claimNow(claim);
      const selected = current.metadata.annotations?.[SELECTED_NODE];
      if (selected === this.#node.name) continue;
      if (selected !== undefined) throw this.#selectedElsewhere(selected);
      const chosen = withNode(current, this.#node.name);
      this.#note(await client.resource<PersistentVolumeClaim>(resources.persistentVolumeClaims).update(chosen));
    }
  }

  #note({ metadata }: Stored<object>): void {
    this.#written.set(metadata.uid, Number(metadata.resourceVersion));
  }

  /** Whether all is bound. Throws when that can no longer come. */
  #isDone(): boolean {
    const bindings = this.#bindings.map(({ claim, volume }) =>
      [this.#isKept(volume), this.#isBound(claim)].every(Boolean),
    );
    return [...bindings, ...this.#provisions.map((claim) => this.#isProvided(claim))].every(Boolean);
  }

  #isKept(volume: PersistentVolume): boolean {
    const current = this.#options.volumes.byKey(keyOf(volume));
    if (current === undefined) throw new Error(`PersistentVolume "${volume.metadata.name}" not found`);
    if (this.#isOld(current)) return false;
    if (current.spec?.claimRef?.uid !== volume.spec?.claimRef?.uid)
      throw new Error(`ClaimRef got reset for pv "${volume.metadata.name}"`);
    return true;
  }

  #isProvided(claim: PersistentVolumeClaim): boolean {
    if (this.#isBound(claim)) return true;
    const current = this.#options.claims.byKey(keyOf(claim))!;
    const selected = current.metadata.annotations?.[SELECTED_NODE];
    if (this.#isOld(current) || selected === this.#node.name) return false;
    throw selected === undefined
      ? new Error(`selectedNode annotation reset for PVC "${claim.metadata.name}"`)
      : this.#selectedElsewhere(selected);
  }

  #selectedElsewhere(selected: string): Error {
    return new Error(`selectedNode annotation value "${selected}" not set to scheduled node "${this.#node.name}"`);
  }

  /** The newest version of the very claim, not of one that has its name by now. */
  #claimNow({ metadata }: PersistentVolumeClaim): PersistentVolumeClaim {
    const current = this.#options.claims.byKey(objectKey(metadata.namespace, metadata.name));
    if (current?.metadata.uid !== metadata.uid) throw new Error(`persistentvolumeclaim "${metadata.name}" not found`);
    return current;
  }

  /** Bound, to a volume that this node can reach. */
  #isBound(claim: PersistentVolumeClaim): boolean {
    const current = this.#claimNow(claim);
    if (!isFullyBound(current)) return false;
    const volume = this.#options.volumes.byKey(objectKey(undefined, current.spec?.volumeName ?? ''));
    // Caches of different kinds: the volume may come a moment later.
    if (volume === undefined) return false;
    if (isWithinReach(volume, this.#node)) return true;
    throw new Error(`pv "${volume.metadata.name}" node affinity doesn't match node "${this.#node.name}"`);
  }

  #isOld({ metadata }: Stored<object>): boolean {
    return Number(metadata.resourceVersion) < (this.#written.get(metadata.uid) ?? 0);
  }
}

const withNode = (claim: PersistentVolumeClaim, nodeName: string): PersistentVolumeClaim => ({
  ...claim,
  metadata: { ...claim.metadata, annotations: { ...claim.metadata.annotations, [SELECTED_NODE]: nodeName } },
});
