import type { IAllocationResult } from 'kubernetes-models/resource.k8s.io/v1/AllocationResult';
import type { Informer } from '#api/client/informer.ts';
import type { InformerFactory } from '#api/client/informer-factory.ts';
import { DEVICE_CLASS_PREFIX } from '#api/meta/extended-resources.ts';
import { owningPodOf } from '#api/meta/pod-resource-claims.ts';
import { type DeviceClass, type ResourceClaim, type ResourceSlice, resources } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey, objectKey, type Stored } from '#api/object/kube-object.ts';
import type { ClusterEvent } from '../framework/cluster-event.ts';
import { type DevicePool, gatherPools } from './device-pools.ts';
import { EXTENDED_ANNOTATION } from './extended-claim.ts';
import { frees, type Holding, Holdings, holdingOf, isEmpty, NOTHING } from './holdings.ts';
import type { AllocatedDevices } from './shared-devices.ts';

/** An allocation that we have promised; it counts until the claim shows it. */
interface Promised {
  readonly holding: Holding;
  /** resourceVersion of the claim that holds it; undefined while it is on its way. */
  version: number | undefined;
}

/** `order`: its place among all pools. */
interface OrderedPool {
  readonly pool: DevicePool;
  readonly order: number;
}

const BY_EXTENDED_POD = 'extendedResourcePod';

const isExtended = ({ metadata }: ResourceClaim): boolean => metadata.annotations?.[EXTENDED_ANNOTATION] === 'true';
const versionOf = ({ metadata }: ResourceClaim): number => Number(metadata.resourceVersion) || 0;

/** What devices there are, and which claims have them: as the API shows it, plus what was promised a moment ago. */
export class DeviceCache {
  readonly #claims: Informer<ResourceClaim>;
  readonly #slices: Informer<ResourceSlice>;
  readonly #classes: Informer<DeviceClass>;
  readonly #promised = new Map<string, Promised>();
  /** By uid of the claim. */
  readonly #shown = new Map<string, Holding>();
  readonly #holdings = new Holdings();
  #classByResource: ReadonlyMap<string, string> | undefined;
  /** Who waits for a claim to change, by its key. */
  readonly #waiting = new Map<ObjectKey, Set<() => void>>();
  #onEvent: (event: ClusterEvent) => void = () => undefined;
  /** Pools of one node alone by its name, and under undefined those of several. */
  #pools: ReadonlyMap<string | undefined, readonly OrderedPool[]> | undefined;

  constructor(factory: InformerFactory) {
    this.#claims = factory.informer<ResourceClaim>(resources.resourceClaims);
    this.#claims.addIndex(BY_EXTENDED_POD, (claim) => (isExtended(claim) ? [owningPodOf(claim)?.uid ?? ''] : []));
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
      const before = this.#shown.get(claim.metadata.uid) ?? NOTHING;
      const holding = isGone ? NOTHING : holdingOf(claim.status?.allocation);
      // A pod whose claim for extended resources came to nothing waits for its end, whether it had devices or not.
      const isFreed = frees(before, holding) || (isGone && (this.isPromised(claim) || isExtended(claim)));
      this.#show(claim, holding, isGone);
      onEvent({ kind: 'deviceClaimChanged', key: keyOf(claim), isFreed });
      for (const wake of this.#waiting.get(keyOf(claim)) ?? []) wake();
    };
    const onSlices = () => {
      this.#pools = undefined;
      onEvent({ kind: 'devicesChanged' });
    };
    const onClass = () => {
      this.#classByResource = undefined;
      onEvent({ kind: 'devicesChanged' });
    };
    this.#claims.addHandler({
      onAdd: (claim) => onClaim(claim, false),
      onUpdate: (_, claim) => onClaim(claim, false),
      onDelete: (claim) => onClaim(claim, true),
    });
    this.#slices.addHandler({ onAdd: onSlices, onUpdate: onSlices, onDelete: onSlices });
    this.#classes.addHandler({ onAdd: onClass, onUpdate: onClass, onDelete: onClass });
  }

  claim(key: ObjectKey): ResourceClaim | undefined {
    return this.#claims.byKey(key);
  }

  deviceClass(name: string): DeviceClass | undefined {
    return this.#classes.byKey(objectKey(undefined, name));
  }

  /** The class whose devices stand for an extended resource: of several the newest, then the first by name. */
  classForResource(resource: string): string | undefined {
    if (!resource.includes('/')) return undefined;
    this.#classByResource ??= classByResource(this.#classes.list());
    return this.#classByResource.get(resource);
  }

  /** The claim that was made for the extended resources of a pod. */
  extendedClaimOf(podUid: string): ResourceClaim | undefined {
    return this.#claims.byIndex(BY_EXTENDED_POD, podUid)[0];
  }

  /** Given to a claim, or promised to one. */
  get allocated(): AllocatedDevices {
    return this.#holdings;
  }

  /** Calls back at each change of the claim until the answer is called. */
  onChange(claim: ResourceClaim, wake: () => void): () => void {
    const key = keyOf(claim);
    const waiting = this.#waiting.get(key) ?? new Set();
    this.#waiting.set(key, waiting.add(wake));
    return () => {
      waiting.delete(wake);
      if (waiting.size === 0) this.#waiting.delete(key);
    };
  }

  /** A pod that found no devices in time looks again: what was found out so far is known then. */
  tellSearchDue(key: ObjectKey): void {
    this.#onEvent({ kind: 'deviceSearchDue', key });
  }

  /** Pools that may have devices for the node. */
  poolsFor(nodeName: string): readonly DevicePool[] {
    this.#pools ??= byNode(gatherPools(this.#slices.list()));
    const own = this.#pools.get(nodeName) ?? [];
    const shared = this.#pools.get(undefined) ?? [];
    if (own.length === 0) return shared.map(({ pool }) => pool);
    return [...own, ...shared].sort((a, b) => a.order - b.order).map(({ pool }) => pool);
  }

  isPromised(claim: ResourceClaim): boolean {
    return this.#promised.has(claim.metadata.uid);
  }

  /** The devices count as given from now on. */
  promise({ metadata: { uid } }: ResourceClaim, allocation: IAllocationResult): void {
    const holding = holdingOf(allocation);
    this.#promised.set(uid, { holding, version: undefined });
    this.#holdings.count(holding, 1);
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
    this.#holdings.count(promised.holding, -1);
    this.#onEvent({ kind: 'deviceClaimChanged', key: keyOf(claim), isFreed: true });
  }

  #show(claim: ResourceClaim, holding: Holding, isGone: boolean): void {
    const { uid } = claim.metadata;
    this.#holdings.count(holding, 1);
    this.#holdings.count(this.#shown.get(uid) ?? NOTHING, -1);
    if (isEmpty(holding)) this.#shown.delete(uid);
    else this.#shown.set(uid, holding);
    this.#settle(claim, isGone);
  }

  #settle(claim: ResourceClaim, isGone = false): void {
    const { uid } = claim.metadata;
    const promised = this.#promised.get(uid);
    const isShown = promised?.version !== undefined && versionOf(claim) >= promised.version;
    if (promised === undefined || !(isGone || isShown)) return;
    this.#promised.delete(uid);
    this.#holdings.count(promised.holding, -1);
  }
}

function classByResource(classes: readonly DeviceClass[]): ReadonlyMap<string, string> {
  const timeOf = ({ metadata }: DeviceClass) => String(metadata.creationTimestamp ?? '');
  const found = new Map<string, DeviceClass>();
  for (const one of classes) {
    const named = one.spec?.extendedResourceName;
    const known = named === undefined ? undefined : found.get(named);
    const isNewer = known === undefined || timeOf(one) > timeOf(known);
    const isFirst = known !== undefined && timeOf(one) === timeOf(known) && one.metadata.name < known.metadata.name;
    if (named !== undefined && (isNewer || isFirst)) found.set(named, one);
  }
  return new Map([
    ...classes.map(({ metadata: { name } }) => [`${DEVICE_CLASS_PREFIX}${name}`, name] as const),
    ...[...found].map(([resource, { metadata }]) => [resource, metadata.name] as const),
  ]);
}

function byNode(pools: readonly DevicePool[]): ReadonlyMap<string | undefined, readonly OrderedPool[]> {
  const found = new Map<string | undefined, OrderedPool[]>();
  for (const [order, pool] of pools.entries()) {
    const nodes = new Set(pool.devices.map(({ place }) => (place.allNodes === true ? undefined : place.nodeName)));
    const [node] = nodes.size === 1 ? nodes : [undefined];
    const known = found.get(node);
    if (known === undefined) found.set(node, [{ pool, order }]);
    else known.push({ pool, order });
  }
  return found;
}
