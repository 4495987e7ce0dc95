import type { ObjectKey, Stored } from '../object/kube-object.ts';

/** Reads from the informer's cache: no I/O. Objects are shared: copy before a change. */
export interface Lister<T> {
  /** The object with this key, or undefined. */
  byKey(key: ObjectKey): T | undefined;
  list(namespace?: string): T[];
  /** Objects for which the named index function returned `value`. Throws for an unknown index. */
  byIndex(index: string, value: string): T[];
}

export type IndexFunction<T> = (object: T) => readonly string[];

export interface InformerHandler<T> {
  onAdd?(object: T, isInitial: boolean): void;
  onUpdate?(previous: T, current: T): void;
  /** The last known state. */
  onDelete?(object: T): void;
}

export interface Informer<T extends Stored<object>> extends Lister<T> {
  /** Adds an index for `byIndex`; a name that exists already is left as it is. */
  addIndex(name: string, index: IndexFunction<T>): void;
  /** Existing objects are replayed as adds. */
  addHandler(handler: InformerHandler<T>): void;
  readonly hasSynced: boolean;
  /** Resolves after the first complete list has been delivered to the handlers; rejects when aborted. */
  waitForSync(signal?: AbortSignal): Promise<void>;
  /** Runs until aborted: list+watch (watch-list where the server has it), relist on 410, full-jitter back-off on errors. */
  start(signal: AbortSignal): void;
}
