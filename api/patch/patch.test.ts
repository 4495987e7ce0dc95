import { describe, expect, it } from 'vitest';
import { ApiError } from '../object/api-error.ts';
import { builtinTypes } from '../schema/builtin-types.ts';
import { applyJsonPatch } from './json-patch.ts';
import { applyMergePatch } from './merge-patch.ts';
import { applyStrategicMerge } from './strategic-merge.ts';

const failure = (run: () => unknown): string => {
  try {
    run();
  } catch (err) {
    if (err instanceof ApiError) return `${err.code} ${err.message}`;
    throw err;
  }
  return 'accepted';
};

describe('JSON patch', () => {
  const cases: { name: string; doc: unknown; patch: unknown; result: unknown }[] = [
    { name: 'adds a member', doc: {}, patch: [{ op: 'add', path: '/a', value: 1 }], result: { a: 1 } },
    { name: 'adds into a list', doc: [1, 3], patch: [{ op: 'add', path: '/1', value: 2 }], result: [1, 2, 3] },
    { name: 'appends to a list', doc: [1], patch: [{ op: 'add', path: '/-', value: 2 }], result: [1, 2] },
    { name: 'removes', doc: { a: [1, 2] }, patch: [{ op: 'remove', path: '/a/0' }], result: { a: [2] } },
    { name: 'replaces', doc: { a: 1 }, patch: [{ op: 'replace', path: '/a', value: null }], result: { a: null } },
    { name: 'moves', doc: { a: 1 }, patch: [{ op: 'move', from: '/a', path: '/b' }], result: { b: 1 } },
    { name: 'copies', doc: { a: [1] }, patch: [{ op: 'copy', from: '/a', path: '/b' }], result: { a: [1], b: [1] } },
    {
      name: 'unescapes tokens',
      doc: { 'a/b': { '~': 1 } },
      patch: [{ op: 'test', path: '/a~1b/~0', value: 1 }],
      result: { 'a/b': { '~': 1 } },
    },
    { name: 'tests absence as null', doc: {}, patch: [{ op: 'test', path: '/a', value: null }], result: {} },
    {
      name: 'replaces the document',
      doc: { a: 1 },
      patch: [{ op: 'replace', path: '', value: { b: 1 } }],
      result: { b: 1 },
    },
  ];
  for (const { name, doc, patch, result } of cases) {
    it(name, () => {
      const before = JSON.stringify(doc);
      expect(applyJsonPatch(doc, patch)).toEqual(result);
      expect(JSON.stringify(doc)).toBe(before);
    });
  }

  const refused: { name: string; patch: unknown; message: string }[] = [
    { name: 'no list', patch: {}, message: '400 error decoding patch' },
    {
      name: 'an unknown operation',
      patch: [{ op: 'x', path: '' }],
      message: '400 error decoding patch: operation 0: unexpected op "x"',
    },
    { name: 'an add without value', patch: [{ op: 'add', path: '/a' }], message: 'missing "value"' },
    {
      name: 'a failed test',
      patch: [{ op: 'test', path: '/a', value: 2 }],
      message: '422 the server rejected our request',
    },
    { name: 'a missing parent', patch: [{ op: 'add', path: '/x/y', value: 2 }], message: '422' },
    { name: 'a missing member', patch: [{ op: 'remove', path: '/x' }], message: 'nothing at "/x"' },
    { name: 'an index with a leading zero', patch: [{ op: 'replace', path: '/l/00', value: 2 }], message: '422' },
    { name: 'an index beyond the end', patch: [{ op: 'add', path: '/l/2', value: 2 }], message: 'no list index "2"' },
    { name: 'a move into itself', patch: [{ op: 'move', from: '/o', path: '/o/p' }], message: 'into itself' },
    {
      name: 'the prototype',
      patch: [{ op: 'add', path: '/__proto__/x', value: 1 }],
      message: 'nothing at "/__proto__"',
    },
    {
      name: 'too many operations',
      patch: new Array(10_001).fill({ op: 'test', path: '' }),
      message: '413 Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001',
    },
    {
      name: 'inserts that shift too much',
      patch: new Array(10_000).fill({ op: 'add', path: '/l/0', value: 1 }),
      message: 'shifts too many list items',
    },
    {
      name: 'copies that blow up',
      patch: new Array(40).fill(0).flatMap(() => [{ op: 'copy', from: '/l', path: '/l/-' }]),
      message: '422',
    },
  ];
  for (const { name, patch, message } of refused) {
    it(`refuses ${name}`, () => {
      expect(failure(() => applyJsonPatch({ a: 1, l: [1], o: {} }, patch))).toContain(message);
    });
  }
});

describe('merge patch', () => {
  it('merges objects, replaces the rest, removes with null', () => {
    const doc = { a: { b: 1, c: 2 }, d: [1], e: 1 };
    expect(applyMergePatch(doc, { a: { b: null, x: { y: null } }, d: [2], e: { f: 1 } })).toEqual({
      a: { c: 2, x: {} },
      d: [2],
      e: { f: 1 },
    });
    expect(doc).toEqual({ a: { b: 1, c: 2 }, d: [1], e: 1 });
  });
  it('keeps __proto__ as data', () => {
    const merged = applyMergePatch({}, JSON.parse('{"__proto__":{"polluted":1}}')) as object;
    expect(Object.getOwnPropertyNames(merged)).toEqual(['__proto__']);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe('strategic merge patch', () => {
  const pod = builtinTypes().typeOf({ group: '', version: 'v1', kind: 'Pod' })!;
  const deployment = builtinTypes().typeOf({ group: 'apps', version: 'v1', kind: 'Deployment' })!;
  it('of very long lists and objects takes no longer than they are long', () => {
    const names = Array.from({ length: 120_000 }, (_, index) => `example.com/${index}`);
    const annotations = Object.fromEntries(names.map((name) => [name, 'x']));
    const doc = { metadata: { finalizers: names, annotations } };
    const patch = {
      metadata: {
        '$deleteFromPrimitiveList/finalizers': names.toReversed(),
        annotations: { $retainKeys: names.toReversed() },
      },
    };
    const { metadata } = applyStrategicMerge(doc, patch, pod) as typeof doc;
    expect([metadata.finalizers.length, Object.keys(metadata.annotations).length]).toEqual([0, names.length]);
  });

  const a = { name: 'a', image: '1' };
  const b = { name: 'b', image: '1' };
  const c = { name: 'c', image: '1' };
  const spec = (containers: unknown) => ({ spec: { containers } });

  const cases: { name: string; doc: object; patch: object; result: object }[] = [
    {
      name: 'merges list items by key',
      doc: spec([a, b]),
      patch: spec([{ name: 'b', image: '2' }]),
      result: spec([a, { name: 'b', image: '2' }]),
    },
    { name: 'puts new items first', doc: spec([a, b]), patch: spec([c]), result: spec([c, a, b]) },
    {
      name: 'deletes a list item',
      doc: spec([a, b]),
      patch: spec([{ name: 'a', $patch: 'delete' }]),
      result: spec([b]),
    },
    { name: 'replaces a list', doc: spec([a, b]), patch: spec([{ $patch: 'replace' }, c]), result: spec([c]) },
    { name: 'empties a list', doc: spec([a]), patch: spec([{ $patch: 'replace' }]), result: spec([]) },
    {
      name: 'removes with null',
      doc: spec([{ ...a, tty: true }]),
      patch: spec([{ name: 'a', tty: null }]),
      result: spec([a]),
    },
    {
      name: 'orders as told',
      doc: spec([a, b, c]),
      patch: {
        spec: {
          '$setElementOrder/containers': [{ name: 'c' }, { name: 'a' }],
          containers: [{ name: 'a', image: '2' }],
        },
      },
      result: spec([b, c, { name: 'a', image: '2' }]),
    },
    {
      name: 'orders without a change',
      doc: spec([a, b]),
      patch: { spec: { '$setElementOrder/containers': [{ name: 'b' }, { name: 'a' }] } },
      result: spec([b, a]),
    },
    {
      name: 'deletes an item within an order',
      doc: spec([a, b]),
      patch: {
        spec: { '$setElementOrder/containers': [{ name: 'b' }], containers: [{ name: 'a', $patch: 'delete' }] },
      },
      result: spec([b]),
    },
    {
      name: 'keeps only the retained keys',
      doc: { spec: { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } } },
      patch: { spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } } },
      result: { spec: { strategy: { type: 'Recreate' } } },
    },
    {
      name: 'replaces an object',
      doc: { metadata: { labels: { a: '1' } } },
      patch: { metadata: { labels: { $patch: 'replace', b: '2' } } },
      result: { metadata: { labels: { b: '2' } } },
    },
    {
      name: 'empties an object',
      doc: { metadata: { labels: { a: '1' } } },
      patch: { metadata: { labels: { $patch: 'delete' } } },
      result: { metadata: { labels: {} } },
    },
    {
      name: 'unites primitive lists',
      doc: { metadata: { finalizers: ['a', 'b'] } },
      patch: { metadata: { finalizers: ['c', 'a'] } },
      result: { metadata: { finalizers: ['c', 'a', 'b'] } },
    },
    {
      name: 'deletes from primitive lists',
      doc: { metadata: { finalizers: ['a', 'b'] } },
      patch: { metadata: { '$deleteFromPrimitiveList/finalizers': ['a'], '$setElementOrder/finalizers': ['b'] } },
      result: { metadata: { finalizers: ['b'] } },
    },
    {
      name: 'replaces atomic lists',
      doc: spec([{ ...a, args: ['x', 'y'] }]),
      patch: spec([{ name: 'a', args: ['z'] }]),
      result: spec([{ ...a, args: ['z'] }]),
    },
    {
      name: 'drops directives that find nothing',
      doc: {},
      patch: spec([
        { name: 'a', $patch: 'delete' },
        { ...b, ports: [{ containerPort: 1, name: null }] },
      ]),
      result: spec([{ ...b, ports: [{ containerPort: 1 }] }]),
    },
  ];
  for (const { name, doc, patch, result } of cases) {
    it(name, () => {
      const before = JSON.stringify([doc, patch]);
      const merged = applyStrategicMerge(doc, patch, JSON.stringify(doc).includes('strategy') ? deployment : pod);
      expect(merged).toEqual(result);
      expect(JSON.stringify([doc, patch])).toBe(before);
    });
  }

  const refused: [string, object, string][] = [
    [
      'an item without its key',
      spec([{ image: 'x' }]),
      '422 the server rejected our request due to an error in our request: map: {"image":"x"} does not contain declared merge key: name',
    ],
    ['an unknown directive', { spec: { $patch: 'x' } }, '422'],
    [
      'a patched key that is not retained',
      { spec: { $retainKeys: ['a'], b: 1 } },
      '400 invalid patch format of retainKeys',
    ],
    [
      'an order that the list does not follow',
      { spec: { '$setElementOrder/containers': [{ name: 'x' }], containers: [a] } },
      '400 invalid patch format of setElementOrder',
    ],
  ];
  for (const [name, patch, message] of refused) {
    it(`refuses ${name}`, () => expect(failure(() => applyStrategicMerge(spec([a]), patch, pod))).toContain(message));
  }

  it('is done when applied once', () => {
    for (const { doc, patch } of cases) {
      const once = applyStrategicMerge(doc, patch, pod);
      expect(applyStrategicMerge(once, patch, pod)).toEqual(once);
    }
  });
});
