import { describe, expect, it } from 'vitest';
import { ApiError } from '../object/api-error.ts';
import { deepCopy } from '../object/deep-copy.ts';
import type { KubeObject } from '../object/kube-object.ts';
import { applyJsonPatch } from '../patch/json-patch.ts';
import { recordUpdate, withManagedFields } from '../patch/managed-fields.ts';
import { applyConfiguration } from '../patch/server-side-apply.ts';
import { applyStrategicMerge } from '../patch/strategic-merge.ts';
import { builtinTypes } from '../schema/builtin-types.ts';
import type { FieldDef, TypeDef } from '../schema/type-table.ts';
import { applyPlainDefaults, canonicalize, encodeCanonical } from './canonical.ts';
import { decodeObject } from './decode.ts';
import { decodeProtobuf } from './decode-protobuf.ts';
import { encodeProtobuf } from './encode-protobuf.ts';

/** Seeded, so that a failure can be repeated. */
class Chaos {
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

/** Undefined where the input was refused; anything but an ApiError fails the test. */
function attempt<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (err) {
    if (err instanceof ApiError && err.code < 500) return undefined;
    throw err;
  }
}

const kinds = [
  ['', 'Pod'],
  ['', 'Service'],
  ['', 'Node'],
  ['apps', 'Deployment'],
  ['discovery.k8s.io', 'EndpointSlice'],
  ['rbac.authorization.k8s.io', 'ClusterRole'],
  ['apiextensions.k8s.io', 'CustomResourceDefinition'],
] as const;
const cases = kinds.map(([group, kind]) => ({ kind, type: builtinTypes().typeOf({ group, version: 'v1', kind })! }));
const headOf = (type: TypeDef) => {
  const gvk = type.gvks[0]!;
  return { apiVersion: gvk.group === '' ? gvk.version : `${gvk.group}/${gvk.version}`, kind: gvk.kind };
};

describe.each(cases)('random $kind objects', ({ type }) => {
  it('are refused or become canonical for good, in JSON and in protobuf', () => {
    const chaos = new Chaos(11);
    let accepted = 0;
    for (let round = 0; round < 150; round++) {
      const wild = round % 3 === 0 ? 0.05 : 0;
      const source = { ...chaos.object(type, 6, wild), ...headOf(type) };
      const decoded = attempt(() => decodeObject(source, type));
      if (decoded === undefined) continue;
      accepted++;
      applyPlainDefaults(decoded.object, type);
      const canonical = canonicalize(decoded.object, type);
      const bytes = encodeCanonical(canonical);
      const again = decodeObject(JSON.parse(new TextDecoder().decode(bytes)), type);
      expect(again.unknownFields).toEqual([]);
      expect(encodeCanonical(canonicalize(again.object, type))).toEqual(bytes);
      const proto = decodeProtobuf(encodeProtobuf(canonical, type), () => type);
      const protoBytes = encodeProtobuf(canonicalize(proto, type), type);
      expect(
        encodeProtobuf(
          canonicalize(
            decodeProtobuf(protoBytes, () => type),
            type,
          ),
          type,
        ),
      ).toEqual(protoBytes);
    }
    expect(accepted).toBeGreaterThan(90);
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  });

  it('can be patched and applied, or the patch is refused', () => {
    const chaos = new Chaos(23);
    let applied = 0;
    for (let round = 0; round < 60; round++) {
      const wild = round % 3 === 0 ? 0.05 : 0;
      const next = () => ({
        ...chaos.object(type, 5, wild),
        metadata: { name: 'x', labels: { a: 'b' } },
        ...headOf(type),
      });
      const first = attempt(() => canonicalize(decodeObject(next(), type).object, type));
      if (first === undefined) continue;
      const options = { type, manager: 'm', apiVersion: 'v1', subresource: '', nowMs: 0 };
      const live = withManagedFields(first, recordUpdate({ ...options, live: undefined, next: first }));
      const frozen = JSON.stringify(live);
      attempt(() => applyStrategicMerge(live, next(), type));
      attempt(() => applyJsonPatch(live, [{ op: 'copy', from: '/metadata', path: '/spec' }, chaos.junk()]));
      const config = next();
      if (attempt(() => decodeObject(config, type)) !== undefined) {
        const result = attempt(() =>
          applyConfiguration({ ...options, live, config: config as KubeObject, force: true }),
        );
        if (result !== undefined) {
          applied++;
          const repeat = applyConfiguration({
            ...options,
            live: result,
            config: config as KubeObject,
            force: true,
            nowMs: 9000,
          });
          expect(JSON.stringify(repeat)).toBe(JSON.stringify(result));
        }
      }
      expect(JSON.stringify(live)).toBe(frozen);
    }
    expect(applied).toBeGreaterThan(20);
  });
});

it('random protobuf is refused with a 400, whatever it holds', () => {
  const chaos = new Chaos(5);
  const pod = builtinTypes().typeOf({ group: '', version: 'v1', kind: 'Pod' })!;
  const sample = encodeProtobuf(
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'x', labels: { a: 'b' } },
      spec: { containers: [{ name: 'a' }] },
    },
    pod,
  );
  for (let round = 0; round < 3000; round++) {
    const bytes = sample.slice(0, chaos.chance(0.3) ? Math.floor(chaos.next() * sample.length) : sample.length);
    for (let flips = 0; flips < 3; flips++) {
      bytes[4 + Math.floor(chaos.next() * (bytes.length - 4))] = Math.floor(chaos.next() * 256);
    }
    attempt(() => decodeProtobuf(bytes, () => pod));
  }
});
