import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import jsonPatch from 'fast-json-patch';
import type {
  DeleteCollectionRequest,
  DeleteRequest,
  Draft,
  KubeClient,
  ListOptions,
  ObjectList,
  PartialObject,
  PatchRequest,
  RawRequest,
  ResourceClient,
  WatchEvent,
  WatchRequest,
} from '#api/client/client.ts';
import { ApiError, alreadyExists, conflict, notFound, resourceExpired } from '#api/object/api-error.ts';
import { apiVersionOf, type ResourceInfo } from '#api/object/group-version.ts';
import { isJsonObject, type JsonObject } from '#api/object/json.ts';
import { type KubeObject, keyOf, type ObjectKey, objectKey, type Stored } from '#api/object/kube-object.ts';
import { type Clock, systemClock, toTime } from '#base/clock.ts';

/**
 * An API server's behaviour towards controllers, in memory and without validation or admission: resource versions, conflicts,
 * generation, status as a subresource, finalizers, graceful deletion of pods, watch with resumption, bookmarks, watch lists and 410.
 */

interface HistoryEntry {
  readonly revision: number;
  readonly resource: string;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: KubeObject;
  readonly previous: KubeObject | undefined;
}

export interface RecordedAction {
  readonly verb: 'create' | 'update' | 'patch' | 'delete' | 'post';
  readonly resource: string;
  readonly subresource: string | undefined;
  readonly key: ObjectKey;
}

const resourceId = (info: ResourceInfo) => (info.group === '' ? info.resource : `${info.resource}.${info.group}`);
const clone = <T>(value: T): T => structuredClone(value);
/** Kinds that have no status subresource: an update writes the whole object. */
const WITHOUT_STATUS = new Set(['configmaps', 'secrets', 'endpoints', 'leases', 'events', 'serviceaccounts']);

export class MemoryCluster {
  readonly clock: Clock;
  /** Every write, in order. */
  readonly actions: RecordedAction[] = [];
  /** Throw from here to make a request fail. */
  intercept: ((action: RecordedAction) => void) | undefined;
  /** Every new watch is refused with it. */
  watchFailure: Error | undefined;
  /** What `raw` answers, by path. */
  readonly rawAnswers = new Map<string, unknown>();
  readonly #objects = new Map<string, Map<ObjectKey, KubeObject>>();
  readonly #history: HistoryEntry[] = [];
  readonly #listeners = new Set<() => void>();
  #revision = 100;
  #compactedRevision = 0;

  constructor(clock: Clock = systemClock) {
    this.clock = clock;
  }

  get revision(): number {
    return this.#revision;
  }

  get history(): readonly HistoryEntry[] {
    return this.#history;
  }

  get compactedRevision(): number {
    return this.#compactedRevision;
  }

  /** Forgets the history: watches from an older version are answered with 410. */
  compact(): void {
    this.#compactedRevision = this.#revision;
  }

  objectsOf(info: ResourceInfo): Map<ObjectKey, KubeObject> {
    const id = resourceId(info);
    let objects = this.#objects.get(id);
    if (objects === undefined) {
      objects = new Map();
      this.#objects.set(id, objects);
    }
    return objects;
  }

  commit(info: ResourceInfo, type: HistoryEntry['type'], object: KubeObject): KubeObject {
    this.#revision++;
    object.metadata.resourceVersion = String(this.#revision);
    const objects = this.objectsOf(info);
    const key = keyOf(object);
    const previous = objects.get(key);
    if (type === 'DELETED') objects.delete(key);
    else objects.set(key, object);
    this.#history.push({ revision: this.#revision, resource: resourceId(info), type, object, previous });
    for (const listener of this.#listeners) listener();
    return clone(object);
  }

  record(action: RecordedAction): void {
    this.actions.push(action);
    this.intercept?.(action);
  }

  onCommit(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ends all streams, as a restart of the server does. */
  readonly #cutters = new Set<() => void>();
  cutWatches(): void {
    for (const cut of [...this.#cutters]) cut();
  }
  onCut(cut: () => void): () => void {
    this.#cutters.add(cut);
    return () => this.#cutters.delete(cut);
  }

  client(): KubeClient {
    return {
      resource: <T extends Stored<object>>(info: ResourceInfo) => new MemoryResource<T>(this, info, false),
      metadata: (info) => new MemoryResource<PartialObject>(this, info, true),
      raw: <R>(request: RawRequest) => this.#raw<R>(request),
    };
  }

  async #raw<R>(request: RawRequest): Promise<R> {
    const answer = this.rawAnswers.get(request.path);
    if (answer === undefined) throw new ApiError(404, 'NotFound', `the server could not find ${request.path}`);
    if (answer instanceof Error) throw answer;
    return clone(answer) as R;
  }
}

class MemoryResource<T extends Stored<object>> implements ResourceClient<T> {
  readonly info: ResourceInfo;
  readonly #cluster: MemoryCluster;
  readonly #isMetadataOnly: boolean;

  constructor(cluster: MemoryCluster, info: ResourceInfo, isMetadataOnly: boolean) {
    this.#cluster = cluster;
    this.info = info;
    this.#isMetadataOnly = isMetadataOnly;
  }

  #out(object: KubeObject): T {
    const { apiVersion, kind, metadata } = object;
    return clone(this.#isMetadataOnly ? { apiVersion, kind, metadata } : object) as unknown as T;
  }

  #current(name: string, namespace: string | undefined): KubeObject {
    const object = this.#cluster.objectsOf(this.info).get(objectKey(namespace, name));
    if (object === undefined) throw notFound(this.info, name);
    return object;
  }

  #record(verb: RecordedAction['verb'], key: ObjectKey, subresource?: string): void {
    this.#cluster.record({ verb, resource: this.info.resource, subresource, key });
  }

  async fetch(name: string, namespace?: string): Promise<T> {
    return this.#out(this.#current(name, namespace));
  }

  async fetchList(options: ListOptions = {}): Promise<ObjectList<T>> {
    const items = [...this.#cluster.objectsOf(this.info).values()].filter((object) => isSelected(object, options));
    return {
      resourceVersion: String(this.#cluster.revision),
      continue: undefined,
      items: items.map((item) => this.#out(item)),
    };
  }

  async create(draft: Draft<T>): Promise<T> {
    const metadata = draft.metadata;
    const name = metadata.name ?? `${metadata.generateName}${randomUUID().slice(0, 5)}`;
    const object = clone({
      apiVersion: apiVersionOf(this.info),
      kind: this.info.kind,
      ...draft,
      metadata: {
        ...metadata,
        name,
        uid: randomUUID(),
        creationTimestamp: toTime(this.#cluster.clock.now()),
        generation: 1,
      },
    }) as unknown as KubeObject;
    this.#record('create', keyOf(object));
    if (this.#cluster.objectsOf(this.info).has(keyOf(object))) throw alreadyExists(this.info, name);
    return this.#cluster.commit(this.info, 'ADDED', object) as unknown as T;
  }

  async update(object: T, subresource?: string): Promise<T> {
    this.#record('update', keyOf(object), subresource);
    return this.#write(clone(object) as unknown as KubeObject, subresource);
  }

  #write(next: KubeObject, subresource: string | undefined): T {
    const { name = '', namespace, resourceVersion } = next.metadata;
    const current = this.#current(name, namespace);
    if (resourceVersion !== undefined && resourceVersion !== current.metadata.resourceVersion)
      throw conflict(
        this.info,
        name,
        'the object has been modified; please apply your changes to the latest version and try again',
      );
    const merged = this.#mergeWrite(current, next, subresource);
    merged.metadata.resourceVersion = current.metadata.resourceVersion;
    if (isDeepStrictEqual(merged, current)) return this.#out(current);
    if (!isDeepStrictEqual(merged.spec, current.spec))
      merged.metadata.generation = (current.metadata.generation ?? 0) + 1;
    return this.#cluster.commit(this.info, isGoneNow(merged) ? 'DELETED' : 'MODIFIED', merged) as unknown as T;
  }

  #mergeWrite(current: KubeObject, next: KubeObject, subresource: string | undefined): KubeObject {
    if (subresource === 'status') return { ...clone(current), status: next.status };
    const kept = current.metadata;
    const metadata = {
      ...next.metadata,
      uid: kept.uid,
      creationTimestamp: kept.creationTimestamp,
      generation: kept.generation,
      ...(kept.deletionTimestamp === undefined ? {} : { deletionTimestamp: kept.deletionTimestamp }),
      ...(kept.deletionGracePeriodSeconds === undefined
        ? {}
        : { deletionGracePeriodSeconds: kept.deletionGracePeriodSeconds }),
    };
    if (WITHOUT_STATUS.has(this.info.resource)) return { ...next, metadata };
    return { ...next, metadata, ...(current.status === undefined ? {} : { status: clone(current.status) }) };
  }

  async patch(request: PatchRequest): Promise<T> {
    this.#record('patch', objectKey(request.namespace, request.name), request.subresource);
    const current = clone(this.#current(request.name, request.namespace));
    if (request.type === 'json') {
      const patched = jsonPatch.applyPatch(current, clone(request.patch) as never, true, false);
      return this.#write(patched.newDocument as KubeObject, request.subresource);
    }
    if (request.type === 'apply') throw new Error('MemoryCluster does not do server-side apply');
    return this.#write(mergePatch(current, request.patch) as KubeObject, request.subresource);
  }

  async delete(request: DeleteRequest): Promise<void> {
    this.#record('delete', objectKey(request.namespace, request.name));
    const object = clone(this.#current(request.name, request.namespace));
    const { uid, resourceVersion } = request.preconditions ?? {};
    if (uid !== undefined && uid !== object.metadata.uid)
      throw conflict(this.info, request.name, `the UID in the precondition (${uid}) does not match`);
    if (resourceVersion !== undefined && resourceVersion !== object.metadata.resourceVersion)
      throw conflict(this.info, request.name, 'the ResourceVersion in the precondition does not match');
    const before = JSON.stringify(object);
    this.#markDeleted(object, request);
    if (isGoneNow(object)) this.#cluster.commit(this.info, 'DELETED', object);
    else if (JSON.stringify(object) !== before) this.#cluster.commit(this.info, 'MODIFIED', object);
  }

  async deleteCollection(request: DeleteCollectionRequest): Promise<void> {
    for (const { metadata } of (await this.fetchList(request)).items)
      await this.delete({ ...request, namespace: metadata.namespace, name: metadata.name });
  }

  #markDeleted(object: KubeObject, request: DeleteRequest): void {
    const finalizers = new Set(object.metadata.finalizers ?? []);
    finalizers.delete('foregroundDeletion');
    finalizers.delete('orphan');
    if (request.propagationPolicy === 'Foreground') finalizers.add('foregroundDeletion');
    if (request.propagationPolicy === 'Orphan') finalizers.add('orphan');
    object.metadata.finalizers = [...finalizers];
    object.metadata.deletionTimestamp ??= toTime(this.#cluster.clock.now());
    const isRunningPod = this.info.resource === 'pods' && Boolean((object.spec as JsonObject | undefined)?.nodeName);
    object.metadata.deletionGracePeriodSeconds = isRunningPod ? (request.gracePeriodSeconds ?? 30) : 0;
    if (this.info.resource === 'namespaces' && isJsonObject(object.spec))
      object.status = { ...(object.status as object), phase: 'Terminating' };
  }

  async post<R = unknown>(name: string, namespace: string | undefined, subresource: string, body: object): Promise<R> {
    this.#record('post', objectKey(namespace, name), subresource);
    if (subresource === 'eviction') await this.delete({ name, namespace });
    return body as R;
  }

  async *watch(request: WatchRequest = {}): AsyncGenerator<WatchEvent<T>, void, void> {
    const cluster = this.#cluster;
    const { signal } = request;
    if (cluster.watchFailure !== undefined) throw cluster.watchFailure;
    const wantsState = !request.resourceVersion || request.resourceVersion === '0';
    let position = wantsState ? cluster.revision : Number(request.resourceVersion);
    if (position < cluster.compactedRevision) throw resourceExpired(`too old resource version: ${position}`);
    let wake = Promise.withResolvers<void>();
    let isCut = false;
    const stopListening = cluster.onCommit(() => wake.resolve());
    const onEnd = () => {
      isCut = true;
      wake.resolve();
    };
    const stopCut = cluster.onCut(onEnd);
    signal?.addEventListener('abort', onEnd, { once: true });
    try {
      if (wantsState) yield* this.#initialEvents(request);
      while (!isCut) {
        for (const entry of cluster.history.slice()) {
          if (entry.revision <= position) continue;
          position = entry.revision;
          const event = entry.resource === resourceId(this.info) ? this.#toEvent(entry, request) : undefined;
          if (event !== undefined) yield event;
        }
        if (position >= cluster.revision) {
          await wake.promise;
          wake = Promise.withResolvers<void>();
        }
      }
      signal?.throwIfAborted();
    } finally {
      stopListening();
      stopCut();
      signal?.removeEventListener('abort', onEnd);
    }
  }

  *#initialEvents(request: WatchRequest): Generator<WatchEvent<T>, void, void> {
    const revision = String(this.#cluster.revision);
    const objects = [...this.#cluster.objectsOf(this.info).values()].filter((object) => isSelected(object, request));
    for (const object of objects) yield { type: 'ADDED', object: this.#out(object) };
    if (!request.sendInitialEvents) return;
    const metadata = { resourceVersion: revision, annotations: { 'k8s.io/initial-events-end': 'true' } };
    yield { type: 'BOOKMARK', object: { metadata } as unknown as T };
  }

  #toEvent({ type, object, previous }: HistoryEntry, request: WatchRequest): WatchEvent<T> | undefined {
    const was = previous !== undefined && isSelected(previous, request);
    const is = type !== 'DELETED' && isSelected(object, request);
    if (!was && !is) return undefined;
    const seen = was ? (is ? 'MODIFIED' : 'DELETED') : 'ADDED';
    return { type: seen, object: this.#out(object) };
  }
}

function isGoneNow(object: KubeObject): boolean {
  const { deletionTimestamp, finalizers = [], deletionGracePeriodSeconds = 0 } = object.metadata;
  if (deletionTimestamp === undefined || finalizers.length > 0 || deletionGracePeriodSeconds > 0) return false;
  const spec = object.kind === 'Namespace' ? (object.spec as { finalizers?: string[] } | undefined) : undefined;
  return (spec?.finalizers ?? []).length === 0;
}

function mergePatch(target: unknown, patch: unknown): unknown {
  // Lists are replaced as a whole; only what is marked as deleted must not be stored.
  if (Array.isArray(patch)) return patch.filter((item) => !isJsonObject(item) || item.$patch === undefined);
  if (!isJsonObject(patch)) return patch;
  const result: JsonObject = isJsonObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = mergePatch(result[name], value);
  }
  return result;
}

interface Selection {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

/** Equality-based selectors and `!name`, which is what our own components use. */
function isSelected(object: KubeObject, { namespace, labelSelector = '', fieldSelector = '' }: Selection): boolean {
  if (namespace !== undefined && object.metadata.namespace !== namespace) return false;
  const labels = object.metadata.labels ?? {};
  const byLabel = labelSelector.split(',').filter(Boolean);
  const byField = fieldSelector.split(',').filter(Boolean);
  return (
    byLabel.every((term) =>
      term.startsWith('!') ? labels[term.slice(1)] === undefined : isTermTrue(term, (k) => labels[k]),
    ) && byField.every((term) => isTermTrue(term, (path) => String(valueAt(object, path) ?? '')))
  );
}

function isTermTrue(term: string, read: (name: string) => string | undefined): boolean {
  const [, name = '', operator, value] = /^([^!=]+)(!=|==?)?(.*)$/.exec(term) ?? [];
  if (operator === undefined) return read(name) !== undefined;
  return (read(name) === value) === (operator !== '!=');
}

function valueAt(object: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((value, name) => (isJsonObject(value) ? value[name] : undefined), object);
}
