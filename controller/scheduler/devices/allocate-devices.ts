import type { IAllocationResult } from 'kubernetes-models/resource.k8s.io/v1/AllocationResult';
import type { DeviceClass, ResourceClaim } from '#api/object/kinds.ts';
import type { TermSubject } from '../plugins/node-selector-terms.ts';
import { allocationResult, type ChosenAlternative, type ChosenDevice } from './allocation-result.ts';
import { CounterState } from './counter-state.ts';
import { ConstraintState } from './device-constraints.ts';
import { type DevicePool, isUsableFrom, type PoolDevice } from './device-pools.ts';
import { type Alternative, type DeviceRequest, isTolerated, requestsOf } from './device-requests.ts';
import type { DeviceSelectors } from './device-selectors.ts';

export interface AllocateOptions {
  readonly claims: readonly ResourceClaim[];
  readonly node: TermSubject;
  /** What can be had on the node, and perhaps elsewhere. */
  readonly pools: readonly DevicePool[];
  /** By `deviceId`: given to other claims. */
  readonly allocated: Pick<ReadonlySet<string>, 'has'>;
  readonly classOf: (name: string) => DeviceClass | undefined;
  readonly selectors: DeviceSelectors;
  /** Devices that may be tried: the search takes time that grows beyond all bounds with what is asked for. */
  readonly maxSteps: number;
}

export type AllocateOutcome =
  /** In the order of the claims. */
  | { readonly kind: 'allocated'; readonly allocations: readonly IAllocationResult[] }
  | { readonly kind: 'none'; readonly reason: string };

/** As many as fit into the status of a claim. */
const MAX_RESULTS = 32;

class SearchEnded extends Error {
  override readonly name = 'SearchEnded';
}

/** Devices for all the claims on one node, or Kubernetes' words for why there are none. Pure. Throws DeviceSelectorError. */
export function allocateDevices(options: AllocateOptions): AllocateOutcome {
  try {
    const chosen = new Search(options).run();
    if (chosen === undefined) return { kind: 'none', reason: 'cannot allocate all claims' };
    const allocations = options.claims.map((claim) => {
      const ofClaim = <T extends { readonly request: DeviceRequest }>(all: readonly T[]) =>
        all.filter(({ request }) => request.claim === claim);
      const { devices, alternatives } = chosen;
      return allocationResult(
        claim,
        { devices: ofClaim(devices), alternatives: ofClaim(alternatives) },
        options.classOf,
      );
    });
    return { kind: 'allocated', allocations };
  } catch (err) {
    if (err instanceof SearchEnded) return { kind: 'none', reason: err.message };
    throw err;
  }
}

/**
 * Tries devices request by request and takes them back where the rest cannot be satisfied. Devices of one request are tried in one order
 * only, since which came first makes no difference.
 */
class Search {
  readonly #options: AllocateOptions;
  readonly #requests: readonly DeviceRequest[];
  readonly #constraints: ReadonlyMap<ResourceClaim, readonly ConstraintState[]>;
  readonly #counters: CounterState;
  readonly #candidates = new Map<Alternative, readonly PoolDevice[]>();
  readonly #taken = new Set<string>();
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
  }

  run():
    | { readonly devices: readonly ChosenDevice[]; readonly alternatives: readonly ChosenAlternative[] }
    | undefined {
    return this.#satisfy(0) ? { devices: this.#devices, alternatives: this.#alternatives } : undefined;
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
    const { spec } = alternative;
    const candidates = this.#candidatesOf(alternative);
    if (spec.allocationMode !== 'All') return this.#chooseSome(index, alternative, { from: 0, count: spec.count ?? 1 });
    // Devices of the pool that are yet to be told of belong to all, too.
    if (candidates.length === 0 || this.#options.pools.some(({ isIncomplete }) => isIncomplete)) return false;
    return this.#chooseSome(index, alternative, { from: 0, count: candidates.length });
  }

  #chooseSome(index: number, alternative: Alternative, { from, count }: { from: number; count: number }): boolean {
    if (count === 0) return this.#satisfy(index + 1);
    const request = this.#requests[index] as DeviceRequest;
    const candidates = this.#candidatesOf(alternative);
    for (let at = from; at + count <= candidates.length; at++) {
      const device = candidates[at] as PoolDevice;
      if (++this.#steps > this.#options.maxSteps) throw new SearchEnded('timed out trying to allocate devices');
      if (!this.#take({ request, alternative, device })) continue;
      if (this.#chooseSome(index, alternative, { from: at + 1, count: count - 1 })) return true;
      this.#giveBack({ request, alternative, device });
    }
    return false;
  }

  #take(chosen: ChosenDevice): boolean {
    const { request, alternative, device } = chosen;
    // Whoever has admin access shares with everybody, and takes nothing from anybody.
    const isShared = alternative.spec.adminAccess === true;
    if (!isShared && (this.#options.allocated.has(device.id) || this.#taken.has(device.id))) return false;
    if (this.#devices.filter((other) => other.request.claim === request.claim).length >= MAX_RESULTS) return false;
    if (!isShared && !this.#counters.take(device)) return false;
    const constraints = this.#constraints.get(request.claim) ?? [];
    const failing = constraints.findIndex((one) => !one.add(request, alternative, device));
    if (failing >= 0) {
      for (const one of constraints.slice(0, failing)) one.remove(request, alternative);
      if (!isShared) this.#counters.giveBack(device);
      return false;
    }
    if (!isShared) this.#taken.add(device.id);
    this.#devices.push(chosen);
    return true;
  }

  #giveBack({ request, alternative, device }: ChosenDevice): void {
    this.#devices.pop();
    for (const one of this.#constraints.get(request.claim) ?? []) one.remove(request, alternative);
    if (alternative.spec.adminAccess === true) return;
    this.#taken.delete(device.id);
    this.#counters.giveBack(device);
  }

  /** Devices that suit the request, free or not, in the order of their pools. */
  #candidatesOf(alternative: Alternative): readonly PoolDevice[] {
    const known = this.#candidates.get(alternative);
    if (known !== undefined) return known;
    const { pools } = this.#options;
    const usable = pools.filter(({ isIncomplete }) => !isIncomplete).flatMap(({ devices }) => devices);
    const candidates = usable.filter((device) => this.#suits(device, alternative));
    this.#candidates.set(alternative, candidates);
    return candidates;
  }

  #suits(candidate: PoolDevice, { spec, claim: { metadata } }: Alternative): boolean {
    const { node, classOf, selectors } = this.#options;
    if (!isUsableFrom(candidate, node) || !isTolerated(candidate.device.taints, spec.tolerations)) return false;
    if (isBeyondUs(candidate)) return false;
    const { deviceClassName } = spec;
    return (
      selectors.matchAll(`class ${deviceClassName}`, classOf(deviceClassName)?.spec?.selectors, candidate) &&
      selectors.matchAll(`claim ${metadata.namespace}/${metadata.name}`, spec.selectors, candidate)
    );
  }
}

/** Devices of which several claims have a part each, and those that have to be prepared before a pod is bound, are given to nobody. */
const isBeyondUs = ({ device }: PoolDevice): boolean =>
  device.allowMultipleAllocations === true || (device.bindingConditions ?? []).length > 0;
