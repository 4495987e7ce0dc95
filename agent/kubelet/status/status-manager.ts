import type { IPodStatus } from 'kubernetes-models/v1/PodStatus';
import type { KubeClient, ResourceClient } from '#api/client/client.ts';
import { isConflict, isNotFound } from '#api/object/api-error.ts';
import { type Pod, resources } from '#api/object/kinds.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { namespaceOf, type PodUid, uidOf } from '../pod-spec.ts';

export interface StatusManagerOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
}

interface Entry {
  pod: Pod;
  /** What is to be shown next; undefined when it has been sent. */
  wanted: IPodStatus | undefined;
  /** Canonical text of what the API server accepted last. */
  sent: string | undefined;
  isSending: boolean;
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
    if (entry.wanted === undefined && (entry.sent ?? ownedText(pod, status)) === text) return;
    entry.wanted = status;
    this.#kick(entry);
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
    const entry: Entry = { pod, wanted: undefined, sent: undefined, isSending: false, deletion: 'none', onDeleted: [] };
    this.#entries.set(uidOf(pod), entry);
    return entry;
  }

  #kick(entry: Entry): void {
    if (entry.isSending) return;
    entry.isSending = true;
    void this.#drain(entry).finally(() => {
      entry.isSending = false;
    });
  }

  async #drain(entry: Entry): Promise<void> {
    const { clock, log, random } = this.#options;
    for (let failures = 0; !this.#stop.aborted; ) {
      const status = entry.wanted;
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

  /** The uid in the patch is a precondition: a pod that took over the name is never touched. */
  async #send(entry: Entry, status: IPodStatus): Promise<void> {
    const { pod } = entry;
    const { name, uid } = pod.metadata;
    try {
      await this.#pods.patch({
        name,
        namespace: namespaceOf(pod),
        type: 'strategic',
        subresource: 'status',
        patch: { metadata: { uid }, status: withRemovals(pod, status) },
        signal: this.#stop,
      });
    } catch (err) {
      if (!isNotFound(err) && !isConflict(err)) throw err;
      // Gone, or replaced by another pod of that name: there is nobody left to tell.
      this.forget(uidOf(pod));
      return;
    }
    entry.sent = JSON.stringify(status);
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
      if (!isNotFound(err) && !isConflict(err)) throw err;
    }
    this.forget(uidOf(entry.pod));
  }
}

/** The part of the pod's present status that we would write, in the same order of keys, to see whether a write is needed at all. */
function ownedText(pod: Pod, wanted: IPodStatus): string {
  const present = pod.status ?? {};
  const types = new Set((wanted.conditions ?? []).map(({ type }) => type));
  const owned = Object.fromEntries(
    Object.keys(wanted).map((key) => [
      key,
      key === 'conditions'
        ? present.conditions?.filter(({ type }) => types.has(type))
        : present[key as keyof IPodStatus],
    ]),
  );
  return JSON.stringify(owned);
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
  for (const key of ['podIPs', 'hostIPs'] as const) {
    const stale = (pod.status?.[key] ?? []).filter(({ ip }) => !status[key]?.some((own) => own.ip === ip));
    if (stale.length > 0) patch[key] = [...(status[key] ?? []), ...stale.map(({ ip }) => ({ $patch: 'delete', ip }))];
  }
  return patch;
}
