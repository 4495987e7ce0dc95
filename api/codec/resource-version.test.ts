import { describe, expect, it } from 'vitest';
import {
  apiVersionOfBytes,
  equalsWithoutResourceVersion,
  leanMetadataOfBytes,
  metadataOfBytes,
  withoutResourceVersion,
  withResourceVersion,
} from './resource-version.ts';

const encode = (object: unknown) => new TextEncoder().encode(JSON.stringify(object));
const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

const CASES: readonly { name: string; object: { apiVersion: string; kind: string; metadata: object } }[] = [
  { name: 'a plain object', object: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a', namespace: 'b' } } },
  { name: 'empty metadata', object: { apiVersion: 'apps/v1', kind: 'Deployment', metadata: {} } },
  {
    name: 'strings that look like structure',
    object: {
      apiVersion: 'x","metadata":{\\',
      kind: 'K","metadata":{"resourceVersion":"1"',
      metadata: { name: '\\"{' },
    },
  },
  { name: 'text beyond ASCII', object: { apiVersion: 'v1', kind: 'Größe', metadata: { name: '名前 😀' } } },
];

describe('withResourceVersion', () => {
  it.each(CASES)('puts the revision first into metadata of $name, and comes out again', ({ object }) => {
    const bytes = encode(object);
    for (const revision of [0, 7, 10, 999, 1000, Number.MAX_SAFE_INTEGER]) {
      const spliced = withResourceVersion(bytes, revision);
      const expected = { ...object, metadata: { resourceVersion: String(revision), ...object.metadata } };
      expect(decode(spliced)).toBe(JSON.stringify(expected));
      expect(spliced.byteLength).toBe(spliced.buffer.byteLength);
      expect(decode(withoutResourceVersion(spliced))).toBe(JSON.stringify(object));
    }
  });

  it.each(CASES)('is no difference between two encodings of $name, where any other byte is one', ({ object }) => {
    const bytes = encode(object);
    expect(equalsWithoutResourceVersion(withResourceVersion(bytes, 12), bytes)).toBe(true);
    expect(equalsWithoutResourceVersion(bytes, bytes)).toBe(true);
    const others = [
      { ...object, kind: `${object.kind.slice(1)}Z` },
      { ...object, metadata: { name: 'z' } },
    ];
    for (const other of others) {
      expect(equalsWithoutResourceVersion(withResourceVersion(encode(other), 12), bytes)).toBe(false);
    }
  });

  it('refuses bytes that are not in canonical form', () => {
    for (const text of [
      '',
      '{}',
      '{"kind":"A","apiVersion":"v1","metadata":{}}',
      '{"apiVersion":"v1',
      '{"apiVersion":"v1\\',
    ]) {
      expect(() => withResourceVersion(new TextEncoder().encode(text), 1)).toThrow(/not a canonical object/);
    }
    expect(() => withResourceVersion(encode(CASES[0]!.object), 1.5)).toThrow(RangeError);
  });
});

describe('apiVersionOfBytes', () => {
  it.each(CASES)('reads the apiVersion of $name', ({ object }) => {
    expect(apiVersionOfBytes(encode(object))).toBe(object.apiVersion);
  });
});

describe('metadataOfBytes', () => {
  it.each(CASES)('cuts the metadata out of $name, whatever follows', ({ object }) => {
    const bytes = encode({ ...object, data: { '}': '{"' } });
    expect(decode(metadataOfBytes(bytes))).toBe(JSON.stringify(object.metadata));
  });

  it('finds the end of nested metadata, and refuses what has none', () => {
    const metadata = { annotations: { a: '}}"\\' }, ownerReferences: [{ uid: '{' }, {}], labels: {} };
    expect(decode(metadataOfBytes(encode({ apiVersion: 'v1', kind: 'A', metadata })))).toBe(JSON.stringify(metadata));
    const cut = encode({ apiVersion: 'v1', kind: 'A', metadata }).subarray(0, -2);
    expect(() => metadataOfBytes(cut)).toThrow(/not a canonical object/);
  });
});

describe('leanMetadataOfBytes', () => {
  const managedFields = [
    { fieldsV1: { 'f:data': { '.': {}, 'f:]}"': {} } }, manager: '"managedFields":[', time: ']' },
    {},
  ];
  it.each<[string, object, object]>([
    ['first', { managedFields, name: 'a' }, { name: 'a' }],
    [
      'between others',
      { labels: { a: '"managedFields":[]' }, managedFields, name: 'a' },
      { labels: { a: '"managedFields":[]' }, name: 'a' },
    ],
    ['last', { labels: {}, managedFields }, { labels: {} }],
    ['alone', { managedFields }, {}],
    ['empty', { managedFields: [], name: 'a' }, { name: 'a' }],
    ['nowhere', { annotations: { managedFields: '[' }, name: 'a' }, { annotations: { managedFields: '[' }, name: 'a' }],
  ])('leaves out managedFields that stand %s', (_, metadata, rest) => {
    const pieces = leanMetadataOfBytes(encode({ apiVersion: 'v1', kind: 'A', metadata, data: { x: ']}' } }));
    expect(pieces.map(decode).join('')).toBe(JSON.stringify(rest));
  });
});
