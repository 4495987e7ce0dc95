import type { Informer } from '#api/client/informer.ts';
import type { WorkQueue } from '#api/client/work-queue.ts';
import { resources } from '#api/object/kinds.ts';
import { type KubeObject, keyOf, type ObjectKey } from '#api/object/kube-object.ts';
import { type Amounts, isSameAmounts, parseAmounts } from '#api/quota/amounts.ts';
import type { GroupResource } from '#api/quota/evaluators.ts';
import type { ResourceQuota } from '#api/quota/quota.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { computeUsed, isLowered, kindsCountedBy, planStatus, raisedUsed } from './compute-status.ts';
import { CountedObjects } from './counted-objects.ts';

/** Everything is counted again after this long, whatever was heard. */
const RESYNC_MS = 300_000;
/**
 * Admission charges a quota before the object is there to be counted. A count is believed to be lower only when no charge has come in for
 * this long; it is written with the resourceVersion that it was made for, so that a charge in between makes it void.
 */
const REST_MS = 500;
/** A namespace in which somebody creates something all the time is recounted after this long nevertheless. */
const MAX_UNREST_MS = 10_000;

/** Says in each quota's status what is bounded and what of it is used: with a new spec, and when something went. */
class ResourceQuotaController {
  readonly #context: ControllerContext;
  readonly #signal: AbortSignal;
  readonly #quotas: Informer<ResourceQuota>;
  readonly #objects: CountedObjects;
  readonly #queue: WorkQueue<ObjectKey>;
  /** Monotonic time of the last charge that was seen, and since when a lower count has been waiting. */
  readonly #chargedAtMs = new Map<ObjectKey, number>();
  readonly #waitingSinceMs = new Map<ObjectKey, number>();

  constructor(context: ControllerContext, signal: AbortSignal) {
    this.#context = context;
    this.#signal = signal;
    this.#quotas = context.informers.informer<ResourceQuota>(resources.resourceQuotas);
    this.#objects = new CountedObjects(context, (namespace) => this.#recount(namespace));
    this.#queue = createControllerQueue<ObjectKey>(context, {
      name: 'resource-quota',
      sync: (key) => this.#sync(key),
    });
  }

  async run(): Promise<void> {
    this.#quotas.addHandler({
      onAdd: (quota) => this.#queue.add(keyOf(quota)),
      onUpdate: (before, quota) => {
        if (!isSameAmounts(parseAmounts(before.status?.used), parseAmounts(quota.status?.used))) {
          this.#chargedAtMs.set(keyOf(quota), this.#context.clock.monotonic());
        }
        if (before.metadata.generation !== quota.metadata.generation || !isSpecTold(quota)) {
          this.#queue.add(keyOf(quota));
        }
      },
      onDelete: (quota) => this.#forget(keyOf(quota)),
    });
    await runQueue(this.#queue, [this.#quotas], this.#signal);
  }

  #recount(namespace: string): void {
    for (const quota of this.#quotas.list(namespace)) this.#queue.add(keyOf(quota));
  }

  #forget(key: ObjectKey): void {
    this.#chargedAtMs.delete(key);
    this.#waitingSinceMs.delete(key);
  }

  async #sync(key: ObjectKey): Promise<void> {
    const quota = this.#quotas.byKey(key);
    if (quota === undefined || quota.metadata.deletionTimestamp !== undefined) return;
    const counted = new Map<GroupResource, readonly KubeObject[]>();
    for (const kind of kindsCountedBy(quota)) {
      counted.set(kind, await this.#objects.list(kind, quota.metadata.namespace ?? '', this.#signal));
    }
    const objectsOf = ({ group, resource }: GroupResource) =>
      [...counted].find(([kind]) => kind.group === group && kind.resource === resource)?.[1] ?? [];
    const used = computeUsed(quota, objectsOf, this.#context.clock.now());
    await this.#tell(key, quota, used);
  }

  async #tell(key: ObjectKey, quota: ResourceQuota, used: Amounts): Promise<void> {
    const mustWait = isLowered(quota, used) && !this.#isAtRest(key);
    const status = planStatus(quota, mustWait ? raisedUsed(quota, used) : used);
    if (status !== undefined) {
      const client = this.#context.client.resource<ResourceQuota>(resources.resourceQuotas);
      await client.update({ ...quota, status }, 'status');
    }
    if (!mustWait) this.#waitingSinceMs.delete(key);
    this.#queue.addAfter(key, mustWait ? REST_MS : RESYNC_MS);
  }

  #isAtRest(key: ObjectKey): boolean {
    const nowMs = this.#context.clock.monotonic();
    const since = this.#waitingSinceMs.get(key) ?? nowMs;
    this.#waitingSinceMs.set(key, since);
    const chargedAt = this.#chargedAtMs.get(key);
    return chargedAt === undefined || nowMs - chargedAt >= REST_MS || nowMs - since >= MAX_UNREST_MS;
  }
}

const isSpecTold = ({ spec, status }: ResourceQuota): boolean =>
  isSameAmounts(parseAmounts(spec?.hard), parseAmounts(status?.hard));

export function startResourceQuotaController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  return new ResourceQuotaController(context, signal).run();
}
