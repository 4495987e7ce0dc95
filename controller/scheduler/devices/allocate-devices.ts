import type { IAllocationResult } from 'kubernetes-models/resource.k8s.io/v1/AllocationResult';
import type { DeviceClass, ResourceClaim } from '#api/object/kinds.ts';
import type { TermSubject } from '../plugins/node-selector-terms.ts';
import { allocationResult, type ChosenAlternative, type ChosenDevice } from './allocation-result.ts';
import { Candidates } from './candidates.ts';
import { CounterState } from './counter-state.ts';
import { consumptionOf } from './device-capacity.ts';
import { ConstraintState } from './device-constraints.ts';
import { type DevicePool, isUsableFrom, type PoolDevice } from './device-pools.ts';
import { type Alternative, type DeviceRequest, isTolerated, requestsOf } from './device-requests.ts';
import type { DeviceSelectors } from './device-selectors.ts';
import { type AllocatedDevices, SharedDevices } from './shared-devices.ts';
import { type FixedRequest, narrowToViableValues } from './viable-values.ts';

export interface AllocateOptions {
  readonly claims: readonly ResourceClaim[];
  readonly node: TermSubject;
  /** What can be had on the node, and perhaps elsewhere. */
  readonly pools: readonly DevicePool[];
  /** Given to other claims. */
  readonly allocated: AllocatedDevices;
  readonly classOf: (name: string) => DeviceClass | undefined;
  readonly selectors: DeviceSelectors;
  /** Devices that may be tried: the search takes time that grows beyond all bounds with what is asked for. */
  readonly maxSteps: number;
  /** The pod has had all the time that one pod gets: some selectors take long for each device. */
  readonly isLate: () => boolean;
  /** A new uid for a part of a device. */
  readonly newShareId: () => string;
}

export type AllocateOutcome =
  /** In the order of the claims. */
  | { readonly kind: 'allocated'; readonly allocations: readonly IAllocationResult[] }
  | { readonly kind: 'none'; readonly reason: string };

export const TIMED_OUT = 'timed out trying to allocate devices';

/** As many as fit into the status of a claim. */
const MAX_RESULTS = 32;
/** The clock is asked after so many steps. */
const STEPS_PER_LOOK = 64;

class SearchEnded extends Error {
  override readonly name = 'SearchEnded';
}

/** Devices for all the claims on one node, or Kubernetes' words for why there are none. Pure. Throws DeviceSelectorError. */
export function allocateDevices(options: AllocateOptions): AllocateOutcome {
  try {
    const chosen = new Search(options).run();
    if (chosen === undefined) {
      const isInvalid = options.pools.some((pool) => pool.isInvalid && isRelevant(pool, options.node));
      return {
        kind: 'none',
        reason: isInvalid ? 'invalid resource pools were encountered' : 'cannot allocate all claims',
      };
    }
    const allocations = options.claims.map((claim) => {
      const ofClaim = <T extends { readonly request: DeviceRequest }>(all: readonly T[]) =>
        all.filter(({ request }) => request.claim === claim);
      const { devices, alternatives } = chosen;
      return allocationResult(claim, { devices: ofClaim(devices), alternatives: ofClaim(alternatives) }, options);
    });
    return { kind: 'allocated', allocations };
  } catch (err) {
    if (err instanceof SearchEnded) return { kind: 'none', reason: err.message };
    throw err;
  }
}

const isRelevant = ({ devices }: DevicePool, node: TermSubject): boolean =>
  devices.some((device) => isUsableFrom(device, node));
const wantsAll = ({ spec }: Alternative): boolean => spec.allocationMode === 'All';
/** Whoever has admin access shares with everybody, and takes nothing from anybody. */
const isAdmin = ({ spec }: Alternative): boolean => spec.adminAccess === true;
const isShared = ({ device }: PoolDevice): boolean => device.allowMultipleAllocations === true;

/**
 * Tries devices request by request and takes them back where the rest cannot be satisfied. Devices of one request are tried in one order
 * only, since which came first makes no difference, and of devices that are alike only the first.
 */
class Search {
  readonly #options: AllocateOptions;
  readonly #requests: readonly DeviceRequest[];
  readonly #constraints: ReadonlyMap<ResourceClaim, readonly ConstraintState[]>;
  readonly #counters: CounterState;
  readonly #shared: SharedDevices;
  readonly #candidates = new Map<Alternative, Candidates>();
  /** Claims that have each device in this search. */
  readonly #taken = new Map<string, Set<ResourceClaim>>();
  readonly #kinds = new Map<PoolDevice, string>();
  readonly #devices: ChosenDevice[] = [];
  readonly #alternatives: ChosenAlternative[] = [];
  #steps = 0;

  constructor(options: AllocateOptions) {
    this.#options = options;
    this.#requests = options.claims.flatMap(requestsOf);
    this.#constraints = new Map(
      options.claims.map((claim) => [
        claim,
        (claim.spec?.devices?.constraints ?? []).map((constraint) => new ConstraintState(constraint)),
      ]),
    );
    this.#counters = new CounterState(options.pools, options.allocated);
    this.#shared = new SharedDevices(options.allocated);
  }

  run():
    | { readonly devices: readonly ChosenDevice[]; readonly alternatives: readonly ChosenAlternative[] }
    | undefined {
    for (const claim of this.#options.claims) this.#checkSize(claim);
    const fixed = this.#requests.flatMap((request): FixedRequest[] => {
      const [alternative, ...others] = request.alternatives;
      if (alternative === undefined || others.length > 0 || wantsAll(alternative)) return [];
      return [{ request, alternative, count: countOf(alternative), candidates: this.#candidatesOf(alternative) }];
    });
    for (const constraints of this.#constraints.values())
      narrowToViableValues(
        constraints,
        fixed.filter(({ request }) => this.#constraints.get(request.claim) === constraints),
      );
    // What cannot be had by itself is not searched for.
    const isHopeless = fixed.some(({ candidates, count }) => candidates.at(count - 1) === undefined);
    if (isHopeless || !this.#satisfy(0)) return undefined;
    return { devices: this.#devices, alternatives: this.#alternatives };
  }

  #checkSize(claim: ResourceClaim): void {
    const counts = this.#requests
      .filter((request) => request.claim === claim)
      .map(({ alternatives }) => Math.min(...alternatives.map((one) => this.#needed(one))));
    const total = counts.reduce((sum, count) => sum + count, 0);
    if (total > MAX_RESULTS)
      throw new SearchEnded(
        `claim ${claim.metadata.namespace}/${claim.metadata.name}: number of requested devices ${total} exceeds the claim limit of ${MAX_RESULTS}`,
      );
  }

  #needed(alternative: Alternative): number {
    if (!wantsAll(alternative)) return countOf(alternative);
    const { pools, node } = this.#options;
    // Devices that are yet to be told of belong to all, too.
    const unfit = pools.find((pool) => (pool.isIncomplete || pool.isInvalid) && isRelevant(pool, node));
    if (unfit !== undefined)
      throw new SearchEnded(
        `${describe(alternative)}: asks for all devices, but resource pool ${unfit.driver}/${unfit.name} is currently ${unfit.isIncomplete ? 'being updated' : 'invalid'}`,
      );
    return this.#candidatesOf(alternative).all().length;
  }

  #satisfy(index: number): boolean {
    const request = this.#requests[index];
    if (request === undefined) return true;
    for (const alternative of request.alternatives) {
      this.#alternatives.push({ request, alternative });
      if (this.#choose(index, alternative)) return true;
      this.#alternatives.pop();
    }
    return false;
  }

  #choose(index: number, alternative: Alternative): boolean {
    const count = this.#needed(alternative);
    const has = this.#devices.filter(({ alternative: { claim } }) => claim === alternative.claim).length;
    if (count === 0 || has + count > MAX_RESULTS) return false;
    return this.#chooseSome(index, alternative, { from: 0, count });
  }

  #chooseSome(index: number, alternative: Alternative, { from, count }: { from: number; count: number }): boolean {
    if (count === 0) return this.#satisfy(index + 1);
    const request = this.#requests[index] as DeviceRequest;
    const candidates = this.#candidatesOf(alternative);
    const failed = new Set<string>();
    for (let at = from; candidates.at(at + count - 1) !== undefined; at++) {
      const device = candidates.at(at) as PoolDevice;
      this.#step();
      if (failed.size === 0 || !failed.has(this.#kindOf(device))) {
        const chosen = this.#take(request, alternative, device);
        if (chosen !== undefined) {
          if (this.#chooseSome(index, alternative, { from: at + 1, count: count - 1 })) return true;
          this.#giveBack(chosen);
          failed.add(this.#kindOf(device));
        }
      }
      // One that cannot be had is one too few.
      if (wantsAll(alternative)) return false;
    }
    return false;
  }

  #step(): void {
    this.#steps++;
    const isTime = this.#steps % STEPS_PER_LOOK === 0;
    if (this.#steps > this.#options.maxSteps || (isTime && this.#options.isLate())) throw new SearchEnded(TIMED_OUT);
  }

  #take(request: DeviceRequest, alternative: Alternative, device: PoolDevice): ChosenDevice | undefined {
    if (!this.#isFree(alternative, device) || !isAccepted(device, alternative)) return undefined;
    const amounts = consumptionOf(device, alternative.spec.capacity?.requests);
    const part = isShared(device) ? amounts : undefined;
    if (amounts === undefined || (part !== undefined && !isAdmin(alternative) && !this.#shared.hasRoom(device, part)))
      return undefined;
    // The parts of a shared device take its counters once.
    const takesCounters = !isAdmin(alternative) && !(isShared(device) && this.#shared.isInUse(device));
    if (takesCounters && !this.#counters.take(device)) return undefined;
    const constraints = this.#constraints.get(request.claim) ?? [];
    const failing = constraints.findIndex((one) => !one.add(request, alternative, device));
    if (failing >= 0) {
      for (const one of constraints.slice(0, failing)) one.remove(request, alternative);
      if (takesCounters) this.#counters.giveBack(device);
      return undefined;
    }
    if (part === undefined) this.#claimsOf(device).add(request.claim);
    else if (!isAdmin(alternative)) this.#shared.take(device, part);
    const chosen: ChosenDevice = { request, alternative, device, part, takesCounters };
    this.#devices.push(chosen);
    return chosen;
  }

  #giveBack({ request, alternative, device, part, takesCounters }: ChosenDevice): void {
    this.#devices.pop();
    for (const one of this.#constraints.get(request.claim) ?? []) one.remove(request, alternative);
    if (takesCounters) this.#counters.giveBack(device);
    if (part === undefined) this.#claimsOf(device).delete(request.claim);
    else if (!isAdmin(alternative)) this.#shared.giveBack(device, part);
  }

  /** A device is in one claim once, and in no other unless somebody only watches over it. */
  #isFree(alternative: Alternative, device: PoolDevice): boolean {
    if (isAdmin(alternative)) return !this.#claimsOf(device).has(alternative.claim);
    return !this.#options.allocated.has(device.id) && this.#claimsOf(device).size === 0;
  }

  #claimsOf({ id }: PoolDevice): Set<ResourceClaim> {
    const claims = this.#taken.get(id) ?? new Set();
    this.#taken.set(id, claims);
    return claims;
  }

  /** Devices of one kind are as good as each other for all that is asked for. */
  #kindOf(device: PoolDevice): string {
    const known = this.#kinds.get(device);
    if (known !== undefined) return known;
    const suits = this.#requests.flatMap(({ alternatives }) =>
      alternatives.map((one) => isAccepted(device, one) && this.#suits(device, one)),
    );
    const values = [...this.#constraints.values()].flat().map((one) => one.valueOf(device) ?? null);
    const { consumesCounters = [], capacity = {} } = device.device;
    const counters = consumesCounters.length === 0 ? [] : [device.driver, device.pool, consumesCounters];
    const isAlone = isShared(device) || this.#options.allocated.has(device.id);
    const kind = isAlone ? device.id : JSON.stringify([suits, values, counters, Object.entries(capacity)]);
    this.#kinds.set(device, kind);
    return kind;
  }

  /** Devices that suit, in the order of their pools: for a number of them those that others have left. */
  #candidatesOf(alternative: Alternative): Candidates {
    const known = this.#candidates.get(alternative);
    if (known !== undefined) return known;
    const { pools, allocated } = this.#options;
    const usable = pools.filter((pool) => !pool.isIncomplete && !pool.isInvalid).flatMap(({ devices }) => devices);
    const test = (device: PoolDevice): boolean => {
      if (!wantsAll(alternative) && !isAdmin(alternative) && allocated.has(device.id)) return false;
      if (!this.#suits(device, alternative)) return false;
      const amounts = consumptionOf(device, alternative.spec.capacity?.requests);
      return (
        amounts !== undefined && (!isShared(device) || isAdmin(alternative) || this.#shared.hasRoom(device, amounts))
      );
    };
    // Tainted devices belong to all; who does not tolerate them gets none.
    const candidates = new Candidates(
      usable,
      (device) => (wantsAll(alternative) || isAccepted(device, alternative)) && test(device),
    );
    this.#candidates.set(alternative, candidates);
    return candidates;
  }

  #suits(candidate: PoolDevice, { spec, claim: { metadata } }: Alternative): boolean {
    const { node, classOf, selectors, isLate } = this.#options;
    if (!isUsableFrom(candidate, node)) return false;
    if (isLate()) throw new SearchEnded(TIMED_OUT);
    const { deviceClassName } = spec;
    return (
      selectors.matchAll(`class ${deviceClassName}`, classOf(deviceClassName)?.spec?.selectors, candidate) &&
      selectors.matchAll(`claim ${metadata.namespace}/${metadata.name}`, spec.selectors, candidate)
    );
  }
}

const isAccepted = ({ device }: PoolDevice, { spec }: Alternative): boolean =>
  isTolerated(device.taints, spec.tolerations);

const countOf = ({ spec }: Alternative): number => spec.count ?? 1;

const describe = ({ claim: { metadata }, name }: Alternative): string =>
  `claim ${metadata.namespace}/${metadata.name}, request ${name}`;
