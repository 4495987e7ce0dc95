import { CelDuration, CelTimestamp, CelUint } from './scalars.ts';
import { formatDuration, formatTimestamp } from './time-text.ts';
import { CelList, CelMap, CelOptional, CelStruct, type CelValue } from './value.ts';

/** Makes a value of JSON; containers are wrapped, and their content is made when it is read. */
export type FromJson = (json: unknown) => CelValue;

/** JSON of which nothing is known beforehand: whole numbers are ints, the others doubles. */
export const fromJson: FromJson = (json) => {
  switch (typeof json) {
    case 'string':
    case 'boolean':
      return json;
    case 'number':
      return Number.isSafeInteger(json) ? BigInt(json) : json;
    case 'bigint':
      return json;
    case 'object':
      if (json === null) return null;
      return Array.isArray(json) ? new JsonList(json, fromJson) : new JsonMap(json as JsonObject, fromJson);
    default:
      return null;
  }
};

type JsonObject = Readonly<Record<string, unknown>>;

export class JsonList extends CelList {
  readonly #items: readonly unknown[];
  readonly #fromItem: FromJson;

  constructor(items: readonly unknown[], fromItem: FromJson) {
    super();
    this.#items = items;
    this.#fromItem = fromItem;
  }

  override get size(): number {
    return this.#items.length;
  }

  override get(index: number): CelValue | undefined {
    return index in this.#items ? this.#fromItem(this.#items[index]) : undefined;
  }
}

export class JsonMap extends CelMap {
  readonly #object: JsonObject;
  readonly #fromEntry: FromJson;
  #keys: readonly string[] | undefined;

  constructor(object: JsonObject, fromEntry: FromJson) {
    super();
    this.#object = object;
    this.#fromEntry = fromEntry;
  }

  #ownKeys(): readonly string[] {
    this.#keys ??= Object.keys(this.#object).filter((key) => this.#object[key] !== undefined);
    return this.#keys;
  }

  override get size(): number {
    return this.#ownKeys().length;
  }

  override get(key: CelValue): CelValue | undefined {
    if (typeof key !== 'string' || !Object.hasOwn(this.#object, key)) return undefined;
    const json = this.#object[key];
    return json === undefined ? undefined : this.#fromEntry(json);
  }

  override keys(): Iterable<CelValue> {
    return this.#ownKeys();
  }
}

/** Thrown where a value has no JSON form. */
export class NoJsonError extends Error {
  override readonly name = 'NoJsonError';
}

/** More values than a request could bring: parts that are used many times could fill the memory otherwise. */
const MAX_JSON_NODES = 2_000_000;

interface JsonMeter {
  left: number;
}

/** The JSON that a mutation stores. Integers beyond 2^53 keep their value as decimal text would not: they are refused. */
export function toJson(value: CelValue, meter: JsonMeter = { left: MAX_JSON_NODES }): unknown {
  if (--meter.left < 0) throw new NoJsonError('value is too large');
  if (value === null || typeof value === 'string' || typeof value === 'boolean' || typeof value === 'number') {
    return value;
  }
  if (typeof value === 'bigint' || value instanceof CelUint) {
    const number = Number(typeof value === 'bigint' ? value : value.value);
    if (!Number.isSafeInteger(number)) throw new NoJsonError('integer is out of the range of JSON numbers');
    return number;
  }
  if (value instanceof CelList) return [...value].map((item) => toJson(item, meter));
  if (value instanceof CelMap) return mapToJson(value, meter);
  if (value instanceof CelStruct) {
    return Object.fromEntries([...value.fields].map(([name, field]) => [name, toJson(field, meter)]));
  }
  if (value instanceof CelTimestamp) return formatTimestamp(value);
  if (value instanceof CelDuration) return formatDuration(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (value instanceof CelOptional && value.value !== undefined) return toJson(value.value, meter);
  throw new NoJsonError('value has no JSON form');
}

function mapToJson(map: CelMap, meter: JsonMeter): Record<string, unknown> {
  const json: [string, unknown][] = [];
  for (const [key, entry] of map.entries()) {
    if (typeof key !== 'string') throw new NoJsonError('keys of JSON objects are strings');
    json.push([key, toJson(entry, meter)]);
  }
  return Object.fromEntries(json);
}
