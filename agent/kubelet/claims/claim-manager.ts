import type { IContainer } from 'kubernetes-models/v1/Container';
import type { KubeClient } from '#api/client/client.ts';
import { claimsOfContainer } from '#api/meta/extended-resources.ts';
import { isReservedForPod, podResourceClaims, resolveClaimName, whyNotForPod } from '#api/meta/pod-resource-claims.ts';
import { type Pod, type ResourceClaim, resources } from '#api/object/kinds.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { namespaceOf, type PodUid, uidOf } from '../pod-spec.ts';
import { KeyLock } from '../volumes/csi/key-lock.ts';
import type { ClaimCheckpoint } from './claim-checkpoint.ts';
import { type ClaimRecord, cdiIdsOf, devicesOf, withoutPod, withPod } from './claim-record.ts';
import type { DraDriver, DraDrivers, DriverClaim, PreparedDevice } from './dra-driver.ts';

export interface ClaimManagerOptions {
  readonly client: KubeClient;
  readonly drivers: DraDrivers;
  readonly checkpoint: ClaimCheckpoint;
  readonly bootId: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The devices of a pod's claims are not ready; the message is Kubernetes'. */
export class ClaimsNotReady extends Error {
  override readonly name = 'ClaimsNotReady';
}

/** A device of a claim that a container was given, for whoever watches over devices. */
export interface ClaimedDevices {
  readonly claim: string;
  readonly namespace: string;
  readonly devices: readonly (PreparedDevice & { readonly driver: string })[];
}

/** Claims of pods that nobody knows any more are looked for this often. */
const LOOK_MS = 60_000;

/**
 * Has drivers make the devices of claims ready before the containers of a pod start, and take them back when the last pod of a claim has
 * ended. What a driver is asked is on disk first, so that nothing stays prepared whatever happens to the agent or to the objects.
 */
export class ClaimManager {
  readonly #options: ClaimManagerOptions;
  readonly #locks = new KeyLock();

  constructor(options: ClaimManagerOptions) {
    this.#options = options;
  }

  /** Throws ClaimsNotReady; to be called again, which repeats only what is missing. */
  async prepare(pod: Pod): Promise<void> {
    if (podResourceClaims(pod).length === 0 || this.#isReady(pod)) return;
    try {
      const uses = await Promise.all(podResourceClaims(pod).map(async (one) => this.#find(pod, one)));
      const wanted = uses.filter((use) => use !== undefined);
      // A driver that was never here must not be owed anything: nothing is noted before all are known to be here.
      for (const { claim } of wanted) for (const name of driversOf(claim)) this.#driver(name);
      await Promise.all(wanted.map((use) => this.#locks.run(use.claim.metadata.uid, () => this.#prepareOne(pod, use))));
    } catch (err) {
      throw new ClaimsNotReady(`prepare dynamic resources: ${describeError(err)}`, { cause: err });
    }
  }

  /** Idempotent. Throws while a driver that is needed for it is away. */
  async unprepare(uid: PodUid): Promise<void> {
    try {
      for (const { uid: claimUid } of this.#options.checkpoint.ofPod(uid))
        await this.#locks.run(claimUid, () => this.#release(claimUid, uid));
    } catch (err) {
      throw new Error(`unprepare dynamic resources: ${describeError(err)}`, { cause: err });
    }
  }

  /** What the runtime is to give the container, as CDI names. */
  cdiIds(pod: Pod, container: IContainer): readonly string[] {
    const asked = claimsOfContainer(pod, container);
    return asked.length === 0 ? [] : cdiIdsOf(this.#options.checkpoint.ofPod(uidOf(pod)), uidOf(pod), asked);
  }

  /** What the container has of claims, for the pod-resources API. */
  devices(pod: Pod, container: IContainer): readonly ClaimedDevices[] {
    const records = this.#options.checkpoint.ofPod(uidOf(pod));
    return claimsOfContainer(pod, container).flatMap(({ name, request }) =>
      records
        .filter(({ pods }) => pods[uidOf(pod)]?.includes(name))
        .map((record) => ({
          claim: record.name,
          namespace: record.namespace,
          devices: Object.entries(record.drivers).flatMap(([driver, devices]) =>
            devices.filter((one) => devicesOf(record, request).includes(one)).map((one) => ({ ...one, driver })),
          ),
        })),
    );
  }

  /** Takes back what pods had that are no longer here: `isHere` tells which are. Runs until aborted. */
  async follow(isHere: (uid: PodUid) => boolean, signal: AbortSignal): Promise<void> {
    const { drivers, clock } = this.#options;
    let wake = new AbortController();
    drivers.onChange((_name, isThere) => isThere && wake.abort());
    while (!signal.aborted) {
      wake = new AbortController();
      await this.#sweep(isHere);
      await delay(clock, LOOK_MS, AbortSignal.any([signal, wake.signal])).catch(() => undefined);
    }
  }

  async #sweep(isHere: (uid: PodUid) => boolean): Promise<void> {
    const { checkpoint, log } = this.#options;
    const uids = new Set(checkpoint.list().flatMap(({ pods }) => Object.keys(pods) as PodUid[]));
    for (const podUid of uids) {
      if (isHere(podUid)) continue;
      await this.unprepare(podUid).catch((err: unknown) =>
        log.warn('the claims of a pod that has gone stay prepared', { podUid, err: describeError(err) }),
      );
    }
  }

  #isReady(pod: Pod): boolean {
    const records = this.#options.checkpoint.ofPod(uidOf(pod));
    return podResourceClaims(pod).every(({ name }) =>
      records.some((record) => record.pods[uidOf(pod)]?.includes(name) && this.#isPrepared(record)),
    );
  }

  #isPrepared(record: ClaimRecord): boolean {
    return record.preparedInBoot === this.#options.bootId;
  }

  /** Undefined: the pod needs no claim there. */
  async #find(pod: Pod, podClaim: ReturnType<typeof podResourceClaims>[number]) {
    const { name, isGenerated } = resolveClaimName(pod, podClaim);
    if (name === undefined) return undefined;
    const claims = this.#options.client.resource<ResourceClaim>(resources.resourceClaims);
    const claim = await claims.fetch(name, namespaceOf(pod)).catch((err: unknown) => {
      throw new Error(`fetch ResourceClaim ${name}: ${describeError(err)}`, { cause: err });
    });
    const foreign = isGenerated ? whyNotForPod(pod, claim) : undefined;
    if (foreign !== undefined) throw new Error(foreign);
    if (!isReservedForPod(pod, claim))
      throw new Error(
        `pod ${pod.metadata.name} (${uidOf(pod)}) is not allowed to use ResourceClaim ${name} (${claim.metadata.uid})`,
      );
    if (claim.status?.allocation === undefined) throw new Error(`ResourceClaim ${name}: not allocated`);
    return { podClaim: podClaim.name, claim };
  }

  async #prepareOne(
    pod: Pod,
    { podClaim, claim }: { readonly podClaim: string; readonly claim: ResourceClaim },
  ): Promise<void> {
    const { checkpoint, bootId } = this.#options;
    const { uid, name } = claim.metadata;
    const namespace = namespaceOf(pod);
    const older = checkpoint.list().find((one) => one.name === name && one.namespace === namespace && one.uid !== uid);
    if (older !== undefined)
      throw new Error(
        `old ResourceClaim with same name ${name} and different UID ${older.uid} still exists (previous pod force-deleted?!)`,
      );
    const known = checkpoint.record(uid) ?? { uid, namespace, name, pods: {}, drivers: {}, preparedInBoot: undefined };
    const drivers = Object.fromEntries(driversOf(claim).map((driver) => [driver, known.drivers[driver] ?? []]));
    const noted = withPod({ ...known, drivers }, uidOf(pod), podClaim);
    await checkpoint.save(noted);
    if (this.#isPrepared(noted)) return;
    const answers = await Promise.all(
      Object.keys(drivers).map(async (driver) => [driver, await askToPrepare(this.#driver(driver), noted)] as const),
    );
    await checkpoint.save({ ...noted, drivers: Object.fromEntries(answers), preparedInBoot: bootId });
  }

  async #release(claimUid: string, podUid: PodUid): Promise<void> {
    const { checkpoint } = this.#options;
    const record = checkpoint.record(claimUid);
    if (record === undefined) return;
    const left = withoutPod(record, podUid);
    if (Object.keys(left.pods).length > 0) return checkpoint.save(left);
    for (const driver of Object.keys(record.drivers)) await askToUnprepare(this.#driver(driver), record);
    await checkpoint.forget(claimUid);
  }

  #driver(name: string): DraDriver {
    const driver = this.#options.drivers.find(name);
    if (driver === undefined) throw new Error(`DRA driver ${name} is not registered`);
    return driver;
  }
}

/** Names of the drivers whose devices were given to the claim. */
function driversOf({ status }: ResourceClaim): readonly string[] {
  return [...new Set((status?.allocation?.devices?.results ?? []).map(({ driver }) => driver))];
}

const toDriver = ({ namespace, uid, name }: ClaimRecord): DriverClaim => ({ namespace, uid, name });

async function askToPrepare(driver: DraDriver, record: ClaimRecord): Promise<readonly PreparedDevice[]> {
  const { devices, error } = await ask('NodePrepareResources', record, () => driver.prepare([toDriver(record)]));
  if (error !== '') throw new Error(`NodePrepareResources failed for ResourceClaim ${record.name}: ${error}`);
  return devices;
}

async function askToUnprepare(driver: DraDriver, record: ClaimRecord): Promise<void> {
  const { error } = await ask('NodeUnprepareResources', record, () => driver.unprepare([toDriver(record)]));
  if (error !== '') throw new Error(`NodeUnprepareResources failed for ResourceClaim ${record.name}: ${error}`);
}

async function ask<T>(method: string, { uid }: ClaimRecord, call: () => Promise<ReadonlyMap<string, T>>): Promise<T> {
  const answers = await call().catch((err: unknown) => {
    throw new Error(`${method}: ${describeError(err)}`, { cause: err });
  });
  for (const other of answers.keys())
    if (other !== uid) throw new Error(`${method} returned result for unknown claim UID ${other}`);
  const answer = answers.get(uid);
  if (answer === undefined) throw new Error(`${method} skipped 1 ResourceClaims`);
  return answer;
}
