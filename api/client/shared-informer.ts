import { backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { ApiError, isGone } from '../object/api-error.ts';
import { keyOf, type ObjectKey, type Stored } from '../object/kube-object.ts';
import type { ResourceClient, WatchEvent } from './client.ts';
import type { IndexFunction, Informer, InformerHandler } from './informer.ts';
import { ObjectCache } from './object-cache.ts';

export interface InformerOptions<T extends Stored<object>> {
  readonly resource: ResourceClient<T>;
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly indexers?: Readonly<Record<string, IndexFunction<T>>>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
  /** Runs on every object before it is kept; may change it in place. Default: drops managedFields, which fill half of the memory. */
  readonly transform?: ((object: T) => T) | undefined;
  /** The same revision of the object as another informer with the same `transform` keeps it already. */
  readonly findShared?: ((object: T) => T | undefined) | undefined;
  /** Deep-freezes what is kept, so that a test finds whoever writes to a shared object. */
  readonly freeze?: boolean;
}

/** Marks the bookmark after which a watch list's initial objects are complete. */
const INITIAL_EVENTS_END = 'k8s.io/initial-events-end';
const RETRY = { initialMs: 500, maxMs: 30_000, jitter: 1 };
/** Streams are ended by the server after a random time between 5 and 10 minutes, as client-go asks for. */
const MIN_WATCH_SECONDS = 300;
const LIST_PAGE_SIZE = 500;

export function dropManagedFields<T extends Stored<object>>(object: T): T {
  // A copy, because an object from whose middle a field was deleted takes three times the memory.
  const { managedFields: _, ...metadata } = object.metadata;
  object.metadata = metadata;
  return object;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}

class SharedInformer<T extends Stored<object>> implements Informer<T> {
  readonly #options: InformerOptions<T>;
  readonly #cache: ObjectCache<T>;
  readonly #handlers: InformerHandler<T>[] = [];
  readonly #log: Logger;
  /** Where a watch resumes; undefined = the whole state must be fetched. */
  #resourceVersion: string | undefined;
  /** Learnt from the first refusal: list and watch in two steps. */
  #hasWatchList = true;
  #hasSynced = false;
  #isStarted = false;
  readonly #synced = Promise.withResolvers<void>();

  constructor(options: InformerOptions<T>) {
    this.#options = options;
    this.#cache = new ObjectCache<T>(options.indexers);
    this.#log = options.log.child({ informer: options.resource.info.resource });
  }

  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  byKey(key: ObjectKey): T | undefined {
    return this.#cache.byKey(key);
  }

  list(namespace?: string): T[] {
    return this.#cache.list(namespace);
  }

  byIndex(index: string, value: string): T[] {
    return this.#cache.byIndex(index, value);
  }

  addIndex(name: string, index: IndexFunction<T>): void {
    this.#cache.addIndex(name, index);
  }

  addHandler(handler: InformerHandler<T>): void {
    this.#handlers.push(handler);
    for (const object of this.#cache.list()) this.#tell(() => handler.onAdd?.(object, true));
  }

  waitForSync(signal?: AbortSignal): Promise<void> {
    if (signal === undefined || this.#hasSynced) return this.#synced.promise;
    return new Promise((resolve, reject) => {
      if (signal.aborted) reject(signal.reason);
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      this.#synced.promise.then(resolve, reject);
    });
  }

  start(signal: AbortSignal): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    void this.#run(signal);
  }

  async #run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      const startedMs = this.#options.clock.monotonic();
      try {
        if (this.#resourceVersion === undefined && !this.#hasWatchList) await this.#relist(signal);
        const events = await this.#watch(signal);
        // A stream that ends at once and empty is a failure in disguise: without a pause it would spin.
        const isUseful = events > 0 || this.#options.clock.monotonic() - startedMs > 1000;
        failures = isUseful ? 0 : failures + 1;
      } catch (err) {
        if (signal.aborted) return;
        failures = this.#onFailure(err, failures);
      }
      if (failures > 0 && !(await this.#pause(failures, signal))) return;
    }
  }

  /** How many failures in a row that makes; 0 = go on without a pause. */
  #onFailure(err: unknown, failures: number): number {
    if (isGone(err)) {
      this.#log.debug('Watch is too old, listing again', { err: describeError(err) });
      const isFirst = this.#resourceVersion !== undefined;
      this.#resourceVersion = undefined;
      return isFirst ? 0 : failures + 1;
    }
    const isRefusal = err instanceof ApiError && (err.code === 400 || err.code === 422);
    if (isRefusal && this.#resourceVersion === undefined && this.#hasWatchList) {
      this.#hasWatchList = false;
      return 0;
    }
    this.#log.debug('Watch failed', { err: describeError(err), failures: failures + 1 });
    return failures + 1;
  }

  async #pause(failures: number, signal: AbortSignal): Promise<boolean> {
    const waitMs = backoffDelayMs(failures, { ...RETRY, random: this.#options.random });
    try {
      await delay(this.#options.clock, waitMs, signal);
    } catch (err) {
      if (!signal.aborted) throw err;
    }
    return !signal.aborted;
  }

  async #relist(signal: AbortSignal): Promise<void> {
    const { resource, namespace, labelSelector, fieldSelector } = this.#options;
    const objects: T[] = [];
    let token: string | undefined;
    do {
      const page = await resource.fetchList({
        namespace,
        labelSelector,
        fieldSelector,
        limit: LIST_PAGE_SIZE,
        continue: token,
        signal,
      });
      objects.push(...page.items);
      token = page.continue;
      this.#resourceVersion = page.resourceVersion;
    } while (token !== undefined);
    this.#replace(objects);
  }

  /** Follows one stream to its end; answers how many events it carried. */
  async #watch(signal: AbortSignal): Promise<number> {
    const { resource, namespace, labelSelector, fieldSelector, random = Math.random } = this.#options;
    /** Objects of a watch list until its end mark; undefined afterwards. */
    let initial: Map<ObjectKey, T> | undefined = this.#resourceVersion === undefined ? new Map() : undefined;
    let events = 0;
    const stream = resource.watch({
      namespace,
      labelSelector,
      fieldSelector,
      resourceVersion: this.#resourceVersion,
      sendInitialEvents: initial === undefined ? undefined : true,
      allowWatchBookmarks: true,
      timeoutSeconds: Math.round(MIN_WATCH_SECONDS * (1 + random())),
      signal,
    });
    for await (const event of stream) {
      events++;
      if (initial === undefined) this.#apply(event);
      else if (event.type !== 'BOOKMARK') collect(initial, event);
      else if (event.object.metadata.annotations?.[INITIAL_EVENTS_END] === 'true') {
        this.#resourceVersion = event.object.metadata.resourceVersion;
        this.#replace(initial.values());
        initial = undefined;
      }
    }
    return events;
  }

  #apply(event: WatchEvent<T>): void {
    this.#resourceVersion = event.object.metadata.resourceVersion;
    if (event.type === 'ADDED' || event.type === 'MODIFIED') this.#put(event.object, false);
    else if (event.type === 'DELETED') this.#remove(keyOf(event.object), event.object);
  }

  #replace(objects: Iterable<T>): void {
    const kept = new Set<ObjectKey>();
    for (const object of objects) {
      kept.add(keyOf(object));
      this.#put(object, !this.#hasSynced);
    }
    for (const object of this.#cache.list()) {
      const key = keyOf(object);
      if (!kept.has(key)) this.#remove(key, object);
    }
    this.#hasSynced = true;
    this.#synced.resolve();
  }

  #put(received: T, isInitial: boolean): void {
    const object = this.#options.findShared?.(received) ?? this.#prepare(received);
    const previous = this.#cache.put(object);
    if (previous === undefined) this.#tellAll((handler) => handler.onAdd?.(object, isInitial));
    else if (previous.metadata.uid !== object.metadata.uid) {
      // Deleted and made again while nobody looked.
      this.#tellAll((handler) => handler.onDelete?.(previous));
      this.#tellAll((handler) => handler.onAdd?.(object, isInitial));
    } else if (previous.metadata.resourceVersion !== object.metadata.resourceVersion)
      this.#tellAll((handler) => handler.onUpdate?.(previous, object));
  }

  #prepare(received: T): T {
    const transformed = (this.#options.transform ?? dropManagedFields)(received);
    return this.#options.freeze ? deepFreeze(transformed) : transformed;
  }

  #remove(key: ObjectKey, last: T): void {
    if (this.#cache.remove(key) === undefined) return;
    const object = this.#options.freeze ? deepFreeze(last) : last;
    this.#tellAll((handler) => handler.onDelete?.(object));
  }

  #tellAll(tell: (handler: InformerHandler<T>) => void): void {
    for (const handler of this.#handlers) this.#tell(() => tell(handler));
  }

  /** A handler's bug must not blind all the others. */
  #tell(call: () => void): void {
    try {
      call();
    } catch (err) {
      this.#log.error('Informer handler failed', { err });
    }
  }
}

function collect<T extends Stored<object>>(initial: Map<ObjectKey, T>, event: WatchEvent<T>): void {
  const key = keyOf(event.object);
  if (event.type === 'DELETED') initial.delete(key);
  else initial.set(key, event.object);
}

export function createInformer<T extends Stored<object>>(options: InformerOptions<T>): Informer<T> {
  return new SharedInformer<T>(options);
}
