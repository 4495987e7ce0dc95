import type { IPodStatus } from 'kubernetes-models/v1/PodStatus';
import type { KubeClient, ResourceClient } from '#api/client/client.ts';
import { isConflict, isNotFound } from '#api/object/api-error.ts';
import { isJsonObject } from '#api/object/json.ts';
import { type Pod, resources } from '#api/object/kinds.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { namespaceOf, type PodUid, uidOf } from '../pod-spec.ts';
import { isStaticPod } from '../static/static-manifest.ts';
import { TRANSIENT_CONDITIONS } from './pod-conditions.ts';

export interface StatusManagerOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  /** What the API server has of this pod may no longer be what we said: compute its status again. */
  readonly recheck: (uid: PodUid) => void;
  /** The object that shows a pod which is not in the API itself; undefined while there is none. */
  readonly mirrorOf: (pod: Pod) => Pod | undefined;
}

interface Entry {
  pod: Pod;
  /** What is to be shown next; undefined when it has been sent. */
  wanted: IPodStatus | undefined;
  /** What the API server accepted last, and the version of the object that came of it. */
  sent: { readonly status: IPodStatus; readonly text: string; readonly version: number } | undefined;
  isSending: boolean;
  /** The newest version seen while a write was under way: whether that write made it or somebody else is known when it has ended. */
  seenMeanwhile: number;
  /** The pod has ended here and its object may go once the last status is told. */
  deletion: 'none' | 'wanted' | 'done';
  onDeleted: (() => void)[];
}

const RETRY = { initialMs: 200, maxMs: 30_000, jitter: 0.5 } as const;

/**
 * Tells the API server what became of each pod: at once, one request per pod at a time, and only when something changed. Writes that
 * fail are repeated for ever with growing pauses; whatever changed meanwhile goes into the next one.
 */
export class StatusManager {
  readonly #options: StatusManagerOptions;
  readonly #pods: ResourceClient<Pod>;
  readonly #entries = new Map<PodUid, Entry>();
  readonly #stop: AbortSignal;

  constructor(options: StatusManagerOptions, stop: AbortSignal) {
    this.#options = options;
    this.#pods = options.client.resource<Pod>(resources.pods);
    this.#stop = stop;
  }

  set(pod: Pod, status: IPodStatus): void {
    const entry = this.#entry(pod);
    const text = JSON.stringify(status);
    const present = entry.wanted === undefined ? this.#presentText(entry, status) : JSON.stringify(entry.wanted);
    if (present === text) {
      // An agent that starts finds its pods' statuses told already: from now on they are what it watches over.
      if (entry.wanted === undefined && versionOf(pod) > (entry.sent?.version ?? -1))
        entry.sent = { status, text, version: versionOf(pod) };
      return;
    }
    entry.wanted = status;
    this.#kick(entry);
  }

  /** A new object shows this static pod: it is told all again. */
  tellAgain(uid: PodUid): void {
    const entry = this.#entries.get(uid);
    if (entry === undefined) return;
    entry.wanted ??= entry.sent?.status;
    entry.sent = undefined;
    this.#kick(entry);
  }

  /**
   * The freshest status known: ours, while the informer has not caught up with it, else that of the API, where others (the node
   * lifecycle controller) may have written over it.
   */
  latest(pod: Pod): IPodStatus {
    const entry = this.#entries.get(uidOf(pod));
    if (entry?.wanted !== undefined) return entry.wanted;
    if (entry?.sent !== undefined && versionOf(pod) < entry.sent.version) return entry.sent.status;
    return pod.status ?? {};
  }

  /** Whether someone else changed what is ours to say, since we said it. */
  isOverwritten(pod: Pod): boolean {
    const entry = this.#entries.get(uidOf(pod));
    if (entry?.sent === undefined || versionOf(pod) <= entry.sent.version) return false;
    if (entry.isSending) {
      entry.seenMeanwhile = versionOf(pod);
      return false;
    }
    return ownedText(pod, entry.sent.status) !== entry.sent.text;
  }

  /** Resolves when the object is gone from the API server (by us or by anyone). Call after the last status was set. */
  removeObject(pod: Pod): Promise<void> {
    const entry = this.#entry(pod);
    return new Promise((resolve) => {
      entry.onDeleted.push(resolve);
      if (entry.deletion === 'none') entry.deletion = 'wanted';
      this.#kick(entry);
    });
  }

  /** The object has left the API server. */
  forget(uid: PodUid): void {
    const entry = this.#entries.get(uid);
    if (entry === undefined) return;
    this.#entries.delete(uid);
    entry.wanted = undefined;
    entry.deletion = 'done';
    for (const resolve of entry.onDeleted.splice(0)) resolve();
  }

  #entry(pod: Pod): Entry {
    const known = this.#entries.get(uidOf(pod));
    if (known !== undefined) {
      known.pod = pod;
      return known;
    }
    const entry: Entry = {
      pod,
      wanted: undefined,
      sent: undefined,
      isSending: false,
      seenMeanwhile: 0,
      deletion: 'none',
      onDeleted: [],
    };
    this.#entries.set(uidOf(pod), entry);
    return entry;
  }

  #kick(entry: Entry): void {
    if (entry.isSending) return;
    entry.isSending = true;
    void this.#drain(entry).finally(() => {
      entry.isSending = false;
      if (entry.seenMeanwhile > (entry.sent?.version ?? 0)) this.#options.recheck(uidOf(entry.pod));
    });
  }

  async #drain(entry: Entry): Promise<void> {
    const { clock, log, random } = this.#options;
    for (let failures = 0; !this.#stop.aborted; ) {
      const status = entry.wanted;
      // Nobody shows it yet: told when somebody does.
      if (status !== undefined && this.#shownAs(entry.pod) === undefined) return;
      try {
        if (status !== undefined) await this.#send(entry, status);
        else if (entry.deletion === 'wanted') await this.#delete(entry);
        else return;
        failures = 0;
      } catch (err) {
        if (this.#stop.aborted) return;
        failures++;
        log.warn('pod status was not accepted', { pod: entry.pod.metadata.name, err: describeError(err) });
        await delay(clock, backoffDelayMs(failures, { ...RETRY, random }), this.#stop).catch(() => undefined);
      }
    }
  }

  #shownAs(pod: Pod): Pod | undefined {
    return isStaticPod(pod) ? this.#options.mirrorOf(pod) : pod;
  }

  /** The uid in the patch is a precondition: a pod that took over the name is never touched. */
  async #send(entry: Entry, status: IPodStatus): Promise<void> {
    const pod = this.#shownAs(entry.pod) ?? entry.pod;
    const { name, uid } = pod.metadata;
    let answer: Pod;
    try {
      answer = await this.#pods.patch({
        name,
        namespace: namespaceOf(pod),
        type: 'strategic',
        subresource: 'status',
        patch: { metadata: { uid }, status: withRemovals(pod, status) },
        signal: this.#stop,
      });
    } catch (err) {
      if (!isNotFound(err) && !(isConflict(err) && (await this.#isReplaced(pod)))) throw err;
      // Gone, or replaced by another pod of that name: there is nobody left to tell, unless a mirror comes back.
      if (isStaticPod(entry.pod)) {
        if (entry.wanted === status) entry.wanted = undefined;
        entry.sent = { status, text: JSON.stringify(status), version: 0 };
      } else this.forget(uidOf(entry.pod));
      return;
    }
    entry.sent = { status, text: JSON.stringify(status), version: versionOf(answer) };
    if (entry.wanted === status) entry.wanted = undefined;
  }

  async #delete(entry: Entry): Promise<void> {
    const { name, uid } = entry.pod.metadata;
    try {
      await this.#pods.delete({
        name,
        namespace: namespaceOf(entry.pod),
        gracePeriodSeconds: 0,
        preconditions: { uid },
        signal: this.#stop,
      });
    } catch (err) {
      if (!isNotFound(err) && !(isConflict(err) && (await this.#isReplaced(entry.pod)))) throw err;
    }
    this.forget(uidOf(entry.pod));
  }

  /** A conflict may be a race of writers, which a retry settles, or another pod under the old name. */
  async #isReplaced(pod: Pod): Promise<boolean> {
    try {
      const present = await this.#pods.fetch(pod.metadata.name, namespaceOf(pod), this.#stop);
      return uidOf(present) !== uidOf(pod);
    } catch (err) {
      if (isNotFound(err)) return true;
      throw err;
    }
  }

  #presentText(entry: Entry, wanted: IPodStatus): string {
    const { sent, pod } = entry;
    return sent !== undefined && versionOf(pod) <= sent.version ? sent.text : ownedText(pod, wanted);
  }
}

/** Resource versions of one resource are ordered numbers (KEP-5504); what is not a number counts as old. */
const versionOf = (pod: Pod): number => Number(pod.metadata.resourceVersion) || 0;

/** The part of the pod's present status that we would write, in the same order of keys, to see whether a write is needed at all. */
function ownedText(pod: Pod, wanted: IPodStatus): string {
  const present = JSON.stringify(alike(pod.status ?? {}, wanted));
  const ended = leftovers(pod, wanted);
  return ended.length === 0 ? present : `${present} ${ended.join()}`;
}

/** Conditions that the pod still shows although what they tell of is over. */
function leftovers(pod: Pod, wanted: IPodStatus): string[] {
  const types = (pod.status?.conditions ?? []).map(({ type }) => type);
  const isWanted = (type: string) => wanted.conditions?.some((condition) => condition.type === type);
  return types.filter((type) => TRANSIENT_CONDITIONS.includes(type) && !isWanted(type));
}

/** `present` cut down to the fields that `wanted` has, in its order, so that the two texts can be compared. */
function alike(present: unknown, wanted: unknown): unknown {
  if (Array.isArray(wanted)) {
    if (!Array.isArray(present)) return present;
    const identity = (item: unknown) => (item as { type?: string; name?: string; ip?: string }) ?? {};
    const isKeyed = wanted.every((item) => identity(item).type !== undefined);
    const relevant = isKeyed
      ? wanted.flatMap((item) => present.find((other) => identity(other).type === identity(item).type) ?? [])
      : present;
    return relevant.map((item, index) => alike(item, wanted[index]));
  }
  if (!isJsonObject(wanted) || !isJsonObject(present)) return present;
  return Object.fromEntries(Object.keys(wanted).map((key) => [key, alike(present[key], wanted[key])]));
}

/**
 * Absent fields stay in a strategic merge patch and lists with a merge key only grow: what is no longer true has to be said.
 * containerStatuses are replaced as a whole.
 */
function withRemovals(pod: Pod, status: IPodStatus): object {
  const patch: Record<string, unknown> = { ...status };
  for (const key of ['reason', 'message'] as const)
    if (pod.status?.[key] !== undefined && status[key] === undefined) patch[key] = null;
  patch.conditions = status.conditions?.map((condition) => {
    const before = pod.status?.conditions?.find(({ type }) => type === condition.type);
    const cleared = (['reason', 'message'] as const).filter((key) => before?.[key] && condition[key] === undefined);
    return { ...condition, ...Object.fromEntries(cleared.map((key) => [key, null])) };
  });
  const ended = leftovers(pod, status).map((type) => ({ type, $patch: 'delete' }));
  if (ended.length > 0) patch.conditions = [...((patch.conditions as object[] | undefined) ?? []), ...ended];
  for (const key of ['podIPs', 'hostIPs'] as const) {
    const stale = (pod.status?.[key] ?? []).filter(({ ip }) => !status[key]?.some((own) => own.ip === ip));
    if (stale.length > 0) patch[key] = [...(status[key] ?? []), ...stale.map(({ ip }) => ({ $patch: 'delete', ip }))];
  }
  return patch;
}
