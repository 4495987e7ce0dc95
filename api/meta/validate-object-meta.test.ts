import { describe, expect, it } from 'vitest';
import type { ObjectMeta } from '../object/kube-object.ts';
import { type Condition, setCondition } from './conditions.ts';
import { resolveIntOrPercent } from './int-or-percent.ts';
import { dns1123Subdomain } from './names.ts';
import { validateObjectMeta, validateObjectMetaUpdate } from './validate-object-meta.ts';

const rules = { namespaced: true, validateName: dns1123Subdomain };
const lines = (errors: readonly { field: string; message: string }[]) => errors.map((e) => `${e.field}: ${e.message}`);
const owner = { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u', controller: true };

describe('validateObjectMeta', () => {
  const cases: { name: string; meta: ObjectMeta; finding: string }[] = [
    { name: 'no name', meta: {}, finding: 'metadata.name: Required value: name or generateName is required' },
    {
      name: 'a bad name',
      meta: { name: 'A' },
      finding: 'metadata.name: Invalid value: "A": a lowercase RFC 1123 subdomain',
    },
    { name: 'no namespace', meta: { name: 'a', namespace: '' }, finding: 'metadata.namespace: Required value' },
    {
      name: 'a bad label',
      meta: { name: 'a', labels: { '-': 'x' } },
      finding: 'metadata.labels: Invalid value: "-": name part',
    },
    {
      name: 'annotations beyond 256 KiB',
      meta: { name: 'a', annotations: { a: 'x'.repeat(262144) } },
      finding: 'metadata.annotations: Too long: may not be more than 262144 bytes',
    },
    {
      name: 'two controllers',
      meta: { name: 'a', ownerReferences: [owner, { ...owner, name: 'q' }] },
      finding: 'Only one reference can have Controller set to true. Found "true" in references for p and q',
    },
    {
      name: 'an owner without uid',
      meta: { name: 'a', ownerReferences: [{ ...owner, uid: '' }] },
      finding: 'metadata.ownerReferences.uid',
    },
    {
      name: 'a bad finalizer',
      meta: { name: 'a', finalizers: ['a b'] },
      finding: 'metadata.finalizers: Invalid value: "a b"',
    },
  ];
  for (const { name, meta, finding } of cases) {
    it(`finds ${name}`, () => {
      expect(lines(validateObjectMeta({ namespace: 'default', ...meta }, rules)).join('\n')).toContain(finding);
    });
  }

  it('accepts what is right, a generated name included', () => {
    const meta = { name: 'a-x7kp2', generateName: 'a-', namespace: 'default', annotations: { 'Example.com/A': 'b' } };
    expect(validateObjectMeta(meta, rules)).toEqual([]);
  });

  it('refuses a namespace on a cluster-scoped kind', () => {
    expect(lines(validateObjectMeta({ name: 'a', namespace: 'x' }, { ...rules, namespaced: false }))).toEqual([
      'metadata.namespace: Forbidden: not allowed on this type',
    ]);
  });
});

describe('validateObjectMetaUpdate', () => {
  const old: ObjectMeta = {
    name: 'a',
    namespace: 'n',
    uid: 'u',
    creationTimestamp: '2026-01-01T00:00:00Z',
    generation: 2,
  };
  it('keeps identity immutable and generation growing', () => {
    expect(lines(validateObjectMetaUpdate({ ...old, uid: 'v', generation: 1 }, old))).toEqual([
      'metadata.generation: Invalid value: 1: must not be decremented',
      'metadata.uid: Invalid value: "v": field is immutable',
    ]);
  });
  it('allows no new finalizer on an object that is being deleted', () => {
    const dying = { ...old, deletionTimestamp: '2026-01-01T00:00:01Z', finalizers: ['a.b/c'] };
    expect(lines(validateObjectMetaUpdate({ ...dying, finalizers: ['x.y/z'] }, dying))).toEqual([
      'metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"x.y/z"}',
    ]);
    expect(validateObjectMetaUpdate({ ...dying, finalizers: [] }, dying)).toEqual([]);
  });
});

describe('setCondition', () => {
  const old: Condition[] = [{ type: 'Ready', status: 'True', reason: 'A', lastTransitionTime: 't1' }];
  it('moves lastTransitionTime only with the status', () => {
    expect(setCondition(old, { type: 'Ready', status: 'True', reason: 'B' }, 't2')[0]).toMatchObject({
      lastTransitionTime: 't1',
    });
    expect(setCondition(old, { type: 'Ready', status: 'False', reason: 'B' }, 't2')[0]).toMatchObject({
      lastTransitionTime: 't2',
    });
  });
  it('returns the same list when nothing changed', () => {
    expect(setCondition(old, { type: 'Ready', status: 'True', reason: 'A' }, 't2')).toBe(old);
  });
});

it('resolveIntOrPercent rounds what is gained up and what is given up down', () => {
  expect([
    resolveIntOrPercent('25%', 10, 'up'),
    resolveIntOrPercent('25%', 10, 'down'),
    resolveIntOrPercent(3, 10, 'up'),
  ]).toEqual([3, 2, 3]);
});
