import { deepCopy } from '../../object/deep-copy.ts';
import type { FieldDef, TypeDef } from '../../schema/type-table.ts';

/** Seeded, so that a failure can be repeated. */
export class Chaos {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  next(): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return this.#state / 2 ** 32;
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.next() * list.length)]!;
  }

  junk(): unknown {
    const values = [
      null,
      true,
      0,
      -1,
      1.5,
      1e300,
      '',
      'x',
      '1',
      '__proto__',
      [],
      {},
      [null],
      { a: 1 },
      [[]],
      ['x', 'x'],
    ];
    return deepCopy(this.pick([...values, JSON.parse('{"__proto__":{"x":1}}')]));
  }

  /** An object of this type with a few of its fields, most of them well-formed. */
  object(type: TypeDef, depth: number, wild: number): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    for (const field of type.fields.values()) {
      if (this.chance(0.75)) continue;
      object[field.name] = this.chance(wild) ? this.junk() : this.field(field, depth, wild);
    }
    if (this.chance(wild))
      object[this.pick(['$patch', '$retainKeys', 'nonsense', '$setElementOrder/containers'])] = this.junk();
    return object;
  }

  field(field: FieldDef, depth: number, wild: number): unknown {
    const count = Math.floor(this.next() * 3);
    if (field.cardinality === 'list') return Array.from({ length: count }, () => this.value(field, depth, wild));
    if (field.cardinality === 'one') return this.value(field, depth, wild);
    const keys = ['a', 'b', 'constructor', '10'].slice(0, count + 1);
    return Object.fromEntries(keys.map((key) => [key, this.value(field, depth, wild)]));
  }

  value(field: FieldDef, depth: number, wild: number): unknown {
    switch (field.kind) {
      case 'message':
        return depth === 0 ? {} : this.object(field.type!, depth - 1, wild);
      case 'bool':
        return this.chance(0.5);
      case 'int32':
      case 'int64':
      case 'double':
        return Math.floor(this.next() * 5) - 1;
      case 'bytes':
        return this.pick(['', 'eA==']);
      case 'quantity':
        return this.pick(['1', '100m', 2, '1024Mi', '0']);
      case 'time':
      case 'microTime':
        return this.pick(['2026-01-01T00:00:00Z', '2026-01-01T00:00:00.123456+01:00', null]);
      case 'duration':
        return '1s';
      case 'intOrString':
        return this.pick([0, 8080, 'http', '25%']);
      case 'stringList':
        return ['x'];
      case 'json':
        return this.pick([{ z: 1, a: [{ y: 1, b: 2 }] }, 'x', { a: null }]);
      default:
        return this.pick(['', 'a', 'b', 'Ünïcode \ud83d\ude00']);
    }
  }
}
