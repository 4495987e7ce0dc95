import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey } from '#api/object/kube-object.ts';
import { SlicesByService } from '#api/object/slices-by-service.ts';
import { type NodePlace, planService } from './plan.ts';
import type { ServicePortPlan } from './service-port-plan.ts';

export interface PlanChange {
  /** What the kernel holds now; undefined for a new Service port. */
  readonly previous: ServicePortPlan | undefined;
  /** What it shall hold; undefined when the Service port is gone. */
  readonly next: ServicePortPlan | undefined;
}

/** One sync: read in one turn, so that informer events between its awaits belong to the next one. */
export interface PlannedSync {
  readonly changes: readonly PlanChange[];
  /** Every plan, computed when asked for; ask before `confirm`. */
  readonly plans: readonly ServicePortPlan[];
  /** The kernel holds `plans` now. */
  confirm(): void;
}

const planKey = (plan: ServicePortPlan): string => `${plan.id}|${plan.protocol}|${plan.family}`;

/**
 * Remembers Services and EndpointSlices, and which Services were touched since the last sync, so that a sync plans only those.
 * The plans of the last successful sync are kept too: they are what the kernel holds.
 */
export class ChangeTracker {
  #place: NodePlace;
  readonly #services = new Map<ObjectKey, Service>();
  readonly #slices = new SlicesByService();
  readonly #dirty = new Set<ObjectKey>();
  #installed = new Map<ObjectKey, readonly ServicePortPlan[]>();

  readonly #onDirty: () => void;

  /** `onDirty` is called after every event: there is something to sync. */
  constructor(place: NodePlace, onDirty: () => void) {
    this.#place = place;
    this.#onDirty = onDirty;
  }

  get hasChanges(): boolean {
    return this.#dirty.size > 0;
  }

  onService(service: Service): void {
    this.#services.set(keyOf(service), service);
    this.#markDirty(keyOf(service));
  }

  onServiceDeleted(service: Service): void {
    this.#services.delete(keyOf(service));
    this.#markDirty(keyOf(service));
  }

  onSlice(slice: EndpointSlice): void {
    const key = this.#slices.set(slice);
    if (key !== undefined) this.#markDirty(key);
  }

  onSliceDeleted(slice: EndpointSlice): void {
    const key = this.#slices.delete(slice);
    if (key !== undefined) this.#markDirty(key);
  }

  /** Takes what is dirty; after a failure call `forget`. */
  beginSync(): PlannedSync {
    const next = new Map([...this.#dirty].map((key) => [key, this.#planOf(key)] as const));
    this.#dirty.clear();
    const changes = [...next].flatMap(([key, plans]) => diffPlans(this.#installed.get(key) ?? [], plans));
    const installed = this.#installed;
    return {
      changes,
      // Only a full sync asks: with 10,000 Services the list costs more than what one of them changes.
      get plans() {
        return [...installed].flatMap(([key, plans]) => (next.has(key) ? [] : plans)).concat([...next.values()].flat());
      },
      confirm: () => {
        for (const [key, plans] of next) {
          if (plans.length === 0) installed.delete(key);
          else installed.set(key, plans);
        }
      },
    };
  }

  /** A sync failed or the rules were flushed: nothing is known of the kernel any more, everything is dirty. */
  forget(): void {
    this.#installed = new Map();
    for (const key of this.#services.keys()) this.#dirty.add(key);
  }

  /** The node was moved to another zone: any Service may prefer other endpoints now. */
  setZone(zone: string | undefined): void {
    if (zone === this.#place.zone) return;
    this.#place = { ...this.#place, zone };
    for (const key of this.#services.keys()) this.#dirty.add(key);
    this.#onDirty();
  }

  #markDirty(key: ObjectKey): void {
    this.#dirty.add(key);
    this.#onDirty();
  }

  #planOf(key: ObjectKey): ServicePortPlan[] {
    const service = this.#services.get(key);
    if (service === undefined) return [];
    return planService({ service, slices: this.#slices.of(key), ...this.#place });
  }
}

function diffPlans(before: readonly ServicePortPlan[], after: readonly ServicePortPlan[]): PlanChange[] {
  const gone = new Map(before.map((plan) => [planKey(plan), plan]));
  const changes: PlanChange[] = [];
  for (const plan of after) {
    const previous = gone.get(planKey(plan));
    gone.delete(planKey(plan));
    if (previous === undefined || !isSamePlan(previous, plan)) changes.push({ previous, next: plan });
  }
  for (const plan of gone.values()) changes.push({ previous: plan, next: undefined });
  return changes;
}

/** Plans are small values of strings, numbers and lists in a fixed order, so their JSON is their identity. */
function isSamePlan(a: ServicePortPlan, b: ServicePortPlan): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
