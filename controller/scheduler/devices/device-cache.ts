import type { IAllocationResult } from 'kubernetes-models/resource.k8s.io/v1/AllocationResult';
import type { Informer } from '#api/client/informer.ts';
import type { InformerFactory } from '#api/client/informer-factory.ts';
import { type DeviceClass, type ResourceClaim, type ResourceSlice, resources } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey, objectKey, type Stored } from '#api/object/kube-object.ts';
import type { ClusterEvent } from '../framework/cluster-event.ts';
import { type DevicePool, deviceId, gatherPools } from './device-pools.ts';

/** An allocation that we have promised; it counts until the claim shows it. */
interface Promised {
  readonly ids: readonly string[];
  /** resourceVersion of the claim that holds it; undefined while it is on its way. */
  version: number | undefined;
}

const versionOf = ({ metadata }: ResourceClaim): number => Number(metadata.resourceVersion) || 0;

function deviceIdsOf(allocation: IAllocationResult | undefined): readonly string[] {
  const results = allocation?.devices?.results ?? [];
  // Devices that somebody only watches over are free for others.
  return results.flatMap((one) => (one.adminAccess === true ? [] : [deviceId(one.driver, one.pool, one.device)]));
}

/** What devices there are, and which claims have them: as the API shows it, plus what was promised a moment ago. */
export class DeviceCache {
  readonly #claims: Informer<ResourceClaim>;
  readonly #slices: Informer<ResourceSlice>;
  readonly #classes: Informer<DeviceClass>;
  readonly #promised = new Map<string, Promised>();
  /** By uid of the claim. */
  readonly #shown = new Map<string, readonly string[]>();
  /** How many claims have a device, by its id. */
  readonly #holders = new Map<string, number>();
  #onEvent: (event: ClusterEvent) => void = () => undefined;
  /** Pools of one node alone by its name, and under undefined those of several. */
  #pools: ReadonlyMap<string | undefined, readonly DevicePool[]> | undefined;

  constructor(factory: InformerFactory) {
    this.#claims = factory.informer<ResourceClaim>(resources.resourceClaims);
    this.#slices = factory.informer<ResourceSlice>(resources.resourceSlices);
    this.#classes = factory.informer<DeviceClass>(resources.deviceClasses);
  }

  /** All that must be complete before pods with claims are placed. */
  get informers(): readonly Pick<Informer<Stored<object>>, 'waitForSync'>[] {
    return [this.#claims, this.#slices, this.#classes];
  }

  /** From now on changes that may help a pod are told. */
  watch(onEvent: (event: ClusterEvent) => void): void {
    this.#onEvent = onEvent;
    const onClaim = (claim: ResourceClaim, isGone: boolean) => {
      const before = this.#shown.get(claim.metadata.uid) ?? [];
      const ids = isGone ? [] : deviceIdsOf(claim.status?.allocation);
      const isFreed = before.some((id) => !ids.includes(id)) || (isGone && this.isPromised(claim));
      this.#show(claim, ids, isGone);
      onEvent({ kind: 'deviceClaimChanged', key: keyOf(claim), isFreed });
    };
    const onSlices = () => {
      this.#pools = undefined;
      onEvent({ kind: 'devicesChanged' });
    };
    const onClass = () => onEvent({ kind: 'devicesChanged' });
    this.#claims.addHandler({
      onAdd: (claim) => onClaim(claim, false),
      onUpdate: (_, claim) => onClaim(claim, false),
      onDelete: (claim) => onClaim(claim, true),
    });
    this.#slices.addHandler({ onAdd: onSlices, onUpdate: onSlices, onDelete: onSlices });
    this.#classes.addHandler({ onAdd: onClass, onUpdate: onClass });
  }

  claim(key: ObjectKey): ResourceClaim | undefined {
    return this.#claims.byKey(key);
  }

  deviceClass(name: string): DeviceClass | undefined {
    return this.#classes.byKey(objectKey(undefined, name));
  }

  /** By device id: given to a claim, or promised to one. */
  readonly allocated: Pick<ReadonlySet<string>, 'has'> = { has: (id) => this.#holders.has(id) };

  /** Pools that may have devices for the node. */
  poolsFor(nodeName: string): readonly DevicePool[] {
    this.#pools ??= byNode(gatherPools(this.#slices.list()));
    return [...(this.#pools.get(nodeName) ?? []), ...(this.#pools.get(undefined) ?? [])];
  }

  isPromised(claim: ResourceClaim): boolean {
    return this.#promised.has(claim.metadata.uid);
  }

  /** The devices count as given from now on. */
  promise({ metadata: { uid } }: ResourceClaim, allocation: IAllocationResult): void {
    const ids = deviceIdsOf(allocation);
    this.#promised.set(uid, { ids, version: undefined });
    this.#count(ids, 1);
  }

  /** The claim holds what it was promised: it counts until the cache shows this version of it. */
  keep(written: ResourceClaim): void {
    const promised = this.#promised.get(written.metadata.uid);
    if (promised === undefined) return;
    promised.version = versionOf(written);
    const shown = this.#claims.byKey(keyOf(written));
    if (shown?.metadata.uid === written.metadata.uid) this.#settle(shown);
  }

  /** Nothing comes of the promise; does nothing once it was kept. */
  withdraw(claim: ResourceClaim): void {
    const { uid } = claim.metadata;
    const promised = this.#promised.get(uid);
    if (promised === undefined || promised.version !== undefined) return;
    this.#promised.delete(uid);
    this.#count(promised.ids, -1);
    this.#onEvent({ kind: 'deviceClaimChanged', key: keyOf(claim), isFreed: true });
  }

  #show(claim: ResourceClaim, ids: readonly string[], isGone: boolean): void {
    const { uid } = claim.metadata;
    this.#count(ids, 1);
    this.#count(this.#shown.get(uid) ?? [], -1);
    if (ids.length === 0) this.#shown.delete(uid);
    else this.#shown.set(uid, ids);
    this.#settle(claim, isGone);
  }

  #settle(claim: ResourceClaim, isGone = false): void {
    const { uid } = claim.metadata;
    const promised = this.#promised.get(uid);
    const isShown = promised?.version !== undefined && versionOf(claim) >= promised.version;
    if (promised === undefined || !(isGone || isShown)) return;
    this.#promised.delete(uid);
    this.#count(promised.ids, -1);
  }

  #count(ids: readonly string[], by: 1 | -1): void {
    for (const id of ids) {
      const count = (this.#holders.get(id) ?? 0) + by;
      if (count <= 0) this.#holders.delete(id);
      else this.#holders.set(id, count);
    }
  }
}

function byNode(pools: readonly DevicePool[]): ReadonlyMap<string | undefined, readonly DevicePool[]> {
  const found = new Map<string | undefined, DevicePool[]>();
  for (const pool of pools) {
    const nodes = new Set(pool.devices.map(({ place }) => (place.allNodes === true ? undefined : place.nodeName)));
    const [node] = nodes.size === 1 ? nodes : [undefined];
    found.set(node, [...(found.get(node) ?? []), pool]);
  }
  return found;
}
