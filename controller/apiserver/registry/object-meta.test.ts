import { describe, expect, it } from 'vitest';
import type { KubeObject } from '#api/object/kube-object.ts';
import { isDesiredStateChanged, shareUnchanged } from './object-meta.ts';

const podOf = (spec: object, metadata: object, status: object = {}) =>
  ({ apiVersion: 'v1', kind: 'Pod', metadata, spec, status }) as KubeObject;

describe('shareUnchanged', () => {
  it('puts the old values in place of equal ones, whatever the order of their keys, and leaves what differs', () => {
    const old = podOf({ nodeName: 'n', priority: 0 }, { name: 'x', labels: { a: '1', b: '2' }, finalizers: ['f'] });
    const next = podOf({ priority: 0, nodeName: 'n' }, { name: 'x', labels: { b: '2', a: '3' }, finalizers: ['f'] });
    const text = JSON.stringify(next.metadata);
    shareUnchanged(next, old);
    expect(next.spec).toBe(old.spec);
    expect(next.metadata.finalizers).toBe(old.metadata.finalizers);
    expect(next.metadata).not.toBe(old.metadata);
    expect(JSON.stringify(next.metadata)).toBe(text);
  });
});

describe('isDesiredStateChanged', () => {
  const old = podOf({ nodeName: 'n' }, { name: 'x' }, { phase: 'Pending' });
  it.each([
    ['metadata', podOf({ nodeName: 'n' }, { name: 'x', labels: { a: '1' } }, { phase: 'Pending' }), true, false],
    ['the spec', podOf({ nodeName: 'm' }, { name: 'x' }, { phase: 'Pending' }), true, true],
    ['a status written apart', podOf({ nodeName: 'n' }, { name: 'x' }, { phase: 'Running' }), true, false],
    ['a status that is part of the object', podOf({ nodeName: 'n' }, { name: 'x' }, { phase: 'Running' }), false, true],
  ])('tells a change of %s', (_, next, hasStatus, isChanged) => {
    expect(isDesiredStateChanged(next, old, hasStatus)).toBe(isChanged);
  });
});
