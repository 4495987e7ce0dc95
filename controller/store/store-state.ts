import { keyAfter, OrderedMap, prefixEnd } from './ordered-map.ts';
import type { Snapshot, StoredObject } from './store.ts';

/** A field or a label of the kind under `prefix` (which ends in a slash: `/registry/pods/`) that is kept in an index. */
export type IndexDefinition =
  /** For example `spec.nodeName`. Objects without the field have the value ''. */
  | { readonly prefix: string; readonly field: string }
  /** For example `kubernetes.io/service-name`. Objects without the label are not in the index. */
  | { readonly prefix: string; readonly label: string };

/** Separates value and key in an index; sorts before everything that may stand in either. */
const SEPARATOR = '\0';

/** What the object has under the definition; undefined: it does not belong into the index. */
function indexedValue(definition: IndexDefinition, object: StoredObject): string | undefined {
  return 'field' in definition ? (object.fields[definition.field] ?? '') : object.labels[definition.label];
}

const indexKey = (value: string, key: string) => `${value}${SEPARATOR}${key}`;

/** All objects and all indexes at one moment. Immutable: a write makes a new state that shares almost everything with the old one. */
export class StoreState {
  readonly #objects: OrderedMap<StoredObject>;
  readonly #definitions: readonly IndexDefinition[];
  /** In the order of the definitions; keyed by value and key. */
  readonly #indexes: readonly OrderedMap<StoredObject>[];

  private constructor(
    objects: OrderedMap<StoredObject>,
    definitions: readonly IndexDefinition[],
    indexes: readonly OrderedMap<StoredObject>[],
  ) {
    this.#objects = objects;
    this.#definitions = definitions;
    this.#indexes = indexes;
  }

  static empty(definitions: readonly IndexDefinition[]): StoreState {
    return StoreState.load([], definitions);
  }

  /** `objects` in key order. Decodes those that an index covers. */
  static load(objects: readonly StoredObject[], definitions: readonly IndexDefinition[]): StoreState {
    const byKey = OrderedMap.fromSorted(objects.map((object) => [object.key, object]));
    const indexes = definitions.map((definition) => {
      const entries: [string, StoredObject][] = [];
      for (const object of byKey.range(definition.prefix, prefixEnd(definition.prefix))) {
        const value = indexedValue(definition, object);
        if (value !== undefined) entries.push([indexKey(value, object.key), object]);
      }
      return OrderedMap.fromSorted(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
    });
    return new StoreState(byKey, definitions, indexes);
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
    return this.#lookUp(prefix, value, (definition) => 'field' in definition && definition.field === field);
  }

  byLabel(prefix: string, label: string, value: string): Iterable<StoredObject> | undefined {
    return this.#lookUp(prefix, value, (definition) => 'label' in definition && definition.label === label);
  }

  #lookUp(prefix: string, value: string, isMeant: (definition: IndexDefinition) => boolean) {
    const at = this.#definitions.findIndex((definition) => prefix.startsWith(definition.prefix) && isMeant(definition));
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
      const definition = this.#definitions[at]!;
      if (!key.startsWith(definition.prefix)) return index;
      const oldValue = before && indexedValue(definition, before);
      const newValue = after && indexedValue(definition, after);
      const isMoved = oldValue !== undefined && oldValue !== newValue;
      const cleared = isMoved ? index.without(indexKey(oldValue, key)) : index;
      return after === undefined || newValue === undefined ? cleared : cleared.with(indexKey(newValue, key), after);
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

  byLabel(prefix: string, label: string, value: string): Iterable<StoredObject> | undefined {
    return this.state.byLabel(prefix, label, value);
  }
}
