import type { KubeClient, ResourceClient } from '#api/client/client.ts';
import { ApiError, isNotFound } from '#api/object/api-error.ts';
import type { ResourceInfo } from '#api/object/group-version.ts';
import { type ObjectKey, objectKey, type Stored } from '#api/object/kube-object.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import type { PodCopies } from './offline/pod-copies.ts';
import type { PodUid } from './pod-spec.ts';

export interface ReferencedObjectsOptions<T> {
  readonly client: KubeClient;
  readonly info: ResourceInfo;
  readonly clock: Clock;
  readonly random: () => number;
  /** An object that these pods use has changed, appeared or gone. */
  readonly onChange: (pods: readonly PodUid[], object: T | undefined) => void;
  /** What pods had read before, for when the API does not answer. */
  readonly copies: Pick<PodCopies, 'note' | 'recall'>;
}

interface Entry<T> {
  readonly namespace: string;
  readonly name: string;
  readonly users: Set<PodUid>;
  readonly stop: AbortController;
  /** The current content while the watch is live; undefined = must be fetched. */
  state: { readonly object: T | undefined } | undefined;
  fetching: Promise<T | undefined> | undefined;
  isWatching: boolean;
}

/** How long a pod waits for the API before it takes what it had read before. */
const PATIENCE_MS = 5_000;
const LATE = Symbol('late');

const REWATCH = { initialMs: 1000, maxMs: 60_000, jitter: 1 } as const;

/**
 * ConfigMaps or Secrets that pods of this node refer to. A node may read them by name only, so each is fetched once when the first pod
 * asks, then followed by a watch of that one name until the last user is gone.
 */
export class ReferencedObjects<T extends Stored<object>> {
  readonly #options: ReferencedObjectsOptions<T>;
  readonly #resource: ResourceClient<T>;
  readonly #entries = new Map<ObjectKey, Entry<T>>();

  constructor(options: ReferencedObjectsOptions<T>) {
    this.#options = options;
    this.#resource = options.client.resource<T>(options.info);
  }

  /** The object as it is now, or undefined when it does not exist. `user` keeps it watched until `release`. */
  async read(user: PodUid, namespace: string, name: string): Promise<T | undefined> {
    const key = objectKey(namespace, name);
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      const users = new Set<PodUid>();
      const stop = new AbortController();
      entry = { namespace, name, users, stop, state: undefined, fetching: undefined, isWatching: false };
      this.#entries.set(key, entry);
    }
    entry.users.add(user);
    if (entry.state === undefined) {
      entry.fetching ??= this.#fetch(entry);
      return this.#orCopy(user, entry, entry.fetching);
    }
    this.#note(entry, [user], entry.state.object);
    return entry.state.object;
  }

  /** The API comes first; when it fails, or takes long, what this pod had read before serves. */
  async #orCopy(user: PodUid, entry: Entry<T>, fetching: Promise<T | undefined>): Promise<T | undefined> {
    const patience = new AbortController();
    const late = delay(this.#options.clock, PATIENCE_MS, patience.signal).then(
      () => LATE,
      () => LATE,
    );
    try {
      const answer = await Promise.race([fetching, late]);
      if (answer !== LATE) return answer as T | undefined;
      return (await this.#recall(user, entry)) ?? (await fetching);
    } catch (err) {
      // An API server that answers, if only to refuse, decides.
      const isAnswered = err instanceof ApiError && err.code < 500;
      const copy = isAnswered ? undefined : await this.#recall(user, entry);
      if (copy === undefined) throw err;
      return copy;
    } finally {
      patience.abort();
    }
  }

  #recall(user: PodUid, entry: Entry<T>): Promise<T | undefined> {
    return this.#options.copies.recall<T>(user, this.#copyName(entry));
  }

  #note(entry: Entry<T>, users: Iterable<PodUid>, object: T | undefined): void {
    if (object === undefined) return;
    for (const user of users) this.#options.copies.note(user, this.#copyName(entry), object);
  }

  #copyName({ namespace, name }: Entry<T>): string {
    return `${this.#options.info.resource}/${namespace}/${name}`;
  }

  release(user: PodUid): void {
    for (const [key, entry] of this.#entries) {
      if (!entry.users.delete(user) || entry.users.size > 0) continue;
      entry.stop.abort();
      this.#entries.delete(key);
    }
  }

  async #fetch(entry: Entry<T>): Promise<T | undefined> {
    try {
      const object = await this.#fetchOrMissing(entry);
      this.#note(entry, entry.users, object);
      // What does not exist is asked for again by the retry of the pod; only what exists is worth a watch.
      if (object !== undefined && !entry.isWatching) {
        entry.state = { object };
        void this.#follow(entry, object.metadata.resourceVersion);
      }
      return object;
    } finally {
      entry.fetching = undefined;
    }
  }

  async #fetchOrMissing({ namespace, name, stop }: Entry<T>): Promise<T | undefined> {
    try {
      return await this.#resource.fetch(name, namespace, stop.signal);
    } catch (err) {
      if (isNotFound(err)) return undefined;
      throw err;
    }
  }

  async #follow(entry: Entry<T>, fromVersion: string): Promise<void> {
    const { clock, random } = this.#options;
    const { signal } = entry.stop;
    entry.isWatching = true;
    let resourceVersion = fromVersion;
    for (let failures = 0; !signal.aborted; ) {
      try {
        resourceVersion = await this.#watchOnce(entry, resourceVersion);
        failures = 0;
      } catch {
        // Whatever broke the watch, the cure is the same: wait, read anew, watch from there.
        if (signal.aborted) return;
        // Until then the last known content serves: containers must be able to restart while the API server is away.
        failures++;
        await delay(clock, backoffDelayMs(failures, { ...REWATCH, random }), signal).catch(() => undefined);
        resourceVersion = (await this.#reread(entry)) ?? resourceVersion;
      }
    }
  }

  async #reread(entry: Entry<T>): Promise<string | undefined> {
    try {
      const object = await this.#fetchOrMissing(entry);
      this.#accept(entry, object);
      return object?.metadata.resourceVersion;
    } catch {
      return undefined;
    }
  }

  async #watchOnce(entry: Entry<T>, resourceVersion: string): Promise<string> {
    const { namespace, name, stop } = entry;
    const fieldSelector = `metadata.name=${name}`;
    let version = resourceVersion;
    const watch = { namespace, fieldSelector, resourceVersion, allowWatchBookmarks: true, signal: stop.signal };
    for await (const event of this.#resource.watch(watch)) {
      version = event.object.metadata.resourceVersion;
      if (event.type === 'DELETED') this.#accept(entry, undefined);
      else if (event.type !== 'BOOKMARK') this.#accept(entry, event.object);
    }
    return version;
  }

  #accept(entry: Entry<T>, object: T | undefined): void {
    const before = entry.state?.object?.metadata.resourceVersion;
    entry.state = { object };
    this.#note(entry, entry.users, object);
    if (before !== object?.metadata.resourceVersion) this.#options.onChange([...entry.users], object);
  }
}
