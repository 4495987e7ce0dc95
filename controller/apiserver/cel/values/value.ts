import { CelEvaluationError } from './evaluation-error.ts';
import { CelDuration, CelTimestamp, type CelTypeValue, CelUint } from './scalars.ts';

/** What expressions compute with: bigint is CEL's int, number its double. */
export type CelValue =
  | null
  | boolean
  | bigint
  | number
  | string
  | Uint8Array
  | CelUint
  | CelTimestamp
  | CelDuration
  | CelTypeValue
  | CelList
  | CelMap
  | CelStruct
  | CelOptional
  | CelOpaque;

/** Immutable. */
export abstract class CelList {
  abstract readonly size: number;
  /** Undefined outside of the list. */
  abstract get(index: number): CelValue | undefined;

  *[Symbol.iterator](): IterableIterator<CelValue> {
    for (let index = 0; index < this.size; index++) yield this.get(index) as CelValue;
  }

  /** How lists of this kind are compared; sets and lists with keys do not mind the order. */
  equals(other: CelList, isEqual: (a: CelValue, b: CelValue) => boolean): boolean {
    if (this.size !== other.size) return false;
    for (let index = 0; index < this.size; index++) {
      if (!isEqual(this.get(index) as CelValue, other.get(index) as CelValue)) return false;
    }
    return true;
  }

  /** Throws CelEvaluationError for lists that no object could hold. */
  concat(other: CelList): CelList {
    if (this.size === 0) return other;
    return other.size === 0 ? this : new JoinedList(this, other);
  }
}

/** Nothing that fits into a request is longer; what an expression makes of it may be, a little. */
const MAX_LIST = 2 ** 23;

/** Throws CelEvaluationError for lists that no object could hold. */
export function requireListSize(size: number): void {
  if (size > MAX_LIST) throw new CelEvaluationError('list is too large');
}

/** Two lists behind each other: adding is priced as if nothing was copied, and so nothing is. */
class JoinedList extends CelList {
  readonly #left: CelList;
  readonly #right: CelList;
  override readonly size: number;

  constructor(left: CelList, right: CelList) {
    super();
    this.#left = left;
    this.#right = right;
    this.size = left.size + right.size;
    requireListSize(this.size);
  }

  override get(index: number): CelValue | undefined {
    const { size } = this.#left;
    return index < size ? this.#left.get(index) : this.#right.get(index - size);
  }
}

export class ArrayList extends CelList {
  readonly #items: readonly CelValue[];

  constructor(items: readonly CelValue[]) {
    super();
    this.#items = items;
  }

  override get size(): number {
    return this.#items.length;
  }

  override get(index: number): CelValue | undefined {
    return this.#items[index];
  }
}

/** The integers from 0 up to `size`, which is 0 where it is negative; none of them is held. */
export class RangeList extends CelList {
  override readonly size: number;

  constructor(size: number) {
    super();
    requireListSize(size);
    this.size = Math.max(0, size);
  }

  override get(index: number): CelValue | undefined {
    return index >= 0 && index < this.size ? BigInt(index) : undefined;
  }
}

/** Grows at its end in place: only the accumulator of a fold, which nobody else can see, is one. */
export class GrowingList extends CelList {
  readonly #items: CelValue[] = [];

  override get size(): number {
    return this.#items.length;
  }

  override get(index: number): CelValue | undefined {
    return this.#items[index];
  }

  push(value: CelValue): void {
    this.#items.push(value);
  }
}

/** Immutable. Objects with a schema are maps at run time, keyed by their fields as CEL spells them. */
export abstract class CelMap {
  abstract readonly size: number;
  abstract get(key: CelValue): CelValue | undefined;
  abstract keys(): Iterable<CelValue>;

  *entries(): IterableIterator<[CelValue, CelValue]> {
    for (const key of this.keys()) yield [key, this.get(key) as CelValue];
  }
}

/** One text per key; numbers of different types with one value are one key. Undefined for what cannot be a key. */
export function keyText(key: CelValue): string | undefined {
  if (typeof key === 'string') return `s${key}`;
  if (typeof key === 'boolean') return `b${key}`;
  if (typeof key === 'bigint') return `n${key}`;
  if (key instanceof CelUint) return `n${key.value}`;
  if (typeof key === 'number') return Number.isInteger(key) ? `n${BigInt(key)}` : undefined;
  return undefined;
}

export class EntryMap extends CelMap {
  readonly #entries: ReadonlyMap<string, readonly [CelValue, CelValue]>;

  /** By `keyText`. */
  constructor(entries: ReadonlyMap<string, readonly [CelValue, CelValue]>) {
    super();
    this.#entries = entries;
  }

  override get size(): number {
    return this.#entries.size;
  }

  override get(key: CelValue): CelValue | undefined {
    const text = keyText(key);
    return text === undefined ? undefined : this.#entries.get(text)?.[1];
  }

  override *keys(): Iterable<CelValue> {
    for (const [key] of this.#entries.values()) yield key;
  }

  /** A copy that grows. */
  growing(): GrowingMap {
    return new GrowingMap(new Map(this.#entries));
  }
}

/** The accumulator of a macro that makes a map: nothing else sees it before it is finished. */
export class GrowingMap extends EntryMap {
  readonly #entries: Map<string, readonly [CelValue, CelValue]>;

  constructor(entries: Map<string, readonly [CelValue, CelValue]>) {
    super(entries);
    this.#entries = entries;
  }

  insert(key: CelValue, text: string, value: CelValue): void {
    this.#entries.set(text, [key, value]);
  }
}

/** Made by a literal like `Object.spec{replicas: 1}` or `JSONPatch{op: "add"}`. */
export class CelStruct {
  readonly typeName: string;
  readonly fields: ReadonlyMap<string, CelValue>;

  constructor(typeName: string, fields: ReadonlyMap<string, CelValue>) {
    this.typeName = typeName;
    this.fields = fields;
  }
}

export class CelOptional {
  static readonly none = new CelOptional(undefined);
  /** Undefined when empty. */
  readonly value: CelValue | undefined;

  constructor(value: CelValue | undefined) {
    this.value = value;
  }
}

/** A value of a library: URL, quantity, address ... */
export abstract class CelOpaque {
  abstract readonly typeName: string;
  abstract equals(other: CelOpaque): boolean;
  /** What `size`-dependent costs charge for it. */
  readonly costSize: number = 1;
}

/** The type's name as `type(x)` shows it, without parameters. */
export function typeNameOf(value: CelValue): string {
  switch (typeof value) {
    case 'boolean':
      return 'bool';
    case 'bigint':
      return 'int';
    case 'number':
      return 'double';
    case 'string':
      return 'string';
    default:
      return objectTypeName(value);
  }
}

function objectTypeName(value: Exclude<CelValue, boolean | bigint | number | string>): string {
  if (value === null) return 'null_type';
  if (value instanceof CelList) return 'list';
  if (value instanceof CelMap) return 'map';
  if (value instanceof CelStruct || value instanceof CelOpaque) return value.typeName;
  if (value instanceof CelOptional) return 'optional_type';
  if (value instanceof CelUint) return 'uint';
  if (value instanceof CelTimestamp) return 'google.protobuf.Timestamp';
  if (value instanceof CelDuration) return 'google.protobuf.Duration';
  if (value instanceof Uint8Array) return 'bytes';
  return 'type';
}
