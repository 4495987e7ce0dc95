import { keyOf, type ObjectKey, type Stored } from '../object/kube-object.ts';
import type { IndexFunction, Lister } from './informer.ts';

interface Index<T> {
  readonly valuesOf: IndexFunction<T>;
  readonly byValue: Map<string, Map<ObjectKey, T>>;
}

/** Built into every cache, under a name that no caller's index can have. */
const NAMESPACE_INDEX = '\0namespace';

/** The objects of one informer with their indexes. */
export class ObjectCache<T extends Stored<object>> implements Lister<T> {
  readonly #objects = new Map<ObjectKey, T>();
  readonly #indexes = new Map<string, Index<T>>();

  constructor(indexers: Readonly<Record<string, IndexFunction<T>>> = {}) {
    this.addIndex(NAMESPACE_INDEX, (object) => [object.metadata.namespace ?? '']);
    for (const [name, index] of Object.entries(indexers)) this.addIndex(name, index);
  }

  addIndex(name: string, valuesOf: IndexFunction<T>): void {
    if (this.#indexes.has(name)) return;
    const index: Index<T> = { valuesOf, byValue: new Map() };
    this.#indexes.set(name, index);
    for (const [key, object] of this.#objects) insert(index, key, object);
  }

  byKey(key: ObjectKey): T | undefined {
    return this.#objects.get(key);
  }

  list(namespace?: string): T[] {
    return namespace === undefined ? [...this.#objects.values()] : this.byIndex(NAMESPACE_INDEX, namespace);
  }

  byIndex(name: string, value: string): T[] {
    const index = this.#indexes.get(name);
    if (index === undefined) throw new Error(`no index named ${name}`);
    return [...(index.byValue.get(value)?.values() ?? [])];
  }

  /** Answers what was there before. */
  put(object: T): T | undefined {
    const key = keyOf(object);
    const previous = this.#objects.get(key);
    this.#objects.set(key, object);
    for (const index of this.#indexes.values()) {
      if (previous !== undefined) withdraw(index, key, previous);
      insert(index, key, object);
    }
    return previous;
  }

  remove(key: ObjectKey): T | undefined {
    const previous = this.#objects.get(key);
    if (previous === undefined) return undefined;
    this.#objects.delete(key);
    for (const index of this.#indexes.values()) withdraw(index, key, previous);
    return previous;
  }
}

function insert<T>(index: Index<T>, key: ObjectKey, object: T): void {
  for (const value of index.valuesOf(object)) {
    const entries = index.byValue.get(value);
    if (entries === undefined) index.byValue.set(value, new Map([[key, object]]));
    else entries.set(key, object);
  }
}

function withdraw<T>(index: Index<T>, key: ObjectKey, object: T): void {
  for (const value of index.valuesOf(object)) {
    const entries = index.byValue.get(value);
    entries?.delete(key);
    if (entries?.size === 0) index.byValue.delete(value);
  }
}
