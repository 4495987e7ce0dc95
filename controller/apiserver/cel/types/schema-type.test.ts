import { describe, expect, it } from 'vitest';
import { CostBudget, compileExpression, evaluate } from '../compile.ts';
import { createEnvironment } from '../environment.ts';
import { escapePropertyName } from './property-names.ts';
import { type SchemaNode, schemaType } from './schema-type.ts';

describe('escapePropertyName', () => {
  it.each([
    ['plain', 'plain'],
    ['a-b.c/d', 'a__dash__b__dot__c__slash__d'],
    ['x__y', 'x__underscores__y'],
    ['namespace', '__namespace__'],
    ['in', '__in__'],
    ['int', 'int'],
    ['$ref', undefined],
    ['1st', undefined],
    ['', undefined],
  ])('spells %j', (name, escaped) => {
    expect(escapePropertyName(name)).toBe(escaped);
  });
});

const text: SchemaNode = { type: 'string' };
const entry: SchemaNode = { type: 'object', properties: { key: text, value: { type: 'integer' } } };
const SCHEMA: SchemaNode = {
  type: 'object',
  properties: {
    count: { type: 'integer' },
    ratio: { type: 'number' },
    'max-size': { type: 'integer' },
    for: text,
    port: { 'x-kubernetes-int-or-string': true },
    since: { type: 'string', format: 'date-time' },
    day: { type: 'string', format: 'date' },
    grace: { type: 'string', format: 'duration' },
    raw: { type: 'string', format: 'byte' },
    labels: { type: 'object', additionalProperties: text },
    set: { type: 'array', items: text, 'x-kubernetes-list-type': 'set' },
    other: { type: 'array', items: text, 'x-kubernetes-list-type': 'set' },
    keyed: { type: 'array', items: entry, 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['key'] },
    keyed2: { type: 'array', items: entry, 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['key'] },
    hidden: { 'x-kubernetes-preserve-unknown-fields': true } as SchemaNode,
    nested: { type: 'object', 'x-kubernetes-embedded-resource': true } as SchemaNode,
  },
};
const VALUE = {
  apiVersion: 'v1',
  kind: 'Thing',
  metadata: { name: 'x', labels: { a: 'b' } },
  count: 3,
  ratio: 2,
  'max-size': 5,
  for: 'you',
  port: '25%',
  since: '2024-01-01T00:00:00Z',
  day: '2024-01-01',
  grace: '90s',
  raw: 'aGk=',
  labels: { 'a-b': 'c' },
  set: ['a', 'b'],
  other: ['b', 'a'],
  keyed: [
    { key: 'a', value: 1 },
    { key: 'b', value: 2 },
  ],
  keyed2: [
    { key: 'b', value: 2 },
    { key: 'a', value: 1 },
  ],
  hidden: { x: 1 },
  nested: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' } },
};

const self = schemaType(SCHEMA, true);
const environment = createEnvironment({ variables: self === undefined ? {} : { self: self.type } });

function run(source: string) {
  const result = compileExpression(source, environment);
  if (!result.ok) throw new Error(result.message);
  return evaluate(result.expression, { self: () => self?.fromJson(VALUE) ?? null }, new CostBudget(1e6));
}

describe('schemaType', () => {
  it.each([
    'self.count == 3 && self.ratio == 2.0 && self.ratio < 3',
    'self.max__dash__size == 5 && self.__for__ == "you"',
    'self.metadata.name == "x" && self.kind == "Thing" && !has(self.metadata.generateName)',
    'type(self.port) == string && self.port == "25%" && self.port != 25',
    'self.since == self.day && self.since < timestamp("2025-01-01T00:00:00Z") && self.since.getFullYear() == 2024',
    'self.grace == duration("1m30s") && self.raw == b"hi"',
    'self.labels["a-b"] == "c" && "a-b" in self.labels',
    // Sets and lists with keys are compared without their order, and added without doubles.
    'self.set == self.other && self.set + ["b", "c"] == ["a", "b", "c"] && self.set + ["c"] == ["c", "b", "a"]',
    'dyn(self.keyed) == dyn(self.keyed2) && (dyn(self.keyed) + dyn(self.keyed2)) == dyn(self.keyed)',
    'self.nested.metadata.name == "p"',
  ])('holds: %s', (source) => {
    expect(run(source)).toBe(true);
  });

  it.each([
    ['self.missing == 1', "undefined field 'missing'"],
    ['self.hidden.x == 1', "undefined field 'hidden'"],
    ['self.metadata.labels.size() == 0', "undefined field 'labels'"],
    ['self.count == "3"', "applied to '(int, string)'"],
    ['self.ratio == 2', "applied to '(double, int)'"],
  ])('refuses: %s', (source, message) => {
    expect(() => run(source)).toThrow(message);
  });
});
