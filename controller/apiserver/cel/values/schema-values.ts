import type { FromJson } from './json-values.ts';
import { ArrayList, CelList, CelMap, type CelValue } from './value.ts';

type IsEqual = (a: CelValue, b: CelValue) => boolean;
type JsonObject = Readonly<Record<string, unknown>>;

export interface FieldAccess {
  /** CEL name -> JSON name, for all fields that the schema has. */
  readonly names: ReadonlyMap<string, string>;
  readonly fromField: (celName: string) => FromJson;
}

/** An object with a schema, keyed by its fields' CEL names; what the schema does not name is not there. */
export class ObjectMap extends CelMap {
  readonly #object: JsonObject;
  readonly #access: FieldAccess;

  constructor(object: JsonObject, access: FieldAccess) {
    super();
    this.#object = object;
    this.#access = access;
  }

  override get size(): number {
    return [...this.keys()].length;
  }

  override get(key: CelValue): CelValue | undefined {
    const name = typeof key === 'string' ? this.#access.names.get(key) : undefined;
    if (name === undefined || !Object.hasOwn(this.#object, name)) return undefined;
    const json = this.#object[name];
    return json === undefined ? undefined : this.#access.fromField(key as string)(json);
  }

  override *keys(): Iterable<CelValue> {
    for (const [key, name] of this.#access.names) {
      if (Object.hasOwn(this.#object, name) && this.#object[name] !== undefined) yield key;
    }
  }
}

/** A list in another's clothes. */
abstract class WrappedList extends CelList {
  protected readonly items: CelList;

  constructor(items: CelList) {
    super();
    this.items = items;
  }

  override get size(): number {
    return this.items.size;
  }

  override get(index: number): CelValue | undefined {
    return this.items.get(index);
  }
}

/** A text that equal values share; values that are different may share it too. */
function bucketOf(value: CelValue): string {
  if (typeof value === 'string' || typeof value === 'boolean') return `${typeof value}${value}`;
  if (typeof value === 'bigint' || typeof value === 'number') return `n${Number(value)}`;
  return value === null ? 'null' : 'object';
}

/** `x-kubernetes-list-type: set`: the order does not count, and adding leaves out what is there. */
export class SetList extends WrappedList {
  override equals(other: CelList, isEqual: IsEqual): boolean {
    if (this.size !== other.size) return false;
    const buckets = bucketsOf(this);
    for (const item of other) {
      if (!(buckets.get(bucketOf(item)) ?? []).some((mine) => isEqual(mine, item))) return false;
    }
    return true;
  }

  override concat(other: CelList): CelList {
    const buckets = bucketsOf(this);
    const added = [...other].filter((item) => {
      const bucket = bucketOf(item);
      const same = buckets.get(bucket) ?? [];
      if (bucket !== 'object' && same.length > 0) return false;
      buckets.set(bucket, [...same, item]);
      return true;
    });
    return new SetList(new ArrayList([...this, ...added]));
  }
}

function bucketsOf(list: CelList): Map<string, CelValue[]> {
  const buckets = new Map<string, CelValue[]>();
  for (const item of list) {
    const bucket = bucketOf(item);
    const same = buckets.get(bucket);
    if (same === undefined) buckets.set(bucket, [item]);
    else same.push(item);
  }
  return buckets;
}

/** `x-kubernetes-list-type: map`: compared by keys, and adding replaces in place what has the same keys. */
export class KeyedList extends WrappedList {
  readonly #keys: readonly string[];

  constructor(items: CelList, keys: readonly string[]) {
    super(items);
    this.#keys = keys;
  }

  #keyOf(item: CelValue): string {
    if (!(item instanceof CelMap)) return '';
    return JSON.stringify(this.#keys.map((key) => bucketOf(item.get(key) ?? null)));
  }

  override equals(other: CelList, isEqual: IsEqual): boolean {
    if (this.size !== other.size) return false;
    const mine = new Map([...this].map((item) => [this.#keyOf(item), item]));
    for (const item of other) {
      const found = mine.get(this.#keyOf(item));
      if (found === undefined || !isEqual(found, item)) return false;
    }
    return true;
  }

  override concat(other: CelList): CelList {
    const merged = new Map([...this].map((item) => [this.#keyOf(item), item]));
    for (const item of other) merged.set(this.#keyOf(item), item);
    return new KeyedList(new ArrayList([...merged.values()]), this.#keys);
  }
}
