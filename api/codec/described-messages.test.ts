import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '#base/seeded-random.ts';
import { readDescriptor } from './described-messages.ts';
import { ProtobufError } from './protobuf-reader.ts';

const NAMES = ['cri-v1', 'containerd-events', 'csi-v1', 'device-plugin-v1beta1', 'dra-v1', 'pod-resources-v1'];
const descriptorOf = (name: string): protobuf.INamespace =>
  JSON.parse(readFileSync(join(import.meta.dirname, '../../protos', `${name}.json`), 'utf8'));

/** What the codec promises, in the words of protobufjs. */
const SHAPE = { longs: Number, enums: String, defaults: true };

describe.each(NAMES)('%s', (name) => {
  const root = protobuf.Root.fromJSON(descriptorOf(name)).resolveAll();
  const protocol = readDescriptor(descriptorOf(name));
  const types = typesBelow(root);

  it.each(types.map((type) => [type.fullName.slice(1), type] as const))(
    '%s means the same to protobufjs',
    (path, type) => {
      const random = seededRandom(path.length);
      const codec = protocol.message(path);
      for (let round = 0; round < 8; round++) {
        const sample = sampleOf(type, random, 0);
        const reference = Buffer.from(type.encode(type.fromObject(sample)).finish());
        const expected = type.toObject(type.decode(reference), SHAPE);
        expect(codec.decode(reference)).toEqual(expected);
        expect(type.toObject(type.decode(codec.encode(sample)), SHAPE)).toEqual(expected);
      }
    },
  );
});

it('a service has the paths and streams of its methods', () => {
  const { Subscribe } = readDescriptor(descriptorOf('containerd-events')).service(
    'containerd.services.events.v1.Events',
  );
  expect(Subscribe).toMatchObject({
    path: '/containerd.services.events.v1.Events/Subscribe',
    requestStream: false,
    responseStream: true,
  });
});

it('what is not described is named', () => {
  expect(() => readDescriptor({ nested: {} }).service('runtime.v1.RuntimeService')).toThrow(
    'the protocol descriptor has no runtime.v1.RuntimeService',
  );
});

const SMALL = {
  nested: {
    Mode: { values: { OFF: 0, ON: 1 } },
    Small: {
      fields: {
        mode: { type: 'Mode', id: 1 },
        text: { type: 'string', id: 2 },
        labels: { keyType: 'string', type: 'string', id: 3 },
        modes: { rule: 'repeated', type: 'Mode', id: 4 },
      },
    },
  },
};

describe('what no proper peer sends', () => {
  const small = readDescriptor(SMALL).message('Small');
  const empty = { mode: 'OFF', text: '', labels: {}, modes: [] };

  it.each([
    { what: 'a value without a name stays a number', hex: '0805', want: { ...empty, mode: 5 } },
    { what: 'text that is no UTF-8 is still read', hex: '1202c328', want: { ...empty, text: '\ufffd(' } },
    { what: 'fields that are not described are skipped', hex: '7a0141', want: empty },
    { what: 'packed and single numbers mix', hex: '22020100' + '2001', want: { ...empty, modes: ['ON', 'OFF', 'ON'] } },
  ])('$what', ({ hex, want }) => {
    expect(small.decode(Buffer.from(hex, 'hex'))).toEqual(want);
  });

  it('a key named __proto__ is a key', () => {
    const { labels } = small.decode(Buffer.from('1a0e0a095f5f70726f746f5f5f120178', 'hex')) as { labels: object };
    expect(Object.entries(labels)).toEqual([['__proto__', 'x']]);
  });

  it.each(['12', '1205', '0a'])('%s is no message', (hex) => {
    expect(() => small.decode(Buffer.from(hex, 'hex'))).toThrow(ProtobufError);
  });

  it('a name that an enumeration does not have is not sent as another', () => {
    expect(() => small.encode({ mode: 'AUTO' })).toThrow('Mode has no value AUTO');
  });
});

function typesBelow(part: protobuf.NamespaceBase): protobuf.Type[] {
  return part.nestedArray.flatMap((nested) => [
    ...(nested instanceof protobuf.Type ? [nested] : []),
    ...(nested instanceof protobuf.Namespace ? typesBelow(nested) : []),
  ]);
}

type Random = () => number;

const MAX_DEPTH = 4;
const INTEGERS = [0, 1, 127, 128, 300, 2 ** 31 - 1];
const LARGE = [...INTEGERS, -1, 2 ** 53 - 1, 1_764_000_000 * 1e9 + 2 ** 20, -(2 ** 40)];
const TEXTS = ['', 'a', 'käse', '🐠'.repeat(50), 'x'.repeat(500)];

/** Of the fields some, of a oneof at most one. */
function sampleOf(type: protobuf.Type, random: Random, depth: number): Record<string, unknown> {
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
  const value = (field: protobuf.Field): unknown => {
    const { resolvedType } = field;
    if (resolvedType instanceof protobuf.Enum) return pick(Object.keys(resolvedType.values));
    if (resolvedType instanceof protobuf.Type) return sampleOf(resolvedType, random, depth + 1);
    if (field.type === 'string') return pick(TEXTS);
    if (field.type === 'bytes') return Buffer.from(pick(TEXTS));
    if (field.type === 'bool') return random() < 0.5;
    if (field.type === 'int64') return pick(LARGE);
    return pick(field.type === 'int32' ? [...INTEGERS, -1, -(2 ** 31)] : INTEGERS);
  };
  const sample: Record<string, unknown> = {};
  const chosen = new Set(type.oneofsArray.map(({ fieldsArray }) => pick(fieldsArray)));
  for (const field of type.fieldsArray) {
    if (random() < 0.3 || (depth >= MAX_DEPTH && field.resolvedType instanceof protobuf.Type)) continue;
    if (field.partOf && !chosen.has(field)) continue;
    if (field instanceof protobuf.MapField) sample[field.name] = { one: value(field), 'two/2': value(field) };
    else if (field.repeated)
      sample[field.name] = [value(field), value(field), value(field)].slice(Math.floor(random() * 4));
    else sample[field.name] = value(field);
  }
  return sample;
}
