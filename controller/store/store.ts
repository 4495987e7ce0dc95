/**
 * The store's contract (DESIGN 5.4), the same for memory, SQLite, etcd and the watch cache above them.
 *
 * Values are canonical JSON of the storage version WITHOUT metadata.resourceVersion; `StoredObject.bytes` is the same object WITH
 * it (spliced in as the first field of metadata), ready to be written to a client. Keys are Kubernetes' own etcd keys:
 * `/registry/<resource>[/<namespace>]/<name>` with its special cases.
 */

export interface StoredObject {
  readonly key: string;
  /** Revision of the last write of this object: its resourceVersion. */
  readonly revision: number;
  /** Encoded object, resourceVersion included. Shared by every reader: never written to. Owns its ArrayBuffer (no pooled Buffer). */
  readonly bytes: Uint8Array;
  readonly labels: Readonly<Record<string, string>>;
  /** Values of the selectable fields of its kind, `metadata.name` and `metadata.namespace` included. */
  readonly fields: Readonly<Record<string, string>>;
  /**
   * The decoded object, parsed on first use and kept weakly. Deep-frozen in tests: copy before a change.
   * Hot read paths write `bytes` and never call this.
   */
  object(): unknown;
}

/** What the caller hands in on a write. */
export interface NewValue {
  /** Canonical JSON without resourceVersion. */
  readonly bytes: Uint8Array;
  readonly labels: Readonly<Record<string, string>>;
  readonly fields: Readonly<Record<string, string>>;
  /**
   * `volatile`: only volatile fields changed (contract sentence 5): stays in memory, no fsync. Of an object that does not exist yet: such
   * changes are to be expected, so that its creation, which is durable, says so at once and the first of them needs no commit.
   */
  readonly durability: 'durable' | 'volatile';
}

export type WriteDecision =
  | { readonly kind: 'put'; readonly value: NewValue }
  | { readonly kind: 'delete' }
  /** Nothing to do (a canonical no-op, or a dry run): no revision is spent; the current object is the answer. */
  | { readonly kind: 'unchanged' };

export interface WriteOptions {
  /** Aborted when the client's deadline passes: the caller then answers 504, the write may still happen. */
  readonly signal?: AbortSignal;
}

export type StoreEventType = 'ADDED' | 'MODIFIED' | 'DELETED';

export interface StoreEvent {
  readonly type: StoreEventType;
  /** Revision of the write; events of one store are delivered in strictly growing order. */
  readonly revision: number;
  /** State after the write; for DELETED the last state, carrying the revision of the deletion. */
  readonly object: StoredObject;
  /** State before the write; undefined for ADDED. Lets selectors turn MODIFIED into ADDED or DELETED. */
  readonly previous: StoredObject | undefined;
}

/** An immutable view at one revision; valid for as long as it is referenced. */
export interface Snapshot {
  readonly revision: number;
  get(key: string): StoredObject | undefined;
  /** Objects whose key starts with `prefix`, in key order, after `afterKey` (exclusive) where given. */
  range(prefix: string, afterKey?: string): Iterable<StoredObject>;
  count(prefix: string, afterKey?: string): number;
  /** Objects under `prefix` with this field value through an index, or undefined where the field is not indexed. */
  byField(prefix: string, field: string, value: string): Iterable<StoredObject> | undefined;
  /** Objects under `prefix` with this value of a label through an index, or undefined where the label is not indexed. */
  byLabel(prefix: string, label: string, value: string): Iterable<StoredObject> | undefined;
}

export interface Watcher {
  /** Stops the watch; idempotent. */
  stop(): void;
}

export interface WatchOptions {
  readonly prefix: string;
  /** Events with revision > fromRevision are delivered, first those of the history, then live ones, without loss or repetition. */
  readonly fromRevision: number;
  /** Narrow interest, so that an event costs only those who may want it. */
  readonly field?: { readonly name: string; readonly value: string };
  /** Called synchronously, in revision order; must not throw and must not block. */
  readonly onEvent: (event: StoreEvent) => void;
  /** The store can no longer serve this watch (compacted under it, backend lost): answer 410 and let the client list again. */
  readonly onClose: (reason: 'compacted' | 'closed') => void;
}

/** What readers must know of a backend that others write to as well, such as a second API server. */
export interface SharedBackend {
  /** Resolves once everything that anybody was told before this call is visible here; rejects with 503 or 504. */
  catchUp(): Promise<void>;
  /** False where the backend has no safe way of telling how complete the visible state is: such lists are not offered. */
  readonly servesWatchLists: boolean;
}

export interface Store {
  /** Absent where nobody else writes: what is visible is then the newest state, and consistent reads need no wait. */
  readonly shared?: SharedBackend | undefined;
  /** Newest durable revision, the one GET, LIST and WATCH show. */
  readonly revision: number;
  /** Oldest revision from which a watch can still resume. */
  readonly compactedRevision: number;
  /** The current durable state. */
  snapshot(): Snapshot;
  /** State at an older revision still within history; throws 410 Expired when compacted, and 400-class errors for the future. */
  snapshotAt(revision: number): Snapshot;
  /** Resolves once `revision` is visible; rejects with `Too large resource version` (504 Timeout) after `timeoutMs`. */
  waitFor(revision: number, timeoutMs: number): Promise<void>;
  /**
   * Read-modify-write of one key against the *pending* head (contract sentence 2). `decide` is synchronous, sees the newest
   * accepted (perhaps not yet durable) state, may throw ApiError to refuse, and runs again if a commit it built on fails.
   * Resolves once durable, with the object after the write (before it, for deletes: the last state with the deletion's revision;
   * for `unchanged` the current one, undefined if there is none). A refusal is delivered only after the state it lost to is durable.
   * Rejects with 429 when the write queue is full, 413 beyond 1.5 MiB.
   */
  write(
    key: string,
    decide: (current: StoredObject | undefined) => WriteDecision,
    options?: WriteOptions,
  ): Promise<WriteResult>;
  /** Throws 410 Expired synchronously when fromRevision is older than compactedRevision. */
  watch(options: WatchOptions): Watcher;
  /** Flushes and closes; later writes are refused with 503. */
  close(): Promise<void>;
}

export interface WriteResult {
  readonly revision: number;
  readonly object: StoredObject | undefined;
  readonly changed: boolean;
}
