import type { IDeviceTaint } from 'kubernetes-models/resource.k8s.io/v1/DeviceTaint';
import type { Informer } from '#api/client/informer.ts';
import type { WorkQueue } from '#api/client/work-queue.ts';
import {
  ClaimNameError,
  isReservedForPod,
  podResourceClaims,
  resolveClaimName,
  whyNotForPod,
} from '#api/meta/pod-resource-claims.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import { type Pod, type ResourceClaim, type ResourceSlice, resources } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { deletePod, markDisrupted } from '../pod-deletion.ts';
import { type DeviceResult, evictingTaints, evictionTimeMs, poolKey, resultsOf } from './plan-device-eviction.ts';

const BY_POOL = 'devicePool';

type PoolTaints = ReadonlyMap<string, readonly IDeviceTaint[]>;

const poolOfSlice = ({ spec }: ResourceSlice): string => poolKey(spec?.driver ?? '', spec?.pool.name ?? '');

/** Deletes pods that use devices with a NoExecute taint, once the claims of these devices do not tolerate it any longer. */
class DeviceTaintEvictionController {
  readonly #context: ControllerContext;
  readonly #pods: Informer<Pod>;
  readonly #claims: Informer<ResourceClaim>;
  readonly #slices: Informer<ResourceSlice>;
  readonly #queue: WorkQueue<ObjectKey>;
  /** By pool, those alone that have tainted devices. */
  readonly #taints = new Map<string, PoolTaints>();
  /** Uids of pods that were to be deleted at some time when they were looked at last. */
  readonly #doomed = new Set<string>();

  constructor(context: ControllerContext) {
    this.#context = context;
    const { informers } = context;
    this.#pods = informers.informer<Pod>(resources.pods);
    this.#claims = informers.informer<ResourceClaim>(resources.resourceClaims);
    this.#slices = informers.informer<ResourceSlice>(resources.resourceSlices);
    this.#claims.addIndex(BY_POOL, (claim) => [
      ...new Set(resultsOf(claim).map(({ driver, pool }) => poolKey(driver, pool))),
    ]);
    this.#slices.addIndex(BY_POOL, (slice) => [poolOfSlice(slice)]);
    this.#queue = createControllerQueue<ObjectKey>(context, {
      name: 'device-taint-eviction',
      sync: (key) => this.#sync(key),
    });
  }

  run(signal: AbortSignal): Promise<void> {
    this.#pods.addHandler({
      onAdd: (pod) => this.#onPod(pod),
      onUpdate: (previous, pod) => {
        const isSame =
          previous.spec?.nodeName === pod.spec?.nodeName &&
          deepEqual(previous.status?.resourceClaimStatuses, pod.status?.resourceClaimStatuses);
        if (!isSame) this.#onPod(pod);
      },
      onDelete: (pod) => this.#doomed.delete(pod.metadata.uid),
    });
    this.#claims.addHandler({
      onAdd: (claim) => this.#onClaim(claim),
      onUpdate: (previous, claim) => {
        if (deepEqual(previous.status, claim.status)) return;
        this.#onClaim(previous);
        this.#onClaim(claim);
      },
      onDelete: (claim) => this.#onClaim(claim),
    });
    const onSlice = (slice: ResourceSlice) => this.#onPool(poolOfSlice(slice));
    this.#slices.addHandler({ onAdd: onSlice, onUpdate: (_, slice) => onSlice(slice), onDelete: onSlice });
    return runQueue(this.#queue, [this.#pods, this.#claims, this.#slices], signal);
  }

  #onPod(pod: Pod): void {
    if (podResourceClaims(pod).length > 0) this.#queue.add(keyOf(pod));
  }

  /** Where no device is tainted, pods come and go unseen. */
  #onClaim(claim: ResourceClaim): void {
    const isConcerned = resultsOf(claim).some(({ driver, pool }) => this.#taints.has(poolKey(driver, pool)));
    for (const { name, uid } of claim.status?.reservedFor ?? [])
      if (isConcerned || this.#doomed.has(uid)) this.#queue.add(objectKey(claim.metadata.namespace, name));
  }

  #onPool(key: string): void {
    const before = this.#taints.get(key);
    const after = evictingTaints(this.#slices.byIndex(BY_POOL, key));
    if (before === undefined && after.size === 0) return;
    if (after.size === 0) this.#taints.delete(key);
    else this.#taints.set(key, after);
    const isChanged = ({ device }: DeviceResult) => !deepEqual(before?.get(device), after.get(device));
    for (const claim of this.#claims.byIndex(BY_POOL, key))
      if (resultsOf(claim).some((result) => poolKey(result.driver, result.pool) === key && isChanged(result)))
        for (const { name } of claim.status?.reservedFor ?? [])
          this.#queue.add(objectKey(claim.metadata.namespace, name));
  }

  async #sync(key: ObjectKey): Promise<void> {
    const pod = this.#pods.byKey(key);
    if (pod === undefined || pod.metadata.deletionTimestamp !== undefined) return;
    const { uid } = pod.metadata;
    const atMs = this.#evictionTimeMs(pod);
    if (atMs === undefined) {
      if (this.#doomed.delete(uid)) this.#record(pod, 'Cancelling deletion');
      return;
    }
    this.#doomed.add(uid);
    const leftMs = atMs - this.#context.clock.now();
    if (leftMs > 0) this.#queue.addAfter(key, leftMs);
    else await this.#evict(pod);
  }

  /** The earliest of all its claims. Pods that run nowhere need not go. */
  #evictionTimeMs(pod: Pod): number | undefined {
    if ((pod.spec?.nodeName ?? '') === '') return undefined;
    const taintsOf = ({ driver, pool, device }: DeviceResult) =>
      this.#taints.get(poolKey(driver, pool))?.get(device) ?? [];
    const times = this.#claimsOf(pod).flatMap((claim) => evictionTimeMs(claim, taintsOf) ?? []);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  #claimsOf(pod: Pod): readonly ResourceClaim[] {
    return podResourceClaims(pod).flatMap((podClaim) => {
      const named = nameOf(pod, podClaim);
      const claim =
        named?.name === undefined ? undefined : this.#claims.byKey(objectKey(pod.metadata.namespace, named.name));
      if (claim === undefined || !isReservedForPod(pod, claim)) return [];
      return named?.isGenerated === true && whyNotForPod(pod, claim) !== undefined ? [] : [claim];
    });
  }

  async #evict(pod: Pod): Promise<void> {
    const { client, clock } = this.#context;
    this.#record(pod, 'Marking for deletion');
    try {
      await markDisrupted(client, pod, {
        reason: 'DeletionByDeviceTaintManager',
        message: 'Device Taint manager: deleting due to NoExecute taint',
        nowMs: clock.now(),
        isNodeGone: false,
      });
    } catch (err) {
      if (isNotFound(err)) return;
      throw err;
    }
    await deletePod(client, pod);
  }

  #record(pod: Pod, message: string): void {
    const subject = { apiVersion: 'v1', kind: 'Pod', metadata: pod.metadata };
    this.#context.events.record(subject, 'Normal', 'DeviceTaintManagerEviction', message);
  }
}

/** undefined: it is not made yet, or the pod speaks of it in a way that we do not know. */
function nameOf(pod: Pod, podClaim: ReturnType<typeof podResourceClaims>[number]) {
  try {
    return resolveClaimName(pod, podClaim);
  } catch (err) {
    if (err instanceof ClaimNameError) return undefined;
    throw err;
  }
}

export function startDeviceTaintEvictionController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  return new DeviceTaintEvictionController(context).run(signal);
}
