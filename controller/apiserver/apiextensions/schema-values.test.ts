import { describe, expect, it } from 'vitest';
import type { JsonObject } from '#api/object/json.ts';
import type { JsonSchema } from './custom-resource-definition.ts';
import { findByJsonPath, parseJsonPath } from './json-path.ts';
import { listTypeErrors } from './list-type-errors.ts';
import { pruneUnknown } from './prune.ts';
import { applySchemaDefaults } from './schema-defaults.ts';
import { hasFormat } from './string-formats.ts';
import { validateSchemaValue } from './validate-schema-value.ts';

const text: JsonSchema = { type: 'string' };
const object = (properties: Record<string, JsonSchema>, more: object = {}): JsonSchema => ({
  type: 'object',
  properties,
  ...more,
});
const preserving = { 'x-kubernetes-preserve-unknown-fields': true };

describe('pruning', () => {
  it.each<[string, JsonSchema, JsonObject, JsonObject, string[]]>([
    ['keeps what is known', object({ a: text }), { a: 'x' }, { a: 'x' }, []],
    ['takes out what is not', object({ a: text }), { a: 'x', b: { c: 1 } }, { a: 'x' }, ['b']],
    [
      'keeps the metadata of the whole',
      object({}),
      { kind: 'K', metadata: { x: 1 } },
      { kind: 'K', metadata: { x: 1 } },
      [],
    ],
    [
      'goes into lists',
      object({ l: { type: 'array', items: object({ a: text }) } }),
      { l: [{ a: 'x' }, { b: 1 }] },
      { l: [{ a: 'x' }, {}] },
      ['l[1].b'],
    ],
    [
      'goes into maps',
      object({ m: { type: 'object', additionalProperties: object({ a: text }) } }),
      { m: { k: { a: 'x', b: 1 } } },
      { m: { k: { a: 'x' } } },
      ['m.k.b'],
    ],
    [
      'leaves what is to be preserved',
      object({ a: object({}, preserving) }),
      { a: { b: { c: 1 } } },
      { a: { b: { c: 1 } } },
      [],
    ],
    [
      'prunes what is described within it',
      object({ a: object({ b: object({ c: text }) }, preserving) }),
      { a: { b: { c: 'x', d: 1 }, e: 1 } },
      { a: { b: { c: 'x' }, e: 1 } },
      ['a.b.d'],
    ],
    [
      'keeps the metadata of embedded objects',
      object({ a: object({}, { 'x-kubernetes-embedded-resource': true }) }),
      { a: { kind: 'K', metadata: { name: 'x' }, spec: {} } },
      { a: { kind: 'K', metadata: { name: 'x' } } },
      ['a.spec'],
    ],
    [
      'is not misled by names of built-in properties',
      object({ a: text }),
      JSON.parse('{"a":"x","constructor":1,"__proto__":{"b":1}}'),
      { a: 'x' },
      ['constructor', '__proto__'],
    ],
  ])('%s', (_name, schema, value, expected, unknown) => {
    expect(pruneUnknown(value, schema)).toEqual(unknown);
    expect(value).toEqual(expected);
  });
});

describe('defaulting', () => {
  it.each<[string, JsonSchema, JsonObject, JsonObject]>([
    ['fills in what is absent', object({ a: { ...text, default: 'x' } }), {}, { a: 'x' }],
    ['keeps what is there', object({ a: { ...text, default: 'x' } }), { a: '' }, { a: '' }],
    [
      'goes into defaults',
      object({ a: object({ b: { ...text, default: 'x' } }, { default: {} }) }),
      {},
      { a: { b: 'x' } },
    ],
    ['does not make the parents of defaults', object({ a: object({ b: { ...text, default: 'x' } }) }), {}, {}],
    [
      'goes into lists and maps',
      object({
        l: { type: 'array', items: object({ b: { ...text, default: 'x' } }) },
        m: { type: 'object', additionalProperties: object({ b: { ...text, default: 'y' } }) },
      }),
      { l: [{}], m: { k: {} } },
      { l: [{ b: 'x' }], m: { k: { b: 'y' } } },
    ],
    ['takes null for absent', object({ a: { ...text, default: 'x' }, b: text }), { a: null, b: null }, { a: 'x' }],
    [
      'keeps null where it is allowed',
      object({ a: { ...text, nullable: true, default: 'x' } }),
      { a: null },
      { a: null },
    ],
  ])('%s', (_name, schema, value, expected) => {
    applySchemaDefaults(value, schema);
    expect(value).toEqual(expected);
  });
});

describe('validation', () => {
  it.each<[string, JsonSchema, unknown, string[]]>([
    ['null', text, null, ['x: Invalid value: "null": x in body must be of type string: "null"']],
    ['an allowed null', { ...text, nullable: true }, null, []],
    ['a whole number for a number', { type: 'number' }, 1, []],
    [
      'a fraction for a whole number',
      { type: 'integer' },
      1.5,
      ['x: Invalid value: "number": x in body must be of type integer: "number"'],
    ],
    [
      'int or string',
      { 'x-kubernetes-int-or-string': true },
      true,
      ['x: Invalid value: "boolean": x in body must be of type integer,string: "boolean"'],
    ],
    ['a long text', { ...text, maxLength: 1 }, 'äb', ['x: Too long: may not be more than 1 bytes']],
    [
      'a short text',
      { ...text, minLength: 2 },
      '😀',
      ['x: Invalid value: "😀": x in body should be at least 2 chars long'],
    ],
    [
      'a format',
      { ...text, format: 'date-time' },
      'now',
      ['x: Invalid value: "now": x in body must be of type date-time: "now"'],
    ],
    ['an enum', { ...text, enum: ['a', 'b'] }, 'c', ['x: Unsupported value: "c": supported values: "a", "b"']],
    [
      'an exclusive limit',
      { type: 'integer', minimum: 1, exclusiveMinimum: true },
      1,
      ['x: Invalid value: 1: x in body should be greater than 1'],
    ],
    ['a multiple', { type: 'number', multipleOf: 0.1 }, 0.3, []],
    [
      'no multiple',
      { type: 'integer', multipleOf: 2 },
      3,
      ['x: Invalid value: 3: x in body should be a multiple of 2'],
    ],
    [
      'too many items',
      { type: 'array', maxItems: 1, items: text },
      ['a', 'b'],
      ['x: Too many: 2: must have at most 1 items'],
    ],
    [
      'items',
      { type: 'array', items: text },
      ['a', 1],
      ['x[1]: Invalid value: "integer": x[1] in body must be of type string: "integer"'],
    ],
    ['a required field', object({}, { required: ['a'] }), {}, ['x.a: Required value']],
    [
      'map values',
      { type: 'object', additionalProperties: text },
      { k: 1 },
      ['x.k: Invalid value: "integer": x.k in body must be of type string: "integer"'],
    ],
    [
      'not',
      { ...text, not: { enum: ['a'] } },
      'a',
      ['<nil>: Invalid value: "": "x" must not validate the schema (not)'],
    ],
    [
      'one of two',
      object({}, { oneOf: [{ required: ['a'] }, { required: ['b'] }] }),
      { a: 1, b: 1 },
      ['<nil>: Invalid value: "": "x" must validate one and only one schema (oneOf). Found 2 valid alternatives'],
    ],
    [
      'any of two',
      object({}, { anyOf: [{ required: ['a'] }, { required: ['b'] }] }),
      {},
      ['<nil>: Invalid value: "": "x" must validate at least one schema (anyOf)', 'x.a: Required value'],
    ],
  ])('judges %s', (_name, schema, value, expected) => {
    expect(validateSchemaValue(value, schema, 'x').map(({ field, message }) => `${field}: ${message}`)).toEqual(
      expected,
    );
  });

  it('does not judge again what is as it was, but what changed beside it', () => {
    const schema = object({ a: { ...text, maxLength: 0 }, b: { ...text, maxLength: 0 } });
    const old = { a: 'x', b: '' };
    const found = validateSchemaValue({ a: 'x', b: 'y' }, schema, '', { old });
    expect(found.map(({ field }) => field)).toEqual(['b']);
  });

  it('knows the items of associative lists by their keys', () => {
    const items = object({ name: text, v: { ...text, maxLength: 0 } });
    const schema = { type: 'array', items, 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] };
    const old = [{ name: 'a', v: 'x' }];
    const next = [
      { name: 'b', v: 'x' },
      { name: 'a', v: 'x' },
    ];
    expect(validateSchemaValue(next, schema, 'l', { old }).map(({ field }) => field)).toEqual(['l[0].v']);
  });

  it('finds what sets and maps hold twice, once for each', () => {
    const set = { type: 'array', items: text, 'x-kubernetes-list-type': 'set' };
    const found = listTypeErrors({ s: ['a', 'b', 'a', 'a'] }, object({ s: set }));
    expect(found.map(({ field, message }) => `${field}: ${message}`)).toEqual(['s[2]: Duplicate value: "a"']);
  });
});

it.each([
  ['ipv4', '10.0.0.1', '10.0.0.256'],
  ['cidr', '10.0.0.0/8', '10.0.0.0/40'],
  ['uuid', '0a7b9c3e-2d4f-4a6b-8c1d-9e0f1a2b3c4d', 'x'],
  ['date', '2024-02-29', '2023-02-29'],
  ['date-time', '2024-01-01T00:00:00Z', '2024-13-01T00:00:00Z'],
  ['duration', '1h30m', 'soon'],
  ['byte', 'YQ==', 'Y'],
  ['hostname', 'a.example.com', '-a'],
  ['email', 'a@example.com', 'a'],
  ['mac', '00:11:22:33:44:55', '00:11'],
])('the format %s takes %s and not %s', (format, good, bad) => {
  expect([hasFormat(good, format), hasFormat(bad, format)]).toEqual([true, false]);
});

const pod = {
  metadata: { labels: { 'a.b/c': 'x' } },
  status: {
    conditions: [
      { type: 'Ready', status: 'True' },
      { type: 'Done', status: 'False' },
    ],
    n: [1, 2, 3],
  },
};

it.each<[string, unknown[]]>([
  ['.status.conditions[?(@.type=="Ready")].status', ['True']],
  ['.status.conditions[*].type', ['Ready', 'Done']],
  ['.status.n[-1]', [3]],
  ['.status.n[0:2]', [1, 2]],
  ['.status.n[?(@>1)]', [2, 3]],
  [".metadata.labels['a\\.b/c']", ['x']],
  ['.metadata.labels.a\\.b/c', ['x']],
  ['.status.missing.deeper', []],
  ['.metadata.constructor', []],
])('the path %s leads to %j', (path, expected) => {
  const parsed = parseJsonPath(path);
  expect(parsed === undefined ? undefined : findByJsonPath(pod, parsed)).toEqual(expected);
});
