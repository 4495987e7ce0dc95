import type { IAllocationResult } from 'kubernetes-models/resource.k8s.io/v1/AllocationResult';
import type { KubeClient } from '#api/client/client.ts';
import type { EventRecorder } from '#api/client/event-recorder.ts';
import {
  canBeReserved,
  isReservedForPod,
  namedResourceClaims,
  resolveClaimName,
  whyNotForPod,
} from '#api/meta/pod-resource-claims.ts';
import { type Pod, type ResourceClaim, resources } from '#api/object/kinds.ts';
import { type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { NodeInfo } from '../cache/node-info.ts';
import type { PodInfo } from '../cache/pod-info.ts';
import type { ClusterEvent } from '../framework/cluster-event.ts';
import {
  type FilterPlugin,
  type FilterPreparation,
  normalizeByMax,
  type PreparedFilter,
  type Rejection,
  type Reservation,
  type ReservePlugin,
  rejectForGood,
  type ScorePlugin,
  SKIP,
} from '../framework/plugin.ts';
import { matchesAnyTerm, type NodeSelectorTerm, subjectOf, type TermSubject } from '../plugins/node-selector-terms.ts';
import { allocateDevices, TIMED_OUT } from './allocate-devices.ts';
import { bindingState, waitForBinding } from './binding-conditions.ts';
import type { DeviceCache } from './device-cache.ts';
import { requestsOf } from './device-requests.ts';
import { DeviceSelectorError, type DeviceSelectors } from './device-selectors.ts';
import { extendedClaim } from './extended-claim.ts';
import { hasPreferences, preferenceScore } from './prefer-first-available.ts';
import { type ClaimToWrite, writeAllocation } from './write-allocation.ts';
import { removeExtendedClaim, writeExtendedClaim } from './write-extended-claim.ts';

export interface DynamicResourcesOptions {
  readonly client: KubeClient;
  readonly cache: DeviceCache;
  readonly selectors: DeviceSelectors;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly log: Logger;
  /** A new uid. */
  readonly newUid: () => string;
}

const NAME = 'DynamicResources';
/** Devices tried per node: some tens of milliseconds, while everybody else waits. */
const MAX_STEPS = 20_000;
/** What one pod may take of the scheduler's time for all nodes together. */
const MAX_CYCLE_MS = 300;
/** When a pod that took all of it may try again. What selectors said of devices is kept, so that it gets further each time. */
const LATE_RETRY_MS = 5_000;
/** Kubernetes' weight of this plugin. */
const WEIGHT = 2;

/** What a node could give. */
interface Found {
  /** For the claims that have no devices yet. */
  readonly allocations: readonly IAllocationResult[];
  /** A claim, yet to be made, for extended resources that the node has no plug-in for, with its devices. */
  readonly extended: { readonly claim: ResourceClaim; readonly allocation: IAllocationResult } | undefined;
}

/** A pod with claims in this cycle: what it has, and what each node that was looked at could give it. */
interface Cycle {
  readonly pod: Pod;
  readonly claims: readonly ResourceClaim[];
  /** Those that have no devices yet. */
  readonly open: readonly ResourceClaim[];
  /** For extended resources, from an attempt before: it has to go first. */
  readonly stale: ResourceClaim | undefined;
  /** By node. */
  readonly found: Map<string, Found>;
  /** Those whose devices some node that would otherwise do cannot use. */
  readonly unavailable: Set<ResourceClaim>;
  readonly isLate: () => boolean;
  /** Some node might have had the devices, had there been time to look. */
  wasCut: boolean;
}

/** Places pods where the devices of their claims are, and gives the claims these devices. */
export function createDynamicResources(options: DynamicResourcesOptions): {
  readonly filter: FilterPlugin;
  readonly reserve: ReservePlugin;
  readonly score: ScorePlugin;
} {
  /** Of the last pod that was looked at: a cycle is one synchronous step. */
  let cycle: Cycle | undefined;
  const filter: FilterPlugin = {
    name: NAME,
    prepare(info) {
      cycle = undefined;
      const begun = beginCycle(info, options);
      if ('kind' in begun) return begun;
      cycle = begun;
      if (begun.stale !== undefined)
        return { kind: 'reject', rejection: rejectForGood('cannot schedule extended resource claim') };
      return { kind: 'filter', filter: createNodeFilter(info, begun, options) };
    },
    isHelpedBy,
    async onUnschedulable(info) {
      if (cycle?.pod !== info.pod) return;
      if (cycle.wasCut) options.clock.after(LATE_RETRY_MS, () => options.cache.tellSearchDue(info.key));
      if (cycle.stale !== undefined) await removeStale(options, cycle.stale);
      else await takeBackOne(options, cycle);
    },
  };
  const reserve: ReservePlugin = {
    name: NAME,
    reserve(info, node) {
      if (cycle?.pod !== info.pod) return undefined;
      const { open, claims, found } = cycle;
      const { allocations = [], extended } = found.get(node.name) ?? {};
      const writes = claims.map((claim) => ({ claim, allocation: allocations[open.indexOf(claim)] }));
      return promiseDevices(options, { pod: info.pod, nodeName: node.name, writes, extended });
    },
  };
  const score: ScorePlugin = {
    name: NAME,
    weight: WEIGHT,
    prepare(info) {
      if (cycle?.pod !== info.pod || !hasPreferences(cycle.open)) return undefined;
      const { open, found } = cycle;
      return {
        score: ({ name }) => preferenceScore(open, found.get(name)?.allocations ?? []),
        normalize: (scores) => normalizeByMax(scores, false),
      };
    },
  };
  return { filter, reserve, score };
}

/** What the pod's claims are, or why it can be nowhere. */
function beginCycle({ pod, requests }: PodInfo, { cache, clock }: DynamicResourcesOptions): Cycle | FilterPreparation {
  const isExtended = [...requests.scalars.keys()].some((name) => cache.classForResource(name) !== undefined);
  if (namedResourceClaims(pod).length === 0 && !isExtended) return SKIP;
  const claims: ResourceClaim[] = [];
  try {
    for (const claim of claimsOf(pod, cache)) if (!claims.includes(claim)) claims.push(claim);
  } catch (err) {
    return { kind: 'reject', rejection: rejectForGood(describeError(err)) };
  }
  if (claims.length === 0 && !isExtended) return SKIP;
  const open = claims.filter(({ status }) => status?.allocation === undefined);
  const why = claims.map((claim) => whyNotNow(claim, pod, cache)).find((one) => one !== undefined);
  if (why !== undefined) return { kind: 'reject', rejection: rejectForGood(why) };
  const endMs = clock.monotonic() + MAX_CYCLE_MS;
  const isLate = () => clock.monotonic() > endMs;
  const stale = isExtended ? cache.extendedClaimOf(pod.metadata.uid) : undefined;
  return { pod, claims, open, stale, found: new Map(), unavailable: new Set(), isLate, wasCut: false };
}

/** Throws with Kubernetes' words for what is wrong with a claim. */
function claimsOf(pod: Pod, cache: DeviceCache): ResourceClaim[] {
  return namedResourceClaims(pod).flatMap((podClaim) => {
    const { name, isGenerated } = resolveClaimName(pod, podClaim);
    if (name === undefined) return [];
    const claim = cache.claim(objectKey(pod.metadata.namespace, name));
    if (claim === undefined) throw new Error(`resourceclaim.resource.k8s.io ${JSON.stringify(name)} not found`);
    if (claim.metadata.deletionTimestamp !== undefined)
      throw new Error(`resourceclaim ${JSON.stringify(name)} is being deleted`);
    const foreign = isGenerated ? whyNotForPod(pod, claim) : undefined;
    if (foreign !== undefined) throw new Error(foreign);
    return [claim];
  });
}

function whyNotNow(claim: ResourceClaim, pod: Pod, cache: DeviceCache): string | undefined {
  const { name, namespace } = claim.metadata;
  if (claim.status?.allocation !== undefined)
    return canBeReserved(claim) || isReservedForPod(pod, claim) ? undefined : 'resourceclaim in use';
  if (cache.isPromised(claim)) return `resource claim ${namespace}/${name} is in the process of being allocated`;
  for (const { alternatives } of requestsOf(claim))
    for (const { name: request, spec } of alternatives)
      if (cache.deviceClass(spec.deviceClassName) === undefined)
        return `request ${request}: device class ${spec.deviceClassName} does not exist`;
  return undefined;
}

function createNodeFilter(
  info: PodInfo,
  cycle: Cycle,
  { cache, selectors, clock, newUid }: DynamicResourcesOptions,
): PreparedFilter {
  const { claims, open, found, unavailable, isLate } = cycle;
  const nowMs = clock.now();
  const isLost = (claim: ResourceClaim) => bindingState(claim, nowMs).kind === 'failed';
  return {
    check({ node, allocatable }: NodeInfo): Rejection | undefined {
      if (node === undefined) return rejectForGood('node not found');
      const subject = subjectOf(node);
      const elsewhere = claims.filter((claim) => !isAvailableOn(claim, subject) || isLost(claim));
      for (const claim of elsewhere) unavailable.add(claim);
      if (elsewhere.length > 0) return rejectForGood('resourceclaim not available on the node');
      const classOf = (resource: string) =>
        (allocatable.scalars.get(resource) ?? 0) > 0 ? undefined : cache.classForResource(resource);
      const own = info.requests.scalars.size === 0 ? undefined : extendedClaim(info.pod, classOf, newUid());
      const wanted = own === undefined ? open : [...open, own];
      if (wanted.length === 0) return undefined;
      try {
        const outcome = allocateDevices({
          ...{ claims: wanted, node: subject, pools: cache.poolsFor(subject.name), allocated: cache.allocated },
          classOf: (name) => cache.deviceClass(name),
          ...{ selectors, maxSteps: MAX_STEPS, isLate, newShareId: newUid },
        });
        if (outcome.kind === 'none') {
          cycle.wasCut ||= outcome.reason === TIMED_OUT && isLate();
          return rejectForGood(outcome.reason);
        }
        const allocation = outcome.allocations[open.length];
        const extended = own === undefined || allocation === undefined ? undefined : { claim: own, allocation };
        found.set(subject.name, { allocations: outcome.allocations.slice(0, open.length), extended });
        return undefined;
      } catch (err) {
        if (err instanceof DeviceSelectorError) return rejectForGood(err.message);
        throw err;
      }
    },
  };
}

function isAvailableOn({ status }: ResourceClaim, node: TermSubject): boolean {
  const terms = status?.allocation?.nodeSelector?.nodeSelectorTerms as readonly NodeSelectorTerm[] | undefined;
  return terms === undefined || matchesAnyTerm(terms, node);
}

async function removeStale({ client, log }: DynamicResourcesOptions, claim: ResourceClaim): Promise<void> {
  await removeExtendedClaim(client, claim).catch((err: unknown) =>
    log.warn('a claim for extended resources stays', { claim: claim.metadata.name, err: describeError(err) }),
  );
}

/** A claim that nobody else uses gives its devices back, so that it may get others where the pod fits. */
async function takeBackOne({ client, log }: DynamicResourcesOptions, { pod, unavailable }: Cycle): Promise<void> {
  const claim = [...unavailable].find(({ status }) =>
    (status?.reservedFor ?? []).every(({ uid }) => uid === pod.metadata.uid),
  );
  if (claim === undefined) return;
  const { name, namespace } = claim.metadata;
  try {
    const { allocation: _devices, reservedFor: _users, devices: _told, ...status } = claim.status ?? {};
    await client.resource<ResourceClaim>(resources.resourceClaims).update({ ...claim, status }, 'status');
    log.info('a claim gave its devices back for a pod that fits elsewhere', { claim: `${namespace}/${name}` });
  } catch (err) {
    // Somebody else wrote it: the next cycle looks again.
    log.debug('a claim keeps its devices', { claim: `${namespace}/${name}`, err: describeError(err) });
  }
}

interface Placement {
  readonly pod: Pod;
  readonly nodeName: string;
  readonly writes: readonly ClaimToWrite[];
  readonly extended: Found['extended'];
}

function promiseDevices(options: DynamicResourcesOptions, { pod, nodeName, writes, extended }: Placement): Reservation {
  const { cache } = options;
  for (const { claim, allocation } of writes) if (allocation !== undefined) cache.promise(claim, allocation);
  if (extended !== undefined) cache.promise(extended.claim, extended.allocation);
  return {
    async fulfil(signal) {
      const claims: ResourceClaim[] = [];
      try {
        for (const write of writes) {
          const written = await writeAllocation(options, pod, write);
          claims.push(written);
          if (write.allocation !== undefined) cache.keep(written);
        }
        if (extended !== undefined) claims.push(await writeExtendedClaim(options, pod, extended));
        await waitForBinding(options, { pod, nodeName, claims }, signal);
      } catch (err) {
        throw new Error(`running PreBind plugin "${NAME}": ${describeError(err)}`, { cause: err });
      } finally {
        for (const { claim } of writes) cache.withdraw(claim);
        if (extended !== undefined) cache.withdraw(extended.claim);
      }
    },
  };
}

function isHelpedBy(event: ClusterEvent, { key, pod, requests }: PodInfo): boolean {
  switch (event.kind) {
    case 'nodeAdded':
    case 'devicesChanged':
      return true;
    case 'nodeUpdated':
      // A plug-in may offer now what had to come from devices.
      return event.changes.labels || (event.changes.allocatable && requests.scalars.size > 0);
    case 'deviceClaimChanged':
      return event.isFreed || claimKeysOf(pod).includes(event.key);
    case 'deviceSearchDue':
      return event.key === key;
    default:
      return false;
  }
}

function claimKeysOf(pod: Pod): readonly ObjectKey[] {
  const told = new Map((pod.status?.resourceClaimStatuses ?? []).map((one) => [one.name, one.resourceClaimName]));
  return namedResourceClaims(pod).flatMap(({ name, resourceClaimName = told.get(name) }) =>
    resourceClaimName === undefined ? [] : [objectKey(pod.metadata.namespace, resourceClaimName)],
  );
}
