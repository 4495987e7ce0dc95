import type { JsonObject } from '../../object/json.ts';
import type { KubeObject } from '../../object/kube-object.ts';
import type { FieldDef, TypeDef } from '../../schema/type-table.ts';

const WORDS = ['a', 'b', 'c', 'd'] as const;
const MAX_ITEMS = 3;
/** Types nest deeper, and some contain themselves. */
const MAX_DEPTH = 7;

/** Well-formed objects of any type: keys of list items are unique, sets hold a value once. */
export class ObjectGenerator {
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Always of one name; labels, annotations, finalizers and owners as chance has it. */
  object(type: TypeDef, { apiVersion, kind }: { readonly apiVersion: string; readonly kind: string }): KubeObject {
    const { metadata: _, ...rest } = this.#message(type, 0);
    const metaType = type.fields.get('metadata')?.type;
    const { labels, annotations, finalizers, ownerReferences } = (
      metaType === undefined ? {} : this.#message(metaType, 0)
    ) as JsonObject;
    const chosen = Object.entries({ labels, annotations, finalizers, ownerReferences }).filter(
      ([, value]) => value !== undefined,
    );
    return {
      ...rest,
      apiVersion,
      kind,
      metadata: { name: 'x', namespace: 'n', ...Object.fromEntries(chosen) },
    } as KubeObject;
  }

  /** Like `object`, but mostly the same as `from`: what an edit leaves behind. */
  edited(from: KubeObject, type: TypeDef): KubeObject {
    const { metadata, ...rest } = this.#edit(
      from as unknown as JsonObject,
      this.object(type, from) as unknown as JsonObject,
    );
    return { ...rest, apiVersion: from.apiVersion, kind: from.kind, metadata } as KubeObject;
  }

  chance(probability: number): boolean {
    return this.#random() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.#random() * list.length)]!;
  }

  #edit(old: JsonObject, other: JsonObject): JsonObject {
    const result: JsonObject = {};
    for (const key of new Set([...Object.keys(old), ...Object.keys(other)])) {
      const [before, after] = [old[key], other[key]];
      const isDeep = isPlain(before) && isPlain(after);
      if (isDeep) result[key] = this.#edit(before, after);
      else if (this.chance(0.7) ? before !== undefined : after !== undefined) {
        result[key] = this.chance(0.7) && before !== undefined ? before : (after ?? before);
      }
    }
    return result;
  }

  #message(type: TypeDef, depth: number): JsonObject {
    const result: JsonObject = {};
    const share = depth === 0 ? 0.6 : 0.35;
    for (const field of type.fields.values()) {
      if (field.name === 'apiVersion' || field.name === 'kind' || depth >= MAX_DEPTH) continue;
      const value = this.chance(share) ? this.#field(field, depth) : undefined;
      if (value !== undefined) result[field.name] = value;
    }
    return result;
  }

  #field(field: FieldDef, depth: number): unknown {
    switch (field.cardinality) {
      case 'one':
        return this.#value(field, depth);
      case 'map':
        return Object.fromEntries(this.#some(WORDS).map((key) => [key, this.#value(field, depth)]));
      default:
        return this.#list(field, depth);
    }
  }

  #list(field: FieldDef, depth: number): unknown[] {
    const keys = [
      ...new Set([...field.listMapKeys, ...(field.patchMergeKey === undefined ? [] : [field.patchMergeKey])]),
    ];
    if (field.kind !== 'message' || keys.length === 0) {
      const items = Array.from({ length: Math.floor(this.#random() * (MAX_ITEMS + 1)) }, () =>
        this.#value(field, depth),
      );
      return [...new Map(items.map((item) => [JSON.stringify(item), item])).values()];
    }
    // Each key alone is unique as well: strategic merge patch knows only one of several.
    return this.#some([0, 1, 2, 3]).map((index) => {
      const item = this.#value(field, depth) as JsonObject;
      for (const name of keys) item[name] = keyValue(field.type?.fields.get(name), index);
      return item;
    });
  }

  #some<T>(of: readonly T[]): T[] {
    const chosen = of.filter(() => this.chance(0.5));
    return chosen
      .map((item) => [this.#random(), item] as const)
      .sort(([a], [b]) => a - b)
      .map(([, item]) => item);
  }

  #value(field: FieldDef, depth: number): unknown {
    switch (field.kind) {
      case 'message':
        return this.#message(field.type!, depth + 1);
      case 'bool':
        return this.chance(0.5);
      case 'int32':
      case 'int64':
        return Math.floor(this.#random() * 4);
      case 'double':
        return this.pick([0.5, 1, 2.25]);
      case 'bytes':
        return this.pick(['YQ==', 'Yg==']);
      case 'quantity':
        return this.pick(['1', '500m', '1Gi', '2k']);
      case 'time':
        return this.pick(['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z']);
      case 'microTime':
        return this.pick(['2026-01-01T00:00:00.000001Z', '2026-01-02T00:00:00.000000Z']);
      case 'duration':
        return this.pick(['1s', '5m0s']);
      case 'intOrString':
        return this.pick<unknown>([1, 2, '50%']);
      case 'stringList':
        return this.#some(WORDS);
      case 'json':
        return this.pick<unknown>([{ a: 1 }, { a: { b: 'x' } }, { c: [1, 2] }]);
      default:
        return this.pick(field.enum ?? WORDS);
    }
  }
}

const isPlain = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function keyValue(field: FieldDef | undefined, index: number): unknown {
  if (field?.kind === 'int32' || field?.kind === 'int64') return index + 1;
  if (field?.kind === 'bool') return index % 2 === 0;
  return field?.enum?.[index % field.enum.length] ?? `key-${index}`;
}
