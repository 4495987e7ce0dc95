import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseApiVersion } from '../object/group-version.ts';
import type { KubeObject } from '../object/kube-object.ts';
import { builtinTypes } from '../schema/builtin-types.ts';
import { canonicalize, encodeCanonical } from './canonical.ts';
import { applyPlainDefaults } from './plain-defaults.ts';

const roundtrip = join(import.meta.dirname, '../../../shared/reference/roundtrip');
/** A WatchEvent carries no kind of its own. */
const referenceFiles = () => readdirSync(roundtrip).filter((name) => /(?<!WatchEvent)\.json$/.test(name));
const typeOf = (object: { apiVersion: string; kind: string }) => {
  const type = builtinTypes().typeOf({ ...parseApiVersion(object.apiVersion), kind: object.kind });
  if (type === undefined) throw new Error(`no type for ${object.apiVersion} ${object.kind}`);
  return type;
};
const canonical = (object: unknown) => canonicalize(object as KubeObject, typeOf(object as KubeObject));

describe.skipIf(!existsSync(roundtrip))('canonical form of the reference objects', () => {
  for (const file of existsSync(roundtrip) ? referenceFiles() : []) {
    it(`keeps every field of ${file}`, () => {
      const object = JSON.parse(readFileSync(join(roundtrip, file), 'utf8')) as KubeObject;
      expect(canonical(object)).toEqual(object);
    });
  }
});
if (!existsSync(roundtrip)) console.log(`canonical.test: reference objects skipped, nothing at ${roundtrip}`);

describe('canonical form', () => {
  it('takes over what is the very value of a known object, and nothing that only lies in the same place', () => {
    const known = canonical({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'x', labels: { a: '1' } },
      spec: { containers: [{ name: 'a', resources: { limits: { cpu: '1' } } }, { name: 'b' }], nodeName: 'n' },
    });
    const spec = known.spec as { containers: object[] };
    const changed = {
      ...spec,
      containers: [spec.containers[0], { resources: { limits: { cpu: '1000m' } }, name: 'b' }],
    };
    const next = { ...known, metadata: { labels: known.metadata.labels, name: 'x' }, spec: changed };
    const found = canonicalize(next, typeOf(known), known);
    expect(JSON.stringify(found)).toBe(JSON.stringify(canonicalize(next, typeOf(known))));
    expect((found.spec as typeof spec).containers[0]).toBe(spec.containers[0]);
    expect(canonicalize({ ...known }, typeOf(known), known).spec).toBe(spec);
  });

  it('puts fields in order, maps by key, and drops plain zero values but not pointers', () => {
    const deployment = canonical({
      spec: {
        template: { spec: { containers: [{ image: 'b', name: 'a' }], hostNetwork: false }, metadata: { labels: {} } },
        paused: false,
        replicas: 0,
        selector: { matchLabels: { b: '1', a: '2' } },
      },
      metadata: { name: 'x', labels: { z: '1', a: '2' }, annotations: {}, creationTimestamp: null },
      kind: 'Deployment',
      apiVersion: 'apps/v1',
    });
    expect(JSON.stringify(deployment)).toBe(
      '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"labels":{"a":"2","z":"1"},"name":"x"},' +
        '"spec":{"replicas":0,"selector":{"matchLabels":{"a":"2","b":"1"}},"strategy":{},' +
        '"template":{"metadata":{},"spec":{"containers":[{"image":"b","name":"a","resources":{}}]}}},"status":{}}',
    );
  });

  it('writes quantities and times in their canonical text', () => {
    const pod = canonical({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'x', creationTimestamp: '2026-01-01T02:00:00.5+02:00' },
      spec: { containers: [{ name: 'a', resources: { requests: { cpu: 0.5, memory: '1024Mi' } } }] },
    });
    expect(pod.metadata.creationTimestamp).toBe('2026-01-01T00:00:00Z');
    expect(pod.spec).toEqual({
      containers: [{ name: 'a', resources: { requests: { cpu: '500m', memory: '1Gi' } } }],
    });
  });

  it('is its own canonical form', () => {
    const object = canonical({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 's' },
      spec: { ports: [{ port: 80 }] },
    });
    expect(encodeCanonical(canonical(object))).toEqual(encodeCanonical(object));
  });

  it('keeps a key named __proto__ as data', () => {
    const object = canonical(
      JSON.parse('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"b":"1","__proto__":"x"}}'),
    );
    expect(JSON.stringify(object.data)).toBe('{"__proto__":"x","b":"1"}');
    expect(({} as Record<string, unknown>).b).toBeUndefined();
  });
});

it('plain defaults fill in what is absent, below lists too', () => {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {},
    spec: { containers: [{ ports: [{ containerPort: 1 }, { containerPort: 2, protocol: 'UDP' }] }] },
  };
  applyPlainDefaults(pod, typeOf(pod));
  expect(pod.spec.containers[0]!.ports).toEqual([
    { containerPort: 1, protocol: 'TCP' },
    { containerPort: 2, protocol: 'UDP' },
  ]);
});
