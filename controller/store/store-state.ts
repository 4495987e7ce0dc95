import { keyAfter, OrderedMap, prefixEnd } from './ordered-map.ts';
import type { Snapshot, StoredObject } from './store.ts';

/** A field of the kind under `prefix` that is kept in an index. */
export interface FieldIndex {
  /** Ends in a slash: `/registry/pods/`. */
  readonly prefix: string;
  /** For example `spec.nodeName`. */
  readonly field: string;
}

/** Separates value and key in an index; sorts before everything that may stand in either. */
const SEPARATOR = '\0';

const indexKey = (value: string, key: string) => `${value}${SEPARATOR}${key}`;

/** All objects and all indexes at one moment. Immutable: a write makes a new state that shares almost everything with the old one. */
export class StoreState {
  readonly #objects: OrderedMap<StoredObject>;
  readonly #definitions: readonly FieldIndex[];
  /** In the order of the definitions; keyed by value and key. */
  readonly #indexes: readonly OrderedMap<StoredObject>[];

  private constructor(
    objects: OrderedMap<StoredObject>,
    definitions: readonly FieldIndex[],
    indexes: readonly OrderedMap<StoredObject>[],
  ) {
    this.#objects = objects;
    this.#definitions = definitions;
    this.#indexes = indexes;
  }

  static empty(definitions: readonly FieldIndex[]): StoreState {
    return StoreState.load([], definitions);
  }

  /** `objects` in key order. Decodes those that an index covers. */
  static load(objects: readonly StoredObject[], definitions: readonly FieldIndex[]): StoreState {
    const indexes = definitions.map(({ prefix, field }) => {
      const entries = objects
        .filter((object) => object.key.startsWith(prefix))
        .map((object) => [indexKey(object.fields[field] ?? '', object.key), object] as const)
        .sort(([a], [b]) => (a < b ? -1 : 1));
      return OrderedMap.fromSorted(entries);
    });
    return new StoreState(OrderedMap.fromSorted(objects.map((object) => [object.key, object])), definitions, indexes);
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): StoredObject | undefined {
    return this.#objects.get(key);
  }

  range(prefix: string, afterKey?: string): Iterable<StoredObject> {
    return this.#objects.range(rangeStart(prefix, afterKey), prefixEnd(prefix));
  }

  count(prefix: string, afterKey?: string): number {
    return this.#objects.countRange(rangeStart(prefix, afterKey), prefixEnd(prefix));
  }

  byField(prefix: string, field: string, value: string): Iterable<StoredObject> | undefined {
    const at = this.#definitions.findIndex((index) => index.field === field && prefix.startsWith(index.prefix));
    if (at < 0) return undefined;
    const from = indexKey(value, prefix);
    return this.#indexes[at]!.range(from, prefixEnd(from));
  }

  /** The state after `before` was replaced by `after`; undefined stands for absent on either side. */
  replaced(key: string, before: StoredObject | undefined, after: StoredObject | undefined): StoreState {
    const objects = after === undefined ? this.#objects.without(key) : this.#objects.with(key, after);
    return new StoreState(objects, this.#definitions, this.#replacedIndexes(key, before, after));
  }

  #replacedIndexes(
    key: string,
    before: StoredObject | undefined,
    after: StoredObject | undefined,
  ): readonly OrderedMap<StoredObject>[] {
    if (!this.#definitions.some(({ prefix }) => key.startsWith(prefix))) return this.#indexes;
    return this.#indexes.map((index, at) => {
      const { prefix, field } = this.#definitions[at]!;
      if (!key.startsWith(prefix)) return index;
      const oldValue = before?.fields[field] ?? '';
      const newValue = after?.fields[field] ?? '';
      const cleared =
        before !== undefined && (after === undefined || oldValue !== newValue)
          ? index.without(indexKey(oldValue, key))
          : index;
      return after === undefined ? cleared : cleared.with(indexKey(newValue, key), after);
    });
  }
}

function rangeStart(prefix: string, afterKey: string | undefined): string {
  if (afterKey === undefined) return prefix;
  const start = keyAfter(afterKey);
  return start > prefix ? start : prefix;
}

/** A state with its revision: what GET and LIST read. */
export class StateSnapshot implements Snapshot {
  readonly revision: number;
  readonly state: StoreState;

  constructor(revision: number, state: StoreState) {
    this.revision = revision;
    this.state = state;
  }

  get(key: string): StoredObject | undefined {
    return this.state.get(key);
  }

  range(prefix: string, afterKey?: string): Iterable<StoredObject> {
    return this.state.range(prefix, afterKey);
  }

  count(prefix: string, afterKey?: string): number {
    return this.state.count(prefix, afterKey);
  }

  byField(prefix: string, field: string, value: string): Iterable<StoredObject> | undefined {
    return this.state.byField(prefix, field, value);
  }
}
