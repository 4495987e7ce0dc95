import type { ResourceInfo } from '../object/group-version.ts';
import type { ObjectMeta, Stored, StoredMeta } from '../object/kube-object.ts';

export interface ListOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly resourceVersion?: string;
  readonly limit?: number;
  readonly continue?: string;
  readonly signal?: AbortSignal;
}

export interface WatchRequest {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly resourceVersion?: string;
  readonly allowWatchBookmarks?: boolean;
  readonly sendInitialEvents?: boolean;
  readonly timeoutSeconds?: number;
  readonly signal?: AbortSignal;
}

export interface ObjectList<T> {
  readonly resourceVersion: string;
  readonly continue: string | undefined;
  readonly items: readonly T[];
}

export type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK'; readonly object: T }
  /** Surfaces as a thrown ApiError instead; listed for completeness of the wire format. */
  | { readonly type: 'ERROR'; readonly object: never };

export interface DeleteRequest {
  readonly namespace?: string;
  readonly name: string;
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Foreground' | 'Background' | 'Orphan';
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly signal?: AbortSignal;
}

export interface DeleteCollectionRequest {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Foreground' | 'Background' | 'Orphan';
  readonly signal?: AbortSignal;
}

export type PatchType = 'json' | 'merge' | 'strategic' | 'apply';

export interface PatchRequest {
  readonly namespace?: string;
  readonly name: string;
  readonly type: PatchType;
  readonly patch: unknown;
  readonly subresource?: string;
  readonly fieldManager?: string;
  readonly force?: boolean;
  readonly signal?: AbortSignal;
}

/** Body of a create or update: `apiVersion` and `kind` are filled in where absent. */
export type Draft<T> = Partial<Omit<T, 'metadata'>> & { metadata: ObjectMeta };

/** Typed access to one resource; every method throws ApiError for answers >= 400 and TransportError without an answer. */
export interface ResourceClient<T extends Stored<object>> {
  readonly info: ResourceInfo;
  fetch(name: string, namespace?: string, signal?: AbortSignal): Promise<T>;
  /** One page. */
  fetchList(options?: ListOptions): Promise<ObjectList<T>>;
  watch(options?: WatchRequest): AsyncIterable<WatchEvent<T>>;
  create(object: Draft<T>, signal?: AbortSignal): Promise<T>;
  update(object: T, subresource?: string, signal?: AbortSignal): Promise<T>;
  patch(request: PatchRequest): Promise<T>;
  delete(request: DeleteRequest): Promise<void>;
  deleteCollection(request: DeleteCollectionRequest): Promise<void>;
  /** POST to a subresource (binding, eviction, token): body in, body out. */
  post<R = unknown>(
    name: string,
    namespace: string | undefined,
    subresource: string,
    body: object,
    signal?: AbortSignal,
  ): Promise<R>;
}

/** An object of which only the metadata was asked for: cheap to watch for every kind there is. */
export interface PartialObject {
  apiVersion: string;
  kind: string;
  metadata: StoredMeta;
}

/** A request outside the resource verbs: discovery, `/version`, a subresource with its own rules. */
export interface RawRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path and query, percent-encoded. */
  readonly path: string;
  readonly accept?: string;
  readonly body?: object;
  readonly signal?: AbortSignal;
}

export interface KubeClient {
  resource<T extends Stored<object>>(info: ResourceInfo): ResourceClient<T>;
  /** The same resource as PartialObjectMetadata: reads answer metadata alone, watches perhaps without managedFields; patch and delete work as ever. */
  metadata(info: ResourceInfo): ResourceClient<PartialObject>;
  /** The decoded JSON answer; undefined when it was empty. */
  raw<R = unknown>(request: RawRequest): Promise<R>;
}
